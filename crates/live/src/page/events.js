// ---- the page of tracking events ------------------------------------------------------------------------------------------------

let only = "", needle = "";

const view = {
  what: "live events", all: "events",
  rows: 500,
  span: () => [60, 1],

  found() {
    $("example").textContent = `curl ${new URL(pathOf("events"), location.href)} -H "Authorization: Bearer $KEY" \\\n     -H "Content-Type: application/json" -d '{"type": "hello", "params": {"from": "curl"}}'`;
  },
  wanted: () => (only ? { streams: "events", type: only } : { streams: "events" }),
  typeOf: (frame) => String(frame?.data?.type ?? "(unreadable)"),
  matches: ({ type }) => (!only || type === only) && (!needle || type.toLowerCase().includes(needle)),
  isFiltered: () => Boolean(only || needle),
  counted() {},

  fill(cell, record) {
    const event = record?.data ?? {}, meta = event.meta ?? {};
    cell("time").textContent = clock(event.received_at ?? event.at ?? record?.at);
    cell("time").title = `at ${event.at ?? "?"}, received ${event.received_at ?? "?"}`;
    cell("device").textContent = cell("device").title = words([meta.type, words([meta.browser, meta.version], " "), meta.os], " · ") || "–";
    cell("place").textContent = cell("place").title = words([meta.country, meta.city].map((name) => (name === "XX" ? "" : name)), " · ") || "–";
    showPairs(cell("params"), event.params, event.query);
  },

  /** Exactly one type, chosen by the server; "" is all types. */
  chooseType(type) {
    if (type === only) return;
    if (only) {
      cursor = "";  // the last event of a rare type may lie far back: do not replay all that came since
      notice("the choice of type changed here: other types that came before this line are not shown; they are in the stream");
    }
    only = type; needle = ""; $("filter").value = "";
    $("only").hidden = !only;
    $("only").firstElementChild.textContent = `only ${only}`;
    refilter();
    if ($("ask").hidden) run();
  },
};

$("filter").addEventListener("input", () => { needle = $("filter").value.trim().toLowerCase(); refilter(); });
$("filter").addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) view.chooseType($("filter").value.trim()); });
$("only").addEventListener("click", () => { view.chooseType(""); $("filter").focus(); });

begin();
