import type { Client, ClientOptions } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, operations, paths } from "./schema.js";

/** What is wrong, and the way out (RFC 9457). Match on `code`. */
export type Problem = components["schemas"]["Problem"];

export interface Options extends Omit<ClientOptions, "baseUrl"> {
  /** Where the server is, such as `http://127.0.0.1:8080`. */
  url: string;
  /** An API key (`ang_sk_…`, `ang_wk_…`) or a token. */
  key: string;
}

/** A method for each HTTP method; a path and what it takes come next. */
export function createClient(options: Options): Client<paths>;
