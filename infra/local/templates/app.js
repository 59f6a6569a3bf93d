import { connect } from "/connect.js";

const session = JSON.parse(document.getElementById("session").textContent);
const button = document.getElementById("connect");
const result = document.getElementById("result");

button.onclick = async () => {
  button.disabled = true;
  result.replaceChildren();
  try {
    const redirectUri = location.origin + location.pathname;
    const { connectionId } = await connect({ ...session, redirectUri });
    show("good", "Connected", `Your application keeps the connection's id: ${connectionId}`);
  } catch (error) {
    show("bad", "Not connected", error.message);
  } finally {
    button.disabled = false;
  }
};
button.disabled = false;

// If the browser allows no popup, the end user comes back to this page.
const query = new URLSearchParams(location.search);
if (query.has("connectionId")) show("good", "Connected", "You are back, and the account is connected.");
if (query.has("error")) show("bad", "Not connected", "You are back, and nothing was connected.");

function show(tone, title, detail) {
  const banner = document.createElement("div");
  banner.className = `banner ${tone}`;
  for (const [name, text] of [
    ["h2", title],
    ["p", detail],
  ]) {
    const element = document.createElement(name);
    element.textContent = text;
    banner.append(element);
  }
  result.replaceChildren(banner);
}
