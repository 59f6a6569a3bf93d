// The default transformations of request and response data. `this` is the request's configuration.

import { AxiosError } from "./error.js";
import { encodeForm, formToJSON, toFormData } from "./form.js";

export function transformRequest(data, headers) {
  const type = headers.getContentType() || "";
  const isJson = type.includes("application/json");
  if (data instanceof FormData) return isJson ? JSON.stringify(formToJSON(data)) : data;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data) || data instanceof Blob || isStream(data)) return data;
  if (data instanceof URLSearchParams) {
    headers.setContentType("application/x-www-form-urlencoded;charset=utf-8", false);
    return data.toString();
  }
  const isObject = data !== null && typeof data === "object";
  if (isObject && type.includes("application/x-www-form-urlencoded")) return encodeForm(data, this.formSerializer);
  if (isObject && type.includes("multipart/form-data")) return toFormData(data, new FormData(), this.formSerializer);
  if (!isObject && !isJson) return data;
  headers.setContentType("application/json", false);
  return typeof data === "string" && isJsonText(data) ? data.trim() : JSON.stringify(data);
}

export function transformResponse(data) {
  const { silentJSONParsing, forcedJSONParsing } = this.transitional ?? {};
  const isJsonWanted = this.responseType === "json";
  if (!data || typeof data !== "string" || !(isJsonWanted || (forcedJSONParsing && !this.responseType))) return data;
  try {
    return JSON.parse(data, this.parseReviver);
  } catch (error) {
    if (silentJSONParsing || !isJsonWanted || error.name !== "SyntaxError") return data;
    throw AxiosError.from(error, AxiosError.ERR_BAD_RESPONSE, this, null, this.response);
  }
}

export const isStream = (data) => data !== null && typeof data === "object" && typeof data.getReader === "function";

function isJsonText(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
