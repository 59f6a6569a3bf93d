// Makes the page of the first minute live: it counts down, and takes over what has changed on the server.

/** Milliseconds between two looks at the server. */
const INTERVAL = 2000;
/** Without JavaScript, the line is copied by selecting it. */
const copy = document.createElement("button");
copy.className = "button";
copy.textContent = "Copy the line";
const stopped = document.getElementById("stopped");

copy.onclick = async () => {
  const line = document.getElementById("line");
  const isCopied = await navigator.clipboard?.writeText(line.textContent).then(
    () => true,
    () => false,
  );
  if (!isCopied) getSelection().selectAllChildren(line);
  copy.textContent = isCopied ? "Copied" : "Press Ctrl+C";
  setTimeout(() => {
    copy.textContent = "Copy the line";
  }, INTERVAL);
};

function show() {
  for (const element of document.querySelectorAll("[data-until]")) {
    const seconds = Math.max(0, Math.ceil((element.dataset.until - Date.now()) / 1000));
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    const due = stopped.hidden ? "is being refreshed" : "refreshes when Larder runs again";
    element.textContent = seconds > 0 ? `refreshes in ${clock}` : due;
  }
  for (const element of document.querySelectorAll("[data-from]")) {
    element.value = (Date.now() - element.dataset.from) / 1000;
  }
  const hasLine = document.getElementById("line") !== null;
  if (hasLine && !copy.isConnected) document.getElementById("actions").prepend(copy);
  if (!hasLine) copy.remove();
}

async function update() {
  if (document.hidden) return;
  const response = await fetch(location.pathname).catch(() => null);
  stopped.hidden = response !== null;
  if (response?.status === 401) location.replace(location.pathname);
  if (!response?.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const element of document.querySelectorAll("[data-live]")) {
    const next = page.getElementById(element.id);
    if (next && next.dataset.live !== element.dataset.live) element.replaceWith(next);
  }
  for (const step of document.querySelectorAll(".steps > li")) step.className = page.getElementById(step.id).className;
  show();
}

show();
setInterval(show, 250);
setInterval(update, INTERVAL);
