// A web application that uses Membrane's SDKs, and the API that its users connect to.
//
//   GET  /               the page, with sdk-page.mjs as its script
//   GET  /done           the page that connecting in the same window returns to
//   GET  /api/me         200 with the key `good` or the token `issued`, otherwise 401
//   GET  /api/authorize  returns to `redirect_uri` at once, with a code
//   POST /api/token      issues a token
//
// See serve.mjs for how to start and stop it. It has no options.

import { basename } from "node:path";
import { build } from "esbuild";
import { sendJson, serve } from "./serve.mjs";

const page = (head) =>
  `<!doctype html><meta charset="utf-8"><title>An app</title><link rel="icon" href="data:,">${head}<div id="root"></div>`;
const SCRIPT = '<script type="module" src="/sdk-page.js"></script>';
const ACCEPTED = ["Bearer good", "Bearer issued"];

/** Bundles the page's script, with a file of its own for each dynamic import. */
async function bundle() {
  const { outputFiles } = await build({
    entryPoints: ["sdk-page.mjs"],
    bundle: true,
    splitting: true,
    format: "esm",
    outdir: ".",
    write: false,
    define: { "process.env.NODE_ENV": '"production"' },
    logLevel: "error",
  });
  return new Map(outputFiles.map(({ path, text }) => [`/${basename(path)}`, text]));
}

await serve(async () => {
  // Made when the page is first opened, since not every test opens it.
  let scripts;
  return async (req, res) => {
    const { pathname, searchParams } = new URL(req.url, "http://localhost");
    const send = (type, text) => res.writeHead(200, { "content-type": type }).end(text);
    switch (`${req.method} ${pathname}`) {
      case "GET /":
        return send("text/html", page(SCRIPT));
      case "GET /done":
        return send("text/html", page(""));
      case "GET /api/me":
        return sendJson(res, {}, ACCEPTED.includes(req.headers.authorization) ? 200 : 401);
      case "GET /api/authorize": {
        const back = new URL(searchParams.get("redirect_uri"));
        back.searchParams.set("code", "the-code");
        back.searchParams.set("state", searchParams.get("state"));
        return res.writeHead(302, { location: back.href }).end();
      }
      case "POST /api/token":
        return sendJson(res, { access_token: "issued", refresh_token: "renewable", expires_in: 3600 });
    }
    scripts ??= bundle();
    const script = (await scripts).get(pathname);
    return script ? send("text/javascript", script) : sendJson(res, { error: "not found" }, 404);
  };
});
