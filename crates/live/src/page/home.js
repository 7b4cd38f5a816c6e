// ---- the first page: all streams of an app ---------------------------------------------------------------------------------------

const MAX_STREAMS = 16;            // that the feed follows at once
const TYPES = 200;                 // types that can be chosen from, at most
const HUES = { events: 215, messages: 150, executions: 275, results: 185, notifications: 45, receipts: 90, dead_letters: 0, audit: 25 };
/** What a record says anyway in other cells. */
const SAID = ["id", "type", "kind", "at", "received_at"];

let streams = new Set(), type = "", needle = "", newTypes = false, appId = "", isDefault = false;
const types = new Set();

const view = {
  what: "all streams", all: "streams/{stream}/records",
  rows: 200,
  /** Columns of the chart and the seconds of one: five minutes, when there is as much to show. */
  span: (seconds) => (seconds < 60 ? [60, 1] : seconds < 150 ? [150, 1] : [150, 2]),

  found(app) {
    appId = String(app?.id ?? "");
    isDefault = app?.bundle_id === "default.app.local";
    $("example").textContent = `curl '${new URL("t/hello?from=curl", location.href)}'`;
    if (!isDefault || !isHere()) $("example").textContent = `curl '${new URL(pathOf("events"), location.href)}' -H "Authorization: Bearer $KEY" -d '{"type": "hello"}'`;
  },

  async wanted(signal) {
    const { items } = await (await ask(pathOf("streams?limit=1000"), "application/json", signal)).json();
    const names = items.map(({ stream }) => stream);
    if (names.length > MAX_STREAMS && !cursor) notice(`this app has ${names.length} streams; these are not followed here: ${names.slice(MAX_STREAMS).join(", ")}`);
    const known = Object.keys(HUES), rank = (name) => (known.includes(name) ? known.indexOf(name) : known.length);
    for (const name of names.slice(0, MAX_STREAMS).sort((a, b) => rank(a) - rank(b))) chip(name);
    return { streams: names.slice(0, MAX_STREAMS).join(",") };
  },

  typeOf(frame) {
    if (frame === null) return "(unreadable)";
    const { data } = frame, said = [data?.type, data?.kind, data?.action, data?.state, data?.code, data?.body?.type].find((name) => typeof name === "string" && name);
    const name = short(said ?? "");
    if (name && types.size < TYPES && !types.has(name)) { types.add(name); newTypes = true; }
    return name;
  },

  matches(entry) {
    return (!streams.size || streams.has(entry.stream)) && (!type || entry.type === type) && (!needle || entry.raw.toLowerCase().includes(needle));
  },
  isFiltered: () => Boolean(streams.size || type || needle),

  hueOf: (stream) => HUES[stream] ?? hue(stream),

  fill(cell, record, entry) {
    const data = record?.data, isObject = data && typeof data === "object" && !Array.isArray(data);
    cell("time").textContent = clock(record?.at);
    cell("time").title = `durable at ${record?.at ?? "?"}`;
    cell("stream").textContent = entry.stream || "–";
    if (!entry.type) cell("type").textContent = "–";
    if (!isObject) return showPairs(cell("params"), data, entry.raw);
    const rest = () => Object.fromEntries(Object.entries(data).filter(([name, value]) => !SAID.includes(name) && value !== entry.type));
    showPairs(cell("params"), "body" in data ? data.body : data.params ?? rest(), data.query ?? data.id);
  },

  counted() {
    for (const [stream, meter] of meters) {
      const button = chip(stream);
      digits(button.querySelector(".n"), meter.seen);
      button.querySelector(".rate").textContent = `${rateText(meter.rate(10_000))}/s`;
      button.classList.toggle("quiet-now", !meter.seen);
      const lost = meter.skipped ? `, ${meter.skipped.toLocaleString("en")} skipped` : "";
      button.title = `${meter.seen.toLocaleString("en")} records of ${stream} seen${lost}; press to see only chosen streams`;
    }
    offerTypes();
  },

  chooseType(name) {
    types.add(name); newTypes = true;
    type = name;
    offerTypes();
    $("type").value = name;
    refilter();
  },
};

/** The button of a stream, with its counts. */
function chip(stream) {
  const known = [...$("streams").children].find((button) => button.dataset.stream === stream);
  if (known) return known;
  meterOf(stream);
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.stream = stream;
  button.setAttribute("aria-pressed", false);
  button.style.setProperty("--hue", view.hueOf(stream));
  for (const [name, text] of [["name", stream], ["n", "0"], ["rate", "0/s"]]) {
    const part = button.appendChild(document.createElement("span"));
    part.className = name; part.textContent = text;
  }
  button.addEventListener("click", () => {
    streams.delete(stream) || streams.add(stream);
    button.setAttribute("aria-pressed", streams.has(stream));
    $("streams").classList.toggle("chosen", streams.size > 0);
    refilter();
  });
  return $("streams").appendChild(button);
}

/** Not while it is used: an open list would close. */
function offerTypes() {
  if (!newTypes || (document.activeElement === $("type") && !type)) return;
  newTypes = false;
  const options = ["", ...[...types].sort()].map((name) => {
    const option = document.createElement("option");
    option.value = name; option.textContent = name || "all types";
    return option;
  });
  $("type").replaceChildren(...options);
  $("type").value = type;
}

/** Whether the server is on this machine, where it takes some calls without a key. */
const isHere = () => ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

// ---- trying it -------------------------------------------------------------------------------------------------------------------

const post = (path, headers) => fetch(path, { method: "POST", headers: { Accept: "application/json", "Content-Type": "application/json", ...headers }, body: $("message").value });

/** A key that only reads may not send; the default app takes messages of anybody on the server's own machine. */
async function send() {
  const refusal = async (answer) => { const { detail, title } = await answer.json().catch(() => ({})); return `${answer.status}: ${detail ?? title ?? "not taken"}`; };
  const first = await post(pathOf("messages"), { Authorization: `Bearer ${key}` });
  if (first.ok) return taken(first);
  if (first.status === 403 && isDefault) {
    const second = await post("dummy", {});
    if (second.ok) return taken(second);
    if (second.status === 400 || second.status === 413 || second.status === 422) throw new Error(await refusal(second));
  }
  throw new Error(first.status === 403 ? "403: this key may only read; connect with one that may send" : await refusal(first));
}

async function taken(answer) {
  const said = await answer.json().catch(() => null), where = /apps\/([^/]+)\/messages\/([^/]+)$/.exec(answer.headers.get("Location") ?? "");
  const elsewhere = where && appId && where[1] !== appId ? `; it went to the server's default app, ${where[1]}, and is not shown here` : "";
  return `${answer.status}: durable as ${said?.id ?? where?.[2] ?? "a message without an id"}${elsewhere}`;
}

async function sendNow(event) {
  event.preventDefault();
  const button = $("send").querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  let text = "", failed = false;
  if (!key || !$("ask").hidden) [text, failed] = ["connect with a key first", true];
  else try { text = await send(); } catch (error) { [text, failed] = [error instanceof TypeError ? "the server cannot be reached" : error.message, true]; }
  $("sent").textContent = text;
  $("sent").classList.toggle("bad", failed);
  button.disabled = false;
}

$("send").addEventListener("submit", sendNow);
$("message").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) sendNow(event); });
$("filter").addEventListener("input", () => { needle = $("filter").value.trim().toLowerCase(); refilter(); });
$("type").addEventListener("change", () => { type = $("type").value; refilter(); });
$("compose").addEventListener("click", () => { $("try").open = true; $("message").focus(); });

begin();
