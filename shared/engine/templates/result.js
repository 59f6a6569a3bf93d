const { message, origins } = JSON.parse(document.getElementById("result").textContent);
const opener = window.opener ?? (window.parent === window ? null : window.parent);
for (const origin of opener ? origins : []) opener.postMessage(message, origin);
window.close();
