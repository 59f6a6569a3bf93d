// Sends one request: transforms its data, sends it, and transforms the response.

import { sendByFetch } from "./fetch.js";
import { AxiosError, CanceledError, isCancel } from "./error.js";
import { AxiosHeaders } from "./headers.js";

export async function dispatch(config) {
  throwIfCanceled(config);
  config.headers = AxiosHeaders.from(config.headers);
  config.data = transform(config, config.transformRequest, config.data);
  if (["post", "put", "patch"].includes(config.method)) {
    config.headers.setContentType("application/x-www-form-urlencoded", false);
  }
  const startedAt = Date.now();
  const received = (response) => {
    response.duration = Math.max(0, Date.now() - startedAt);
    response.headers = AxiosHeaders.from(response.headers);
    response.data = transform(config, config.transformResponse, response.data, response);
  };
  try {
    const response = await getAdapter(config.adapter)(config);
    throwIfCanceled(config);
    received(response);
    return response;
  } catch (error) {
    if (!isCancel(error)) {
      throwIfCanceled(config);
      if (error?.response && error.response.duration === undefined) received(error.response);
    }
    throw error;
  }
}

// Returns the caller's own adapter, or ours: all names refer to the same one.
export function getAdapter(adapter) {
  const first = [adapter].flat()[0];
  if (typeof first === "function") return first;
  const unknown = [adapter].flat().find((it) => it && !["xhr", "http", "fetch"].includes(it));
  if (unknown) throw new AxiosError(`Unknown adapter '${unknown}'`);
  return sendByFetch;
}

function throwIfCanceled(config) {
  config.cancelToken?.throwIfRequested();
  if (config.signal?.aborted) throw new CanceledError(null, config);
}

function transform(config, transformers, data, response) {
  const headers = AxiosHeaders.from(response?.headers ?? config.headers).normalize();
  const context = response ? Object.create(config, { response: { value: response } }) : config;
  const result = [transformers ?? []]
    .flat()
    .reduce((it, step) => step.call(context, it, headers, response?.status), data);
  headers.normalize();
  return result;
}
