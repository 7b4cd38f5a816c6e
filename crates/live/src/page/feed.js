"use strict";

// ---- taking in the feed --------------------------------------------------------------------------------------------------------

const RECORD_CHARS = 64 << 10;     // of larger records the long members are not kept
const MEMBER_CHARS = 2 << 10;      // such a member is longer than this
const LINE_CHARS = 8 << 20;        // longer lines of the feed are cut
const SILENCE_MS = 45_000;         // the server pings more often than this
const BACKOFF_MS = 500, BACKOFF_CAP_MS = 15_000, RETRY_AFTER_CAP_MS = 60_000;
const STEADY_MS = 10_000;          // a connection that lived this long starts the backoff anew
const WORK_MS = 8;                 // reading lets the page breathe after this long

const $ = (id) => document.getElementById(id);
let key = "", app = "", cursor = "", seq = 0;

/** Incremental parser of `text/event-stream` (WHATWG HTML, 9.2.6); a message that is cut off by the end of the connection never counts. */
function sse(onMessage) {
  let rest = "", afterCr = false, name = "", id = "", data = null;
  const field = (line) => {
    const colon = line.indexOf(":");
    const label = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (label === "data") data = data === null ? value : `${data}\n${value}`.slice(0, LINE_CHARS);
    else if (label === "id" && !value.includes("\0")) id = value;
    else if (label === "event") name = value;
  };
  return (text) => {
    if (!text) return;
    if (afterCr && text[0] === "\n") text = text.slice(1);
    afterCr = text.endsWith("\r");
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = lines.pop().slice(0, LINE_CHARS);
    for (const line of lines) {
      if (line) { field(line); continue; }
      onMessage(name, data, id);
      name = ""; data = null;
    }
  };
}

function take(name, data, id) {
  if (id) cursor = id;
  if (data === null || (name && name !== "message" && name !== "gap")) return;
  let frame = null;
  try { frame = JSON.parse(data); } catch { /* shown as unreadable */ }
  if (frame?.gap > 0) return takeGap(frame);
  if (name === "gap") return;
  const stream = String(frame?.stream ?? "(unknown)");
  arrived(stream);
  keep({ seq: ++seq, stream, type: view.typeOf(frame), raw: own(data.length > RECORD_CHARS ? shortened(frame, data) : data) });
}

function takeGap({ gap, stream, from, cursor: next }) {
  const n = Number(gap), what = n === 1 ? "1 record" : `${n.toLocaleString("en")} records`;
  skipped(String(stream ?? "(unknown)"), n);
  if (next) cursor = String(next);
  const where = from ? `: GET /v1/apps/${app}/streams/${stream}/records?after=${from}` : "";
  const text = `${what} of ${stream ?? "the feed"} skipped. Either this page could not keep up, then they are still in the stream${where}; or retention had removed them.`;
  keep({ seq: ++seq, gap: n, notice: text });
  $("missed").textContent = `At ${clock(Date.now()).slice(0, 8)}, ${text}`;  // stays, where in the list it is soon out of sight
  $("missed").hidden = false;
}

function notice(text) { keep({ seq: ++seq, notice: text }); }

/** A text that does not hold on to the chunk of the feed it was cut from. */
const own = (text) => ` ${text}`.slice(1);

/** A record without its long members. */
function shortened(frame, data) {
  const left = (chars) => `(${chars.toLocaleString("en")} characters, too many to keep on this page; the whole record is in the stream)`;
  const isPlain = frame?.data && typeof frame.data === "object" && !Array.isArray(frame.data);
  const members = Object.entries(isPlain ? frame.data : {}).map(([name, value]) => {
    const chars = JSON.stringify(value).length;
    return [name, chars > MEMBER_CHARS ? left(chars) : value];
  });
  const kept = JSON.stringify({ ...frame, data: members.length ? Object.fromEntries(members) : left(data.length) });
  return kept.length > RECORD_CHARS ? JSON.stringify({ stream: frame?.stream, at: frame?.at, cursor: frame?.cursor, data: left(data.length) }) : kept;
}

