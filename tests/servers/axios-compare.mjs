// Runs the calls with our module under Node.js, and prints differences from the results of the real one.
//
//   node axios-compare.mjs axios|jwt PATH/TO/MODULE.js [CALL]

import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";
import { pathToFileURL } from "node:url";
import * as axiosCalls from "./axios-calls.mjs";
import * as jwtCalls from "./jwt-calls.mjs";

const [which, path, only] = process.argv.slice(2);
const { default: ours } = await import(pathToFileURL(resolve(path)));
const server = spawn("node", ["axios-server.mjs"], { stdio: ["pipe", "pipe", "inherit"], cwd: import.meta.dirname });
const [line] = await once(createInterface(server.stdout), "line");
const { issuer: base } = JSON.parse(line);
const answer = await (await fetch(`${base}/_control/${which}`)).json();

let names, expected, run;
if (which === "axios") {
  [names, expected, run] = [Object.keys(axiosCalls.calls), answer, (name) => axiosCalls.run(ours, base, name)];
} else {
  [names, expected, run] = [
    Object.keys(jwtCalls.calls),
    answer.outcomes,
    (name) => jwtCalls.run(ours, answer.fixtures, name),
  ];
}
let different = 0;
for (const name of only ? [only] : names) {
  const found = await run(name);
  if (only) console.log(JSON.stringify(found, null, 1));
  if (found.result?.isRandom) {
    const body = JSON.stringify({ token: found.result.token });
    console.log(
      `${name}: verified as ${await (await fetch(`${base}/_control/verify`, { method: "POST", body })).text()}`,
    );
  }
  const [real, own] = [expected[name], found].map(jwtCalls.comparable);
  if (isDeepStrictEqual(real, own)) continue;
  different += 1;
  console.log(`== ${name}`);
  differences(real, own, "");
}
console.log(`${different} of ${names.length} calls differ`);
server.stdin.end();

function differences(expected, found, path) {
  if (isDeepStrictEqual(expected, found)) return;
  if (expected && found && typeof expected === "object" && typeof found === "object") {
    for (const key of new Set([...Object.keys(expected), ...Object.keys(found)]))
      differences(expected[key], found[key], `${path}.${key}`);
  } else {
    console.log(`  ${path}\n    real ${JSON.stringify(expected)}\n    ours ${JSON.stringify(found)}`);
  }
}
