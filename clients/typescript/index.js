// Calls of Angarium's API, typed by its document: `schema.d.ts` is generated.

import createFetchClient from "openapi-fetch";

export function createClient({ url, key, ...options }) {
  const headers = { Authorization: `Bearer ${key}`, ...options.headers };
  return createFetchClient({ ...options, baseUrl: url, headers });
}
