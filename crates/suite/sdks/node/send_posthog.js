// Every call of PostHog's library, in two batches: node send_posthog.js HOST KEY
import { PostHog } from "posthog-node";

const [host, key] = process.argv.slice(2);
const client = new PostHog(key, { host });
client.on("error", (error) => {
  console.error("not delivered:", error);
  process.exitCode = 1;
});
for (const distinctId of ["u1", "u2"]) {
  client.capture({ distinctId, event: "Level Up", properties: { n: 7 } });
  client.identify({ distinctId, properties: { plan: "free" } });
  client.groupIdentify({ groupType: "guild", groupKey: "g1", properties: { size: 3 }, distinctId });
  client.alias({ distinctId, alias: "anonymous" });
  await client.flush();
}
await client.shutdown(40_000);
