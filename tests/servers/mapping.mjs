// Membrane's own evaluator of the mapping language, for the differential test.
//
// Start: `node mapping.mjs`. Each line of stdin is `{"expression": …, "variables": …}`, and is answered by a line: what
// the synchronous evaluator says, `{"value": …}`, `{}` for undefined, or `{"error": "…"}`. End: stdin closes.

import { createInterface } from "node:readline";

// Stdout belongs to the answers; whatever the library has to say goes to stderr.
console.log = console.info = console.warn = console.error;
const { buildData } = await import("@membranehq/sdk");

function answer({ expression, variables }) {
  try {
    const value = buildData(expression, variables);
    return typeof value === "function" ? {} : { value };
  } catch (error) {
    return { error: String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
}
