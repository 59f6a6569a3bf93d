// Reloading must not show an outcome again.
const here = new URL(location.href);
for (const name of ["done", "on"]) here.searchParams.delete(name);
if (location.search.includes("done=")) history.replaceState(null, "", here);
