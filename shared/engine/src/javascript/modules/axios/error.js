// The errors that axios throws.

const CODES = [
  "ERR_BAD_OPTION_VALUE",
  "ERR_BAD_OPTION",
  "ECONNABORTED",
  "ETIMEDOUT",
  "ECONNREFUSED",
  "ERR_NETWORK",
  "ERR_FR_TOO_MANY_REDIRECTS",
  "ERR_DEPRECATED",
  "ERR_BAD_RESPONSE",
  "ERR_BAD_REQUEST",
  "ERR_CANCELED",
  "ERR_NOT_SUPPORT",
  "ERR_INVALID_URL",
  "ERR_FORM_DATA_DEPTH_EXCEEDED",
];

export class AxiosError extends Error {
  constructor(message, code, config, request, response) {
    super(message);
    // Own and enumerable, as in the real axios: connectors spread errors and log them as JSON.
    Object.defineProperty(this, "message", {
      value: this.message,
      enumerable: true,
      writable: true,
      configurable: true,
    });
    this.name = "AxiosError";
    this.isAxiosError = true;
    if (code) this.code = code;
    if (config) this.config = config;
    if (request) this.request = request;
    if (response) {
      this.response = response;
      this.status = response.status;
    }
  }

  // Wraps another error: takes its name and message, and sets it as the cause.
  static from(error, code, config, request, response, more) {
    const wrapped = new AxiosError(error.message, code ?? error.code, config, request, response);
    Object.defineProperty(wrapped, "cause", { value: error, enumerable: false, writable: true, configurable: true });
    wrapped.name = error.name ?? "Error";
    return Object.assign(wrapped, more);
  }

  toJSON() {
    const { message, name, description, number, fileName, lineNumber, columnNumber, stack, code, status } = this;
    const config = plain(
      this.config,
      (this.config?.redact ?? []).map((it) => it.toLowerCase()),
    );
    return { message, name, description, number, fileName, lineNumber, columnNumber, stack, config, code, status };
  }
}

for (const code of CODES) AxiosError[code] = code;

export class CanceledError extends AxiosError {
  constructor(message, config, request) {
    super(message ?? "canceled", AxiosError.ERR_CANCELED, config, request);
    this.name = "CanceledError";
    this.__CANCEL__ = true;
  }
}

export const isAxiosError = (error) => error !== null && typeof error === "object" && error.isAxiosError === true;

export const isCancel = (error) => Boolean(error?.__CANCEL__);

// Returns a copy that can be converted to JSON: without cycles and the members that `redact` lists.
function plain(value, redacted, above = []) {
  if (value === null || typeof value !== "object") return value;
  if (above.includes(value)) return undefined;
  const source = typeof value.toJSON === "function" ? value.toJSON() : value;
  if (source === null || typeof source !== "object" || source instanceof Uint8Array) return source;
  const inside = [...above, value];
  if (Array.isArray(source)) return source.map((it) => plain(it, redacted, inside));
  const members = Object.entries(source).map(([key, it]) => [
    key,
    redacted.includes(key.toLowerCase()) ? "[REDACTED ****]" : plain(it, redacted, inside),
  ]);
  return Object.fromEntries(members.filter(([, it]) => it !== undefined));
}
