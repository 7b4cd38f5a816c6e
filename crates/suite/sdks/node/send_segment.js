// Every call of Segment's library, in two batches: node send_segment.js HOST KEY
import { Analytics } from "@segment/analytics-node";

const [host, writeKey] = process.argv.slice(2);
const client = new Analytics({ host, writeKey });
client.on("error", (error) => {
  console.error("not delivered:", error);
  process.exitCode = 1;
});
for (const userId of ["u1", "u2"]) {
  client.track({ userId, event: "Level Up", properties: { n: 7 } });
  client.identify({ userId, traits: { plan: "free" } });
  client.page({ userId, category: "Docs", name: "Home", properties: { url: "https://example.com/" } });
  client.screen({ userId, category: "App", name: "Main" });
  client.group({ userId, groupId: "g1", traits: { size: 3 } });
  client.alias({ userId, previousId: "anonymous" });
  await client.flush({ timeout: 40_000 });
}
await client.closeAndFlush({ timeout: 40_000 });
