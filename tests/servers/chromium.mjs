// Drives Chromium with lines of JSON: steps on stdin, results on stdout. Exits when stdin closes.
//
// A step has the name of a function below in `do`, and the function's parameters. The result is `{ok}` or `{error}`.

import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const { profile, args, blocksPopups, timeout } = JSON.parse(process.argv[2]);
const executablePath = process.env.PATH.split(":")
  .map((folder) => `${folder}/chromium`)
  .find(existsSync);
if (!executablePath) throw new Error("chromium is not on the PATH: apt-get install chromium");

// With a pipe, Chromium ends together with this process, however that happens. The sandbox does not work for root.
const browser = await puppeteer.launch({
  executablePath,
  pipe: true,
  userDataDir: profile,
  args: ["--no-sandbox", "--disable-quic", ...args],
  ignoreDefaultArgs: blocksPopups ? ["--disable-popup-blocking"] : [],
});

/** The pages' console messages, including policy violations, and the results of their requests. */
const log = [];
const note = (result, request) =>
  request.url().startsWith("data:") || log.push(`${result} ${request.method()} ${request.url()}`);
const pages = await browser.pages();
pages.forEach(watch);
browser.on("targetcreated", async (target) => {
  const page = target.type() === "page" ? await target.page() : null;
  if (page && !pages.includes(page)) pages.push(watch(page));
});
let page = pages[0];
/** The beginning of the URL of the page's frame in which steps act, if they don't act in the page itself. */
let framePrefix = null;

function watch(page) {
  page.setDefaultTimeout(timeout);
  page.on("console", (message) => log.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => log.push(`error: ${error}`));
  page.on("response", (response) => note(response.status(), response.request()));
  page.on("requestfailed", (request) => note("failed", request));
  return page;
}

/** Waits until `find` returns something, and returns that. */
async function eventually(find, complaint) {
  for (let waited = 0; waited < timeout; waited += 50) {
    const found = find();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(complaint);
}

/** Waits for the frame in which steps act. */
function here() {
  if (!framePrefix) return page;
  const shows = (frame) => frame.parentFrame() && frame.url().startsWith(framePrefix);
  return eventually(() => page.frames().find(shows), `no frame shows ${framePrefix}`);
}

const steps = {
  async goto({ url }) {
    const response = await page.goto(url);
    return response?.status() ?? 0;
  },
  async reload() {
    const response = await page.reload();
    return response?.status() ?? 0;
  },
  async click({ selector }) {
    await (await (await here()).waitForSelector(selector)).click();
  },
  async fill({ selector, text }) {
    await (await (await here()).waitForSelector(selector)).type(text);
  },
  /** Runs a script in the page, and returns its value or its promise's. */
  evaluate: async ({ script }) => (await here()).evaluate(script),
  /** Waits until the page contains a string, and returns the page's whole text. */
  async shows({ text }) {
    const shown = await (await here()).waitForFunction(
      (text) => document.body?.innerText.includes(text) && document.body.innerText,
      { polling: 50 },
      text,
    );
    return shown.jsonValue();
  },
  /** Waits until the page's URL starts with `prefix`, and returns the whole URL. */
  async arrives({ prefix }) {
    const url = await page.waitForFunction(
      (prefix) => location.href.startsWith(prefix) && location.href,
      { polling: 50 },
      prefix,
    );
    return url.jsonValue();
  },
  url: () => page.url(),
  /** Waits for the page with this number, in the order of opening and from 0, and switches to it. */
  async page({ number }) {
    page = await eventually(() => pages[number], `no page ${number} was opened`);
    framePrefix = null;
    // A page behind another draws nothing, and some steps wait for that.
    await page.bringToFront();
  },
  /** Makes the next steps act in the page's frame whose URL starts with `prefix`, until the page is switched. */
  frame: ({ prefix }) => {
    framePrefix = prefix;
  },
  /** The number of pages that are open. */
  open: () => pages.filter((page) => !page.isClosed()).length,
  /** Closes the page, as a person would. The first page becomes the current one. */
  async close() {
    await page.close();
    page = pages[0];
  },
  /** Waits until the page with this number is closed. */
  async closes({ number }) {
    await eventually(() => pages[number].isClosed(), `page ${number} is still open`);
  },
  async screenshot({ path, width, scheme }) {
    // A frame is as high as its window.
    await page.setViewport({ width, height: framePrefix ? 800 : 640 });
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await page.emulateMediaFeatures(features);
    // A frame of another website is a target of its own.
    if (framePrefix) await (await here()).client.send("Emulation.setEmulatedMedia", { features });
    await page.screenshot({ path, fullPage: true });
  },
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  javascript: ({ isOn }) => page.setJavaScriptEnabled(isOn),
  language: ({ languages }) => page.setExtraHTTPHeaders({ "accept-language": languages }),
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
