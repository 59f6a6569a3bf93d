/**
 * Connects an end user's account through Larder, in a popup:
 *
 * ```js
 * import { connect } from "https://larder.example/connect.js";
 *
 * button.onclick = async () => {
 *   const { connectionId } = await connect({ token, integrationKey: "crm" });
 * };
 * ```
 *
 * Call it right in a click: browsers block popups that open without one. If a browser blocks it nevertheless, the page itself
 * leads to Larder, and the end user comes back to `redirectUri`, with `connectionId` or `error` in its query. A popup needs none.
 */

/** Milliseconds between two looks at the status. */
const INTERVAL = 2000;
/** How many looks in a row may fail: for a minute, in which Larder can restart. */
const MAX_FAILED = 30;
/** How many looks find the popup closed before it counts as closed. */
const LAST_LOOKS = 2;
/** The popup's size in pixels. */
const [WIDTH, HEIGHT] = [520, 720];

/**
 * @param {object | Promise<object>} options the members of `POST /connection-requests` (`integrationKey`, for example) and `token`,
 *   or a promise of one; or the answer of that route that your server got. `signal` is an AbortSignal that closes the popup.
 * @returns {Promise<{connectionId: string, requestId: string}>} rejected with a `ConnectError` if nothing is connected
 */
export async function connect(options) {
  // Before anything is awaited, since a click allows only what follows at once.
  const popup = openPopup();
  try {
    const { signal, token, url, statusToken, requestId, redirectUri, ...wanted } = await options;
    signal?.throwIfAborted();
    if (!token && !(url && statusToken)) throw new TypeError("connect() needs `token`, or `url` and `statusToken`");
    // In a popup, Larder's own page says that it worked. A bound connection needs the application's.
    if (!popup || wanted.codeChallenge) wanted.redirectUri = redirectUri;
    const request = url
      ? { url, statusToken, requestId: requestId ?? (await requestIdOf(url)) }
      : await call(new URL("connection-requests", import.meta.url), await token, signal, wanted);
    if (popup) {
      popup.location.replace(request.url);
    } else {
      location.assign(request.url);
      // From here on, the page is gone, unless the end user goes back to it.
      await new Promise((resolve) => addEventListener("pageshow", ({ persisted }) => persisted && resolve()));
    }
    return await outcome(request, popup, signal);
  } finally {
    popup?.close();
  }
}

/** Why nothing was connected. */
export class ConnectError extends Error {
  name = "ConnectError";

  /** @param {object} problem an error of Larder, or `closed`, `cancelled` or `expired` as its `key` */
  constructor({ message, key, type, data, status }) {
    super(message);
    Object.assign(this, { key, type, data, status });
  }
}

/** Waits until the request has ended. */
async function outcome({ url, statusToken, requestId }, popup, signal) {
  const uri = new URL(`connection-requests/${requestId}`, url);
  let [failed, last] = [0, 0];
  for (;;) {
    await pause(signal);
    // A provider's Cross-Origin-Opener-Policy makes its popup look closed. Then this page doesn't have the focus.
    last = (popup?.closed ?? true) && document.hasFocus() ? last + 1 : 0;
    try {
      const { status, resultConnectionId, resultError } = await call(uri, statusToken, signal);
      if (status === "success") return { connectionId: resultConnectionId, requestId };
      if (status === "cancelled") throw ended(status, "the connection request was canceled");
      if (status === "expired") throw ended(status, "the connection request has expired");
      // The end user canceled, or declined at the provider. An entry that is corrected in the form is no error.
      if (status === "error") throw new ConnectError(resultError);
      failed = 0;
    } catch (problem) {
      if (signal?.aborted || !isTransient(problem) || ++failed > MAX_FAILED) throw problem;
      continue;
    }
    if (last >= LAST_LOOKS) throw ended("closed", "the window was closed before the account was connected");
  }
}

/** Whether the next look may succeed: Larder did not answer, or is busy. */
const isTransient = (problem) => !(problem instanceof ConnectError) || problem.status === 429 || problem.status >= 500;

const ended = (key, message) => new ConnectError({ key, message });

/** Sends a request to Larder: GET, or POST with a body. */
async function call(uri, token, signal, body) {
  const headers = { authorization: `Bearer ${token}` };
  const request = body ? { method: "POST", body: JSON.stringify(body), headers, signal } : { headers, signal };
  const response = await fetch(uri, request);
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new ConnectError({ message: `Larder answers ${response.status}`, ...problem, status: response.status });
}

/** The id of a link's request is the digest of the link's secret. */
async function requestIdOf(url) {
  const secret = new TextEncoder().encode(new URL(url).searchParams.get("connectionRequestId"));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", secret));
  return btoa(String.fromCharCode(...digest))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace("=", "");
}

function pause(signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, INTERVAL);
    signal?.addEventListener("abort", abort);
  });
}

function openPopup() {
  const left = Math.round(screenX + (outerWidth - WIDTH) / 2);
  const top = Math.round(screenY + (outerHeight - HEIGHT) / 2);
  return open("about:blank", "", `popup,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`);
}
