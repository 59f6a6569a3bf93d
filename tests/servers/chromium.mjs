// Chromium, driven by lines of JSON: a step on stdin, its result on stdout. It ends when stdin does.
//
// A step has a `do` that names one of the functions below, and their parameters. The result is `{ok}` or `{error}`.

import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const TIMEOUT = 15_000;
const { profile, args } = JSON.parse(process.argv[2]);
const executablePath = process.env.PATH.split(":")
  .map((folder) => `${folder}/chromium`)
  .find(existsSync);
if (!executablePath) throw new Error("chromium is not on the PATH: apt-get install chromium");

// Over a pipe: when this process ends, however it does, so does Chromium. Its sandbox does not work for root.
const browser = await puppeteer.launch({
  executablePath,
  pipe: true,
  userDataDir: profile,
  args: ["--no-sandbox", "--disable-quic", ...args],
});

/** What pages wrote to the console, violations of their policies included, and what became of their requests. */
const log = [];
const note = (what, request) =>
  request.url().startsWith("data:") || log.push(`${what} ${request.method()} ${request.url()}`);
const pages = await browser.pages();
pages.forEach(watch);
browser.on("targetcreated", async (target) => {
  const page = target.type() === "page" ? await target.page() : null;
  if (page && !pages.includes(page)) pages.push(watch(page));
});
let page = pages[0];

function watch(page) {
  page.setDefaultTimeout(TIMEOUT);
  page.on("console", (message) => log.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => log.push(`error: ${error}`));
  page.on("response", (response) => note(response.status(), response.request()));
  page.on("requestfailed", (request) => note("failed", request));
  return page;
}

const steps = {
  async goto({ url }) {
    const response = await page.goto(url, { timeout: TIMEOUT });
    return response?.status() ?? 0;
  },
  async reload() {
    const response = await page.reload({ timeout: TIMEOUT });
    return response?.status() ?? 0;
  },
  async click({ selector }) {
    await (await page.waitForSelector(selector)).click();
  },
  async fill({ selector, text }) {
    await (await page.waitForSelector(selector)).type(text);
  },
  /** A script in the page; of a promise, what comes of it. */
  evaluate: ({ script }) => page.evaluate(script),
  /** Waits until the page shows a text, and gives all that it shows then. */
  async shows({ text }) {
    const shown = await page.waitForFunction(
      (text) => document.body?.innerText.includes(text) && document.body.innerText,
      { polling: 50 },
      text,
    );
    return shown.jsonValue();
  },
  /** Waits until the page is at a URL that begins so, and gives the whole. */
  async arrives({ prefix }) {
    const url = await page.waitForFunction(
      (prefix) => location.href.startsWith(prefix) && location.href,
      { polling: 50 },
      prefix,
    );
    return url.jsonValue();
  },
  url: () => page.url(),
  /** Goes on with the page that was opened as this one of all, from 0. */
  async page({ number }) {
    for (let waited = 0; !pages[number] && waited < TIMEOUT; waited += 50) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (!pages[number]) throw new Error(`no page ${number} was opened`);
    page = pages[number];
  },
  async screenshot({ path, width, scheme }) {
    await page.setViewport({ width, height: 640 });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.screenshot({ path });
  },
  log: () => log,
};

for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  let result;
  try {
    result = { ok: (await steps[step.do](step)) ?? null };
  } catch (error) {
    result = { error: `${error} at ${page.url()}, after ${JSON.stringify(log.slice(-20))}` };
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
await browser.close();