// ---- the connection ------------------------------------------------------------------------------------------------------------

/** An answer that is not a success. */
class Refusal extends Error {
  constructor(status, problem, retryAfter) {
    super(String(problem?.detail || problem?.title || `the server answered ${status}`));
    this.status = status;
    this.aboutCursor = status === 410 || /cursor|after/i.test(`${problem?.code} ${problem?.detail}`);
    this.waitMs = Math.min(RETRY_AFTER_CAP_MS, 1000 * (Number(retryAfter) || 0));
  }
  get needsKey() { return this.status === 401 || this.status === 403 || this.status === 404; }
}

let turn = 0, link = new AbortController(), wake = () => {}, heardAt = 0;

/** Follows the feed until the key is refused or another call takes over. */
async function run() {
  const mine = ++turn;
  link.abort(); wake();
  for (let failures = 0; mine === turn;) {
    const { signal } = link = new AbortController();
    const began = heardAt = Date.now();
    let trouble = null;
    try {
      say("busy", "connecting");
      await findApp(signal);
      await follow(signal);
    } catch (error) { trouble = signal.aborted ? signal.reason : error; }
    if (mine !== turn) return;
    link.abort();
    if (trouble instanceof Refusal && trouble.needsKey) return refused(trouble);
    if (trouble instanceof Refusal && trouble.aboutCursor && cursor) {
      cursor = "";
      notice(`the server could not resume where this page stopped (${trouble.message}); what follows starts at the end of the stream`);
    }
    failures = Date.now() - began > STEADY_MS ? 1 : failures + 1;
    const backoff = Math.min(BACKOFF_CAP_MS, BACKOFF_MS * 2 ** failures) * (0.5 + Math.random() / 2);
    await countdown(Math.max(backoff, trouble?.waitMs ?? 0), reason(trouble), mine);
  }
}

async function ask(path, accept, signal) {
  const answer = await fetch(path, { headers: { Accept: accept, Authorization: `Bearer ${key}` }, cache: "no-store", signal });
  if (answer.ok) return answer;
  throw new Refusal(answer.status, await answer.json().catch(() => null), answer.headers.get("Retry-After"));
}

const pathOf = (rest) => `v1/apps/${encodeURIComponent(app)}/${rest}`;

/** The app's name, and the first app where none was asked for. A key too narrow to list apps can still follow one. */
async function findApp(signal) {
  if (app && $("app").dataset.app === app) return;
  let items = [];
  try {
    items = (await (await ask("v1/apps", "application/json", signal)).json()).items ?? [];
  } catch (error) {
    if (!app || !(error instanceof Refusal) || error.status === 401 || error.status >= 429) throw error;
  }
  if (!app && !items.length) throw new Refusal(404, { detail: "This key sees no app. Use a key that was made for one." });
  const found = app ? items.find((item) => item.id === app || item.bundle_id === app) : items[0];
  app ||= String(found.id);
  const name = String(found?.name || app);
  $("app").textContent = name;
  $("app").dataset.app = app;
  $("what").textContent = view.what;
  document.title = `${name} · ${view.what}`;
  $("all").textContent = `GET /v1/apps/${app}/${view.all}`;
  view.found(found);
  remember("app", app);
}

async function follow(signal) {
  const query = new URLSearchParams(await view.wanted(signal));
  if (cursor) query.set("after", cursor);
  const answer = await ask(`${pathOf("live")}?${query}`, "text/event-stream", signal);
  if (!/^text\/event-stream/i.test(answer.headers.get("Content-Type") ?? "")) throw new Error("the answer is not a live feed; is a proxy in between?");
  say("live", "live");
  wish();
  const reader = answer.body.getReader(), decoder = new TextDecoder(), feed = sse(take);
  for (let rested = performance.now(); ;) {
    const { done, value } = await reader.read();
    if (signal.aborted) throw signal.reason;
    if (done) return;
    heardAt = Date.now();
    feed(decoder.decode(value, { stream: true }));
    if (performance.now() - rested < WORK_MS) continue;
    await breathe();
    rested = performance.now();
  }
}

