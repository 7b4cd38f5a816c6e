// Follows a channel from its beginning with Centrifugo's own library until the record that says it is the last, however
// often the connection breaks; then says what came.
//
// Arguments: URL, token, channel, `json` or `protobuf`.
import WebSocket from "ws";

const [url, token, channel, encoding] = process.argv.slice(2);
const { Centrifuge } = encoding === "protobuf"
  ? await import("centrifuge/build/protobuf")
  : await import("centrifuge");
const client = new Centrifuge(url, {
  token,
  websocket: WebSocket,
  minReconnectDelay: 1,
  maxReconnectDelay: 5,
});
const read = (data) => (data instanceof Uint8Array ? JSON.parse(new TextDecoder().decode(data)) : data);
const said = { offsets: 0, first: 0, repeated: 0, missing: 0, wrong: 0, connected: 0, unrecovered: 0, recovered: 0 };
let last = 0;
client.on("connected", () => { said.connected += 1; });
const end = (code) => { console.log(JSON.stringify(said)); process.exit(code); };
client.on("disconnected", (context) => { said.ended = context; end(1); });
const subscription = client.newSubscription(channel, { since: { offset: 0, epoch: "" } });
subscription.on("subscribed", (context) => {
  if (context.wasRecovering && !context.recovered) said.unrecovered += 1;
  if (context.hasRecoveredPublications) said.recovered += 1;
});
subscription.on("unsubscribed", (context) => { said.ended = context; end(1); });
subscription.on("publication", ({ offset, data }) => {
  said.offsets += 1;
  if (last === 0) said.first = offset;
  else if (offset <= last) said.repeated += 1;
  else said.missing += offset - last - 1;
  last = Math.max(offset, last);
  const record = read(data);
  if (record.type === "last") end(0);
  if (record.params.n !== offset - 1) said.wrong += 1;
});
subscription.subscribe();
client.connect();
