// The script of the page of sdk-app.mjs. Tests call it as `app`.

import { IntegrationAppClient } from "@integration-app/sdk";
import { ConnectionApiResponse, MembraneClient } from "@membranehq/sdk";

const SDKS = { "@membranehq/sdk": MembraneClient, "@integration-app/sdk": IntegrationAppClient };

let popups = 0;
const { open } = window;
window.open = (...options) => {
  popups += 1;
  return open.apply(window, options);
};

let options;
let client;
let outcome;

/** Creates the client that `begin` uses. */
function use(sdk, clientOptions) {
  options = clientOptions;
  client = new SDKS[sdk](options);
}

/** Starts a call that waits for the end user. */
function begin(call) {
  outcome = call(client).then(
    (ok) => ({ ok, problems: ok ? (ConnectionApiResponse.safeParse(ok).error?.issues ?? []) : [] }),
    (error) => ({ error: { message: error.message, data: error.data ?? null } }),
  );
}

/** Waits for the end of the call: `{ok, problems}`, with the problems that the SDK's schema finds in `ok`, or `{error}`. */
const end = () => outcome;

/** Waits until the SDK shows the frame that it opened. */
async function shown() {
  const isLoading = () => !document.querySelector("iframe") || document.querySelector('[class*="container__loader"]');
  for (let waited = 0; isLoading(); waited += 20) {
    if (waited > 10_000) throw new Error("the frame is not shown");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The part with React, which most tests do without. */
const hooks = () => import("./sdk-hooks.mjs");

globalThis.app = {
  use,
  begin,
  end,
  popups: () => popups,
  shown,
  mount: async (hook, render) => (await hooks()).mount(options, hook, render),
  until: async (holds, pick) => (await hooks()).until(holds, pick),
};
