// ---- what is kept: the newest of everything, and the newest that match the filter -------------------------------------------------

const KEPT = 1000, KEPT_CHARS = 4 << 20;
const STEP = 80;                   // rows made in one frame, at most: about a screenful
const FAST = 20;                   // records per second from which on a list is stopped to be read

/** The newest entries, bounded in number and in size. */
class Newest {
  #entries = []; #first = 0; #chars = 0;
  get length() { return this.#entries.length - this.#first; }
  push(entry) {
    this.#entries.push(entry);
    this.#chars += entry.raw?.length ?? 0;
    while (this.length > KEPT || (this.#chars > KEPT_CHARS && this.length > 1)) {
      this.#chars -= this.#entries[this.#first].raw?.length ?? 0;
      this.#entries[this.#first] = undefined;
      this.#first += 1;
    }
    if (this.#first >= KEPT) { this.#entries.splice(0, this.#first); this.#first = 0; }
  }
  newest(n) { return this.#entries.slice(Math.max(this.#first, this.#entries.length - n)); }
}

class Kept {
  all = new Newest(); matching = new Newest();
  push(entry) {
    this.all.push(entry);
    if (this.matches(entry)) this.matching.push(entry);
  }
  matches(entry) { return Boolean(entry.notice) || view.matches(entry); }
  absorb(other) {
    for (const entry of other.all.newest(KEPT)) this.all.push(entry);
    for (const entry of other.matching.newest(KEPT)) this.matching.push(entry);
    other.empty();
  }
  /** Both lists are searched: a rare record that matched before may be older than everything in `all`. */
  filter() {
    const known = [...new Set([...this.all.newest(KEPT), ...this.matching.newest(KEPT)])].sort((a, b) => a.seq - b.seq);
    this.matching = new Newest();
    for (const entry of known) if (this.matches(entry)) this.matching.push(entry);
  }
  empty() { this.all = new Newest(); this.matching = new Newest(); }
}

const list = new Kept(), waiting = new Kept();
let paused = false;

function keep(entry) {
  (paused ? waiting : list).push(entry);
  if (!paused) wish();
}

// ---- drawing -------------------------------------------------------------------------------------------------------------------

let drawn = 0, redraw = false, wished = false, restUntil = 0;

/** One frame is asked for at a time; a hidden page is given none, and draws when it is seen again. */
function wish() {
  if (wished) return;
  wished = true;
  requestAnimationFrame(frame);
}

/** Draws, then rests three times as long as drawing and layout took: under any load most of the time is left to reading and to the user. */
function frame() {
  wished = false;
  const began = performance.now();
  if (began < restUntil) return wish();
  restUntil = Infinity;
  draw();
  setTimeout(() => { const ended = performance.now(); restUntil = ended + 3 * (ended - began); });
}

/** A screenful per frame: the newest on top first, then older ones below until all that are shown are there. In a flood it stays at the newest. */
function draw() {
  const rows = $("rows"), entries = list.matching.newest(view.rows);
  let top = entries.length;  // entries[top] is the newest one that is drawn
  while (!redraw && top > 0 && entries[top - 1].seq > drawn) top -= 1;
  let room = Math.max(0, STEP - (entries.length - top));
  if (redraw || entries.length - top > view.rows / 2) { rows.replaceChildren(); top = Math.max(0, entries.length - STEP); room = 0; }
  rows.prepend(rowsOf(entries.slice(top)));
  while (rows.childElementCount > entries.length) rows.lastElementChild.remove();
  const below = entries.length - rows.childElementCount;
  if (room) rows.append(rowsOf(entries.slice(Math.max(0, below - room), below)));
  drawn = entries.at(-1)?.seq ?? drawn;
  redraw = false;
  if (rows.childElementCount < entries.length) wish();
  $("empty").hidden = rows.childElementCount > 0;
  const filtered = list.all.length > 0 || view.isFiltered(), example = !filtered && $("example").textContent;
  $("empty-why").textContent = filtered ? "Nothing here matches the filter yet." : `Nothing yet. What comes appears here at once${example ? "; this sends something:" : "."}`;
  $("example").hidden = !example;
  if ($("compose")) $("compose").hidden = filtered;
}

function rowsOf(entries) {
  const fragment = document.createDocumentFragment();
  for (let i = entries.length - 1; i >= 0; i -= 1) fragment.append(entries[i].notice ? noticeRow(entries[i]) : recordRow(entries[i]));
  return fragment;
}

function noticeRow(entry) {
  const row = document.createElement("li");
  row.className = "notice";
  row.textContent = entry.notice;
  if (entry.gap) row.dataset.gap = entry.gap;
  return row;
}

function recordRow(entry) {
  const row = $("row").content.firstElementChild.cloneNode(true), record = parse(entry.raw);
  const cell = (name) => row.querySelector(`.${name}`);
  row.entry = entry;
  row.dataset.type = entry.type;
  row.dataset.stream = entry.stream;
  row.style.setProperty("--hue", view.hueOf ? view.hueOf(entry.stream) : hue(entry.type));
  cell("type").textContent = cell("type").title = entry.type;
  view.fill(cell, record, entry);
  row.firstElementChild.open = Boolean(entry.open);
  return row;
}

const words = (parts, between) => parts.filter((part) => part !== undefined && part !== null && part !== "").join(between);

/** The first members of an object, or the beginning of whatever it is. */
function showPairs(cell, value, instead = "") {
  const pairs = value && typeof value === "object" ? Object.entries(value) : [];
  if (!pairs.length) { cell.textContent = short(typeof value === "object" || value === undefined ? instead : value); return; }
  for (const [name, value] of pairs.slice(0, 8)) {
    const pair = cell.appendChild(document.createElement("b"));
    pair.appendChild(document.createElement("i")).textContent = `${short(name)}=`;
    pair.append(short(value));
  }
  if (pairs.length > 8) cell.appendChild(document.createElement("b")).textContent = `+${pairs.length - 8}`;
}

function short(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** Numbers that JavaScript cannot hold (64-bit ids) are shown as they were sent, where the browser can tell (JSON.rawJSON). */
function parse(raw) {
  const asSent = (_, value, context) => (typeof value === "number" && context?.source && String(value) !== context.source ? JSON.rawJSON(context.source) : value);
  try { return JSON.parse(raw, JSON.rawJSON && asSent); } catch { return null; }
}

function clock(instant) {
  const at = new Date(instant), two = (n) => String(n).padStart(2, "0");
  return Number.isNaN(at.getTime()) ? "–" : `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

function hue(text) {
  let hash = 0;
  for (let i = 0; i < text.length; i += 1) hash = (hash * 31 + text.charCodeAt(i)) | 0;
  return Math.abs(hash * 137) % 360;
}

// ---- a record in full -----------------------------------------------------------------------------------------------------------

/** The record is put into the document when it is opened and taken out when it is closed. */
function toggled({ target: details }) {
  const { entry } = details.closest("li");
  entry.open = details.open;
  details.querySelector(".record")?.remove();
  if (!details.open) return;
  details.append(recordBox(entry, parse(entry.raw)));
  if (rateOver(10_000) > FAST) pause(true);  // or it would be gone before it is read
}

function recordBox({ type, raw }, record) {
  const box = document.createElement("div"), tools = box.appendChild(document.createElement("p"));
  const text = record ? JSON.stringify(record.data ?? record, null, 2) : raw;
  box.className = "record";
  if (type) addButton(tools, "only this type", () => view.chooseType(type));
  addButton(tools, "copy", ({ target }) => copy(text, target));
  for (const [name, value] of [["id", record?.data?.id], ["cursor", record?.cursor]]) {
    if (typeof value !== "string" || !value) continue;
    const place = tools.appendChild(document.createElement("span"));
    place.className = name;
    place.append(`${name} `);
    place.appendChild(document.createElement("code")).textContent = value;
    addButton(place, "copy", ({ target }) => copy(value, target)).setAttribute("aria-label", `copy the ${name}`);
  }
  box.appendChild(document.createElement("pre")).textContent = text;
  return box;
}

function addButton(where, text, act) {
  const button = where.appendChild(document.createElement("button"));
  button.className = "quiet"; button.type = "button"; button.textContent = text;
  button.addEventListener("click", act);
  return button;
}

/** Pages that are not on HTTPS or this machine have no clipboard of the newer kind. */
async function copy(text, button) {
  let done = false;
  try { await navigator.clipboard.writeText(text); done = true; } catch {
    const area = button.parentElement.appendChild(document.createElement("textarea"));
    area.value = text; area.className = "unseen";
    area.select();
    try { done = document.execCommand("copy"); } catch { /* said below */ }
    area.remove();
    button.focus();
  }
  button.textContent = done ? "copied" : "not allowed by the browser";
  announce(button.textContent);
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

// ---- controls ------------------------------------------------------------------------------------------------------------------

function refilter() {
  list.filter(); waiting.filter();
  redraw = true;
  wish();
}

function pause(on) {
  if (paused === on) return;
  paused = on; held = 0;
  if (!on) { list.absorb(waiting); wish(); }
  $("pause").textContent = on ? "Resume" : "Pause";
  $("pause").setAttribute("aria-pressed", on);
  announce(on ? "paused" : "resumed");
  count();
}

function clear() {
  list.empty(); waiting.empty();
  for (const meter of meters.values()) meter.seen = meter.skipped = 0;
  held = 0;
  $("missed").hidden = true;
  $("since").textContent = clock(Date.now()).slice(0, 5);
  redraw = true;
  wish(); count();
}

/** Up and down arrows move from row to row. */
function moved(event) {
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (!step || event.target.localName !== "summary") return;
  event.preventDefault();
  let row = event.target.closest("li")[step];
  while (row && !row.entry) row = row[step];
  row?.querySelector("summary")?.focus();
}

/** Who walks through the rows with the keyboard must not lose the one that has the focus. */
function focused({ target }) {
  if (target.matches("summary:focus-visible") && rateOver(10_000) > FAST) pause(true);
}

function listen() {
  $("pause").addEventListener("click", () => pause(!paused));
  $("clear").addEventListener("click", clear);
  $("rows").addEventListener("toggle", toggled, true);
  $("rows").addEventListener("keydown", moved);
  $("rows").addEventListener("focusin", focused);
  document.addEventListener("visibilitychange", count);
  setInterval(count, 250);
}

