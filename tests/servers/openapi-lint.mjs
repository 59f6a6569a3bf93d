// Lints an OpenAPI document. Prints each problem on a line, and fails if there is one.

import { createConfig, lint } from "@redocly/openapi-core";

const config = await createConfig({
  extends: ["recommended"],
  rules: {
    // The document itself is answered without conditions.
    "operation-4xx-response": "off",
  },
});
const problems = await lint({ ref: process.argv[2], config });
for (const { ruleId, message, location } of problems) {
  console.error(`${location[0]?.pointer ?? ""}: ${message} (${ruleId})`);
}
process.exitCode = problems.length === 0 ? 0 : 1;
