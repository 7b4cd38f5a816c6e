// Uses the generated client against a server: `use_client.js URL TOKEN`. Says what went wrong, or `done`.
// @ts-check

import assert from "node:assert/strict";
import { createClient } from "@angarium/client";

/** @typedef {import("@angarium/client").Problem} Problem */

const [url = "", token = ""] = process.argv.slice(2);

/** @template T @param {{ data?: T, error?: Problem }} answer @returns {T} */
function done({ data, error }) {
  if (error || data === undefined) assert.fail(`refused: ${JSON.stringify(error)}`);
  return data;
}

const admin = createClient({ url, key: token });
const create = {
  params: { header: { "Idempotency-Key": "app-typescript" } },
  body: { name: "Shop", bundle_id: "com.acme.typescript" },
};
const app = done(await admin.POST("/v1/apps", create));
assert.equal(app.bundle_id, "com.acme.typescript");
const again = await admin.POST("/v1/apps", create);
assert.equal(done(again).id, app.id);
assert.equal(again.response.headers.get("Idempotency-Replay"), "true");

const path = { app: app.id };
const key = done(
  await admin.POST("/v1/apps/{app}/keys", { params: { path }, body: { name: "server", role: "sender" } }),
);
assert.ok(key.key.startsWith("ang_sk_") && key.role === "sender");
const client = createClient({ url, key: key.key });

/** @param {number} level */
const numbered = (level) => ({ type: "level_up", id: `e-${level}`, params: { level } });
const one = done(await client.POST("/v1/apps/{app}/events", { params: { path }, body: numbered(0) }));
assert.deepEqual([one.accepted, one.duplicates], [1, 0]);
const query = { atomic: true };
const body = [0, 1, 2, 3, 4, 5].map(numbered);
const several = done(await client.POST("/v1/apps/{app}/events", { params: { path, query }, body }));
assert.deepEqual([several.accepted, several.duplicates, several.rejected], [5, 1, []]);

const levels = [];
/** @type {string | null | undefined} */
let after;
do {
  const query = { limit: 4, ...(after ? { after } : {}) };
  const page = done(await client.GET("/v1/apps/{app}/events", { params: { path, query } }));
  assert.ok(page.items.length <= 4);
  levels.push(...page.items.map((event) => event.params.level));
  after = page.next;
} while (after);
assert.deepEqual(levels, [0, 1, 2, 3, 4, 5]);

const records = done(
  await client.GET("/v1/apps/{app}/streams/{stream}/records", {
    params: { path: { ...path, stream: "events" }, query: { limit: 2, wait: "1s" } },
  }),
);
assert.deepEqual(
  records.items.map(({ data }) => /** @type {{ id: string }} */ (data).id),
  ["e-0", "e-1"],
);

const refused = await client.POST("/v1/apps/{app}/keys", { params: { path }, body: { name: "mine", role: "admin" } });
assert.equal(refused.response.status, 403);
assert.equal(refused.error?.code, "forbidden");
assert.ok(refused.error?.request_id);
const invalid = await client.POST("/v1/apps/{app}/events", { params: { path }, body: { type: "two words" } });
assert.equal(invalid.error?.code, "invalid_event");
assert.equal(invalid.error?.errors?.[0]?.pointer, "/type");

// What the document does not know does not compile.
// @ts-expect-error
void (() => client.GET("/v1/nothing"));
// @ts-expect-error
void (() => client.POST("/v1/apps", { body: { name: 7 } }));
console.log("done");
