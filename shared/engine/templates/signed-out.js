// Opens the page again as soon as this browser is signed in, by a link in another tab for example.
const look = async () => {
  if (document.hidden) return;
  const response = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  // Not by reloading, which would send a form again.
  if (response && response.status !== 401) location.replace(location.pathname + location.search);
};
setInterval(look, 3000);
document.addEventListener("visibilitychange", look);
