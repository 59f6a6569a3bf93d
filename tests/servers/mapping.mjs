// Membrane's own evaluator of the mapping language, for differential tests.
//
// Run `node mapping.mjs`. For each line `{"expression": …, "variables": …}` on stdin, it prints the result of the synchronous
// evaluator: `{"value": …}`, `{}` for undefined, or `{"error": "…"}`. It stops when stdin closes.

import { createInterface } from "node:readline";

// Stdout is for results only; messages of the library go to stderr.
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
