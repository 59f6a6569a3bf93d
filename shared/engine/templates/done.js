// Reloading must not show an outcome again.
const here = new URL(location.href);
const outcome = ["done", "on", "connectionId", "requestId", "error", "errorData"];
// The picker's address says what it is for, and which new credential comes first.
if (!here.pathname.endsWith("/pick") && outcome.some((name) => here.searchParams.has(name))) {
  for (const name of outcome) here.searchParams.delete(name);
  history.replaceState(null, "", here);
}
