// Records Node's results for the expressions in web.json: `node record.mjs`. web.rs compares them with the engine's
// results. The result of an expression that throws is {"throws": the error's name}.

import { readFileSync, writeFileSync } from "node:fs";

const file = new URL("web.json", import.meta.url);
const web = JSON.parse(readFileSync(file));
const source = readFileSync(new URL("web.js", import.meta.url), "utf8");

for (const group of Object.values(web.groups)) {
  const runs = Object.keys(group).map((expression) => `async () => (${expression}\n)`);
  const text = source.replace("/* RUNS */", runs.join(",\n")).replace('"KEYS"', JSON.stringify(web.keys));
  const { default: answers } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  const values = await answers();
  Object.keys(group).forEach((expression, i) => (group[expression] = values[i]));
}
writeFileSync(file, `${JSON.stringify(web, null, 1)}\n`);
