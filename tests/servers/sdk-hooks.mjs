// The part of sdk-page.mjs that calls the hooks of Membrane's package for React.

import * as react from "@membranehq/react";
import { createElement } from "react";
import { createRoot } from "react-dom/client";

let root;
/** The value that the mounted component's hook returned last. */
let returned;

/** Mounts a component that calls a hook and renders the result of `render`. */
export function mount(options, hook, render = () => null) {
  root?.unmount();
  returned = undefined;
  root = createRoot(document.getElementById("root"));
  const Component = () => {
    returned = hook(react);
    return render(returned, createElement, react);
  };
  root.render(createElement(react.MembraneProvider, options, createElement(Component)));
}

/** Waits until the hook returns a value for which `holds`, and returns the result of `pick` for it. */
export async function until(holds, pick = () => null) {
  for (let waited = 0; waited < 10_000; waited += 20) {
    if (returned && holds(returned)) return pick(returned);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${holds} does not hold: ${JSON.stringify(returned)} ${returned?.error}`);
}
