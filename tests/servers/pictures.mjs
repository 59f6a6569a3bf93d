// Takes the README's pictures: node pictures.mjs LINK TOKEN FOLDER
//
// LINK signs in to a Larder that has just been started, and TOKEN is an admin's. Each picture has a light and a dark version.

import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [link, token, folder] = process.argv.slice(2);
const at = (path) => new URL(path, link).href;

/** Calls the API as an admin. */
async function call(method, path, body) {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(at(path), { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
  return response.status === 204 ? undefined : response.json();
}

/** Imports a connection of an invented application that the end user `tenantKey` has connected. */
async function connect(integrationKey, name, tenantKey, credentials, flows) {
  const connection = { integrationKey, name, tenantKey, credentials, test: false };
  const { id } = await call("POST", "/connections", connection);
  for (const flow of flows) await call("PUT", `/connections/${id}/flows/${flow.toLowerCase()}`, { name: flow });
  return id;
}

/** By name: brings the page into the state of the picture, and returns its width and scale. In the order of taking. */
const pictures = {
  "first-minute": async (page) => {
    await page.goto(link);
    await page.locator("form button").click();
    await page.locator("button[value=approve]").click();
    await page.waitForSelector("#line");
    await page.evaluate(() => {
      const [, authorization] = document.getElementById("line").textContent.match(/Authorization: (.*?)"/);
      return fetch("credentials?integrationKey=demo", { headers: { authorization } });
    });
    await page.waitForFunction(() => document.body.innerText.includes("Token 2 of"), { timeout: 120_000 });
    await page.goto(at("/welcome"));
    return { width: 720, deviceScaleFactor: 2 };
  },
  credentials: async (page) => {
    const client = { clientId: "client", clientSecret: "secret" };
    for (const key of ["hubspot", "salesforce", "linear"]) {
      await call("PUT", `/integrations/${key}`, { connectorKey: key, parameters: client });
    }
    await call("PUT", "/integrations/stripe", { connectorKey: "stripe" });
    const tokens = (minutes) => ({ access_token: "access", refresh_token: "refresh", expires_in: minutes * 60 });
    await connect("hubspot", "Acme GmbH", "maria@acme.example", tokens(24), ["Contact sync"]);
    await connect("hubspot", "Globex", "sam@globex.example", tokens(29), []);
    await connect("salesforce", "EU sandbox", "ops@acme.example", tokens(90), ["Invoices", "Payroll"]);
    const lost = await connect("linear", "Product team", "jane@acme.example", tokens(600), ["Triage"]);
    await call("POST", `/connections/${lost}/disconnect`);
    await page.goto(at("/"));
    return { width: 1080, deviceScaleFactor: 1.5 };
  },
};

const executablePath = process.env.PATH.split(":")
  .map((directory) => `${directory}/chromium`)
  .find(existsSync);
const browser = await puppeteer.launch({ executablePath, pipe: true, args: ["--no-sandbox"] });
const page = await browser.newPage();
for (const [name, prepare] of Object.entries(pictures)) {
  const size = await prepare(page);
  await page.setViewport({ ...size, height: 400 });
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.screenshot({ path: `${folder}/${name}-${scheme}.png`, fullPage: true });
  }
}
await browser.close();