/** One turn of the event loop. Not a timer: those are slowed down in background tabs, and the server would have to skip records. */
const breathe = () => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); resolve(); };
  port2.postMessage(0);
});

function reason(trouble) {
  if (!trouble) return "the server closed the connection";
  if (!(trouble instanceof TypeError)) return trouble.message;  // fetch and read say TypeError when the network failed
  return navigator.onLine ? "the server cannot be reached" : "this device is offline";
}

async function countdown(ms, why, mine) {
  for (const until = Date.now() + ms; mine === turn && Date.now() < until;) {
    say("busy", `reconnecting in ${Math.ceil((until - Date.now()) / 1000)} s`, why);
    await new Promise((resolve) => { const timer = setTimeout(resolve, Math.min(1000, until - Date.now())); wake = () => { clearTimeout(timer); resolve(); }; });
  }
}

function say(kind, text, why = "") {
  document.body.dataset.state = kind;
  $("state").textContent = text;
  $("reason").textContent = why;
  announce([text.replace(/ in \d+ s$/, ""), why].filter(Boolean).join(": "));  // not every second of a countdown
}

function announce(text) {
  if ($("announce").textContent !== text) $("announce").textContent = text;
}

// ---- the key -------------------------------------------------------------------------------------------------------------------

function remember(name, value) {
  try { value ? sessionStorage.setItem(`angarium.${name}`, value) : sessionStorage.removeItem(`angarium.${name}`); } catch { /* storage is blocked: this page load only */ }
}
function recall(name) {
  try { return sessionStorage.getItem(`angarium.${name}`) ?? ""; } catch { return ""; }
}

function use(newKey, newApp) {
  if (newApp !== app || newKey !== key) { cursor = ""; delete $("app").dataset.app; }
  if (app && newApp !== app) clear();
  if (!/^[\x21-\x7e]+$/.test(newKey)) return askForKey("key refused", "A key is one word of letters, digits and underscores.");
  key = newKey; app = newApp;
  remember("key", key); remember("app", app);
  $("ask").hidden = true;
  document.body.dataset.asks = "";
  run();
}

/** `#key=…&app=…`, taken out of the address bar and the history at once. */
function useFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!given.get("key") && !given.get("app")) return false;
  history.replaceState(null, "", location.pathname + location.search);
  const newKey = given.get("key") || key || recall("key");
  if (newKey) use(newKey, given.get("app") ?? ""); else { app = given.get("app"); askForKey("needs a key"); }
  return true;
}

function refused({ status, message }) {
  if (status === 404) { remember("app", ""); return askForKey("app not found", message, key); }
  remember("key", "");
  askForKey("key refused", message);
}

function askForKey(state, problem = "", known = "") {
  turn += 1; link.abort(); wake();
  say("stopped", state, "enter a key that may read this app");
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
  $("app-id").value = app;
  $("key").value = known;
  $("ask").hidden = false;
  document.body.dataset.asks = "key";
  $("key").focus();
}

/** Called by a page's own script when all is there. */
function begin() {
  $("change").addEventListener("click", () => askForKey("stopped", "", key));
  $("form").addEventListener("submit", (event) => { event.preventDefault(); const given = $("key").value.trim(); $("key").value = ""; use(given, $("app-id").value.trim()); });
  addEventListener("hashchange", useFragment);
  addEventListener("online", () => { if (document.body.dataset.state === "busy" && $("ask").hidden) run(); });
  setInterval(() => { if (Date.now() - heardAt > SILENCE_MS) link.abort(new Error("nothing was heard for 45 s")); }, 1000);
  // Says what an operator must not overlook: who is let in without a key.
  fetch("health/ready", { cache: "no-store" }).then((answer) => answer.json()).then(({ parts }) => {
    $("open").textContent = parts.http.detail ?? "";
    $("open").hidden = !parts.http.detail;
  }).catch(() => {});
  listen();
  clear();
  if (useFragment()) return;
  const known = recall("key");
  if (known) use(known, recall("app")); else askForKey("needs a key");
}

