// Counts down, shows dates in the visitor's zone, and replaces the parts of the page that have changed.
const PERIOD = 5000;
const language = document.documentElement.lang;
const two = (number) => String(number).padStart(2, "0");
const clock = (seconds) => {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
};
const regions = (root) => new Map([...root.querySelectorAll("[data-live]")].map((it) => [it.id, it]));
// A list's rows are parts of their own.
const controls = (part) =>
  [...part.querySelectorAll("a, button, input")].filter((it) => it.closest("[data-live]") === part);
const state = (part) => part.querySelector(".badge")?.textContent;
// Counting down is no change, and an outcome stays until there is one. A list changes when it has other rows.
const content = (part) => {
  const copy = part.cloneNode(true);
  for (const row of regions(copy).values()) row.replaceChildren();
  return copy.outerHTML
    .replace(/(data-until[^>]*>)[^<]*/g, "$1")
    .replace(/ value="\d+"/g, "")
    .replace(/<p class="outcome.*?<\/p>/, "");
};
const shown = new Map([...regions(document)].map(([id, it]) => [id, content(it)]));

function tick() {
  for (const time of document.querySelectorAll("time[data-until]")) {
    const left = Math.max(0, Math.round((Date.parse(time.dateTime) - Date.now()) / 1000));
    if (left < 172800) time.textContent = clock(left);
  }
  for (const bar of document.querySelectorAll("progress")) bar.value += 1;
}

function dates() {
  for (const time of document.querySelectorAll("time[data-date]")) {
    time.textContent = new Date(time.dateTime).toLocaleString(language, { dateStyle: "medium", timeStyle: "medium" });
  }
}

async function update() {
  if (document.hidden) return;
  const counted = new URL(location.href);
  counted.searchParams.set("counts", "1");
  const response = await fetch(counted, { headers: { accept: "text/html" } }).catch(() => null);
  if (response?.status === 401) location.reload();
  if (!response?.ok) return;
  const fetched = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const [id, part] of regions(fetched)) {
    const present = document.getElementById(id);
    const next = content(part);
    if (!present || shown.get(id) === next) continue;
    shown.set(id, next);
    // A new row has come with its list.
    if (present === part) continue;
    // The banner was about the state before.
    if (id === "summary" && state(present) !== state(part)) document.querySelector(".banner.bad")?.remove();
    const active = document.activeElement;
    const focused = controls(present).indexOf(active);
    const scrolled = present.querySelector("ul")?.scrollLeft;
    document.adoptNode(part);
    // The rows that are still in the list stay, and it's their turn next.
    for (const row of regions(part).values()) row.replaceWith(document.getElementById(row.id) ?? row);
    present.replaceWith(part);
    if (scrolled) part.querySelector("ul").scrollLeft = scrolled;
    (controls(part)[focused] ?? active)?.focus({ preventScroll: true });
  }
  tick();
  dates();
}

dates();
setInterval(tick, 1000);
setInterval(update, PERIOD);
// The numbers of a long list come after it.
if (document.querySelector("noscript")) update();
document.addEventListener("visibilitychange", update);
