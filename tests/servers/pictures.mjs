// Takes the README's pictures: node pictures.mjs LINK FOLDER
//
// LINK signs in to a Larder that has just been started. Each picture has a light and a dark version.

import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [link, folder] = process.argv.slice(2);
const at = (path) => new URL(path, link).href;

/** By name: brings the page into the state of the picture, and returns the width. In the order of taking. */
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
    return 720;
  },
};

const executablePath = process.env.PATH.split(":")
  .map((directory) => `${directory}/chromium`)
  .find(existsSync);
const browser = await puppeteer.launch({ executablePath, pipe: true, args: ["--no-sandbox"] });
const page = await browser.newPage();
for (const [name, prepare] of Object.entries(pictures)) {
  const width = await prepare(page);
  await page.setViewport({ width, height: 400, deviceScaleFactor: 2 });
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.screenshot({ path: `${folder}/${name}-${scheme}.png`, fullPage: true });
  }
}
await browser.close();
