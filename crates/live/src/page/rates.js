// ---- counting ------------------------------------------------------------------------------------------------------------------

const TENTHS = 110, SECONDS = 310; // arrivals of the last 11 s in tenths of a second, of the last five minutes in seconds
const METERS = 32;                 // streams with a counter of their own, at most

const now = () => Math.floor(performance.now() / 100);

/** What came of one stream. */
class Meter {
  seen = 0; skipped = 0; at = now();
  tenths = new Uint32Array(TENTHS); seconds = new Uint32Array(SECONDS);
  advance() {
    const to = now(), second = Math.floor(to / 10);
    for (let i = Math.max(this.at + 1, to - TENTHS + 1); i <= to; i += 1) this.tenths[i % TENTHS] = 0;
    for (let i = Math.max(Math.floor(this.at / 10) + 1, second - SECONDS + 1); i <= second; i += 1) this.seconds[i % SECONDS] = 0;
    this.at = to;
  }
  add() {
    this.advance();
    this.seen += 1;
    this.tenths[this.at % TENTHS] += 1;
    this.seconds[Math.floor(this.at / 10) % SECONDS] += 1;
  }
  /** Arrivals per second over the last full tenths. */
  rate(ms) {
    this.advance();
    let n = 0;
    for (let i = Math.max(0, this.at - ms / 100); i < this.at; i += 1) n += this.tenths[i % TENTHS];
    return n / (ms / 1000);
  }
  /** Arrivals per second of the last `columns` times `step` seconds, the newest last. */
  history(columns, step) {
    this.advance();
    const second = Math.floor(this.at / 10), column = Math.floor(second / step);
    return Array.from({ length: columns }, (_, i) => {
      let n = 0;
      for (let s = (column - columns + 1 + i) * step, end = Math.min(second, s + step - 1); s <= end; s += 1) if (s >= 0) n += this.seconds[s % SECONDS];
      return n / step;
    });
  }
}

const meters = new Map();
let held = 0;

function meterOf(stream) {
  const name = meters.has(stream) || meters.size < METERS ? stream : "(others)";
  if (!meters.has(name)) meters.set(name, new Meter());
  return meters.get(name);
}

function arrived(stream) {
  meterOf(stream).add();
  if (paused) held += 1;
}

function skipped(stream, n) { meterOf(stream).skipped += n; }

const sum = (of) => [...meters.values()].reduce((all, meter) => all + of(meter), 0);
const rateOver = (ms) => sum((meter) => meter.rate(ms));
const rateText = (rate) => (rate && rate < 10 ? rate.toFixed(1).replace(/\.0$/, "") : String(Math.round(rate)));

function count() {
  if (document.hidden) return;
  const gaps = sum((meter) => meter.skipped);
  digits($("rate"), rateText(rateOver(1000)));
  digits($("rate10"), rateText(rateOver(10_000)));
  digits($("total"), sum((meter) => meter.seen));
  digits($("gaps"), gaps);
  $("gaps").parentElement.classList.toggle("some", gaps > 0);
  digits($("waiting"), held, " waiting");
  $("waiting").hidden = !paused;
  chart();
  view.counted();
}

/** Streams stand on each other. */
function chart() {
  const [columns, step] = view.span(performance.now() / 1000), high = 40, base = new Array(columns).fill(0);
  const histories = [...meters].map(([stream, meter]) => [stream, meter.history(columns, step)]);
  const sums = base.map((_, i) => histories.reduce((all, [, history]) => all + history[i], 0)), peak = Math.max(...sums);
  $("chart").setAttribute("viewBox", `0 0 ${columns} ${high}`);
  $("ago").textContent = columns * step > 90 ? `${columns * step / 60} min ago` : `${columns * step} s ago`;
  for (const [stream, history] of histories) {
    const d = history.map((n, i) => {
      if (!n) return "";
      const from = base[i];
      base[i] += n;
      const y = (value) => (high - Math.max(value ? 0.8 : 0, 0.95 * high * value / peak)).toFixed(2);
      return `M${i} ${y(from)}V${y(base[i])}h.84V${y(from)}z`;
    }).join("");
    pathOfChart(stream).setAttribute("d", d);
  }
  $("peak").textContent = `peak ${peak && peak < 10 ? rateText(peak) : Math.round(peak).toLocaleString("en")}/s`;
}

function pathOfChart(stream) {
  const known = [...$("chart").children].find((path) => path.dataset.stream === stream);
  if (known) return known;
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.dataset.stream = stream;
  if (view.hueOf) path.style.setProperty("--hue", view.hueOf(stream));
  return $("chart").appendChild(path);
}

/** Grouped for the eye by margins; the text itself stays plain digits. */
function digits(element, n, unit = "") {
  if (element.textContent === `${n}${unit}`) return;
  const groups = String(n).match(/[\d.]{1,3}(?=(?:\d{3})*$)/g);
  element.replaceChildren(...groups.map((group) => {
    const span = document.createElement("span");
    span.className = "group"; span.textContent = group;
    return span;
  }), unit);
}

