// The environment of web.json's expressions, in Node and in the engine.
import buffer, * as bufferNames from "buffer";
import nodeCrypto, * as cryptoNames from "node:crypto";
import querystring, * as querystringNames from "querystring";
import url, * as urlNames from "node:url";
import util, * as utilNames from "util";

const keys = "KEYS";
const pem = (label, body) => `-----BEGIN ${label}-----\n${body.replace(/.{64}/g, "$&\n")}\n-----END ${label}-----\n`;
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (...list) => new Uint8Array(list);
const list = (iterable) => [...iterable];
const caught = async (run) => {
  try {
    await run();
  } catch (error) {
    return error;
  }
};
/** Returns the parts of a multipart body. The boundary differs each time. */
const multipart = async (body) => {
  const request = new Request("https://a.example/", { method: "POST", body });
  const [type, boundary] = request.headers.get("content-type").split("boundary=");
  return [type, (await request.text()).replaceAll(boundary, "BOUNDARY")];
};
const rsa = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };

const runs = [
/* RUNS */
];

export default async function () {
  const answers = [];
  for (const run of runs) {
    try {
      answers.push(await run());
    } catch (error) {
      answers.push({ throws: error.name });
    }
  }
  return JSON.parse(JSON.stringify(answers));
}
