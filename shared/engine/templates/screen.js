// A page in an application's frame. It speaks penpal 6 to the page around it, and follows a connection in another window.
const { origins, calls, pending } = JSON.parse(document.getElementById("screen").textContent);

function reportTo(application) {
  let calledBefore = 0;
  const call = (origin, methodName, ...args) => {
    calledBefore += 1;
    application.postMessage({ penpal: "call", id: calledBefore, methodName, args }, origin);
  };
  window.addEventListener("message", function answered({ source, origin, data }) {
    if (source !== application || data?.penpal !== "synAck" || !origins.includes(origin)) return;
    window.removeEventListener("message", answered);
    application.postMessage({ penpal: "ack", methodNames: [] }, origin);
    call(origin, "handshake");
    for (const [methodName, ...args] of calls) call(origin, methodName, ...args);
    for (const button of document.querySelectorAll("[data-close]")) {
      button.hidden = false;
      button.addEventListener("click", () => call(origin, "close"));
    }
  });
  application.postMessage({ penpal: "syn" }, "*");
}

function follow({ url, token, known }) {
  const [link, waiting, check] = ["leave", "waiting", "check"].map((id) => document.getElementById(id));
  let popup;
  link.addEventListener("click", (event) => {
    popup = window.open("", "", "popup,width=600,height=760");
    // Without a popup, the link opens a tab.
    if (popup) {
      event.preventDefault();
      popup.opener = null;
      popup.location.replace(link.href);
    }
    waiting.textContent = waiting.dataset.text;
  });
  const read = async () => {
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    return response.ok ? (await response.json()).status : known;
  };
  const watch = async () => {
    if ((await read().catch(() => known)) === known) return setTimeout(watch, 2000);
    popup?.close();
    check.submit();
  };
  setTimeout(watch, 2000);
}

if (window.parent !== window) reportTo(window.parent);
// Browsers ignore this attribute in a frame of another website.
document.querySelector("[autofocus]")?.focus();
if (pending) follow(pending);
