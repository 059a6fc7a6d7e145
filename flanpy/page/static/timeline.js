// What happened and what was repaired over time: lanes of bars, and the list.

import { byId, el, svg } from "./dom.js";
import { count, full, kindText, now, stamp } from "./words.js";

const LANES = [
  ["conditions", ["started", "condition_raised", "phase_changed"]],
  ["repairs", ["repaired", "resync"]],
  ["peers", ["peer_joined", "peer_left", "peer_changed"]],
  ["reach", ["peer_unreachable", "peer_reachable"]],
  ["lease", ["lease_changed", "network_joined", "network_left"]],
];
const SPANS = [[900, "15 min"], [3600, "1 h"], [21600, "6 h"], [86400, "24 h"]];
const BINS = 60;
const LINES = 20;
const ROW = 26;

let events = [];
let all = false;

export function startTimeline() {
  byId("events").tHead.append(el("tr", {}, ...["First", "Last", "Event", "Times"].map((title) =>
    el("th", { scope: "col", class: title === "Times" ? "number" : "" }, title))));
  byId("events-all").addEventListener("click", () => {
    all = !all;
    drawEvents(events);
  });
}

export function drawEvents(found) {
  events = found;
  drawTimeline();
  const newest = [...events].reverse();
  byId("events").tBodies[0].replaceChildren(...newest.slice(0, all ? newest.length : LINES).map(line));
  byId("events-all").hidden = newest.length <= LINES;
  byId("events-all").textContent = all ? `Show the newest ${LINES}` : `Show all ${newest.length}`;
}

export function drawTimeline() {
  const end = now();
  const oldest = events.length ? end - events[0].at : 0;
  const [seconds, text] = SPANS.find(([length]) => oldest <= length) ?? SPANS[SPANS.length - 1];
  const shown = events.filter((event) => end - event.at <= seconds);
  const width = Math.max(280, Math.min(byId("timeline").clientWidth || 600, 1200));
  const height = LANES.length * ROW + 20;
  const summary = LANES.map(([name, kinds]) => `${name} ${total(shown, kinds)}`).join(", ");
  byId("timeline").replaceChildren(svg("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Events of the last ${text}: ${summary}`,
  }, ...LANES.flatMap(([name, kinds], index) => lane(name, kinds, index, { shown, end, seconds, width })),
  svg("text", { x: 84, y: height - 4, class: "small dim" }, `${text} ago`),
  svg("text", { x: width - 2, y: height - 4, class: "small dim", "text-anchor": "end" }, "now")));
}

function total(shown, kinds) {
  return shown.reduce((sum, event) => sum + (kinds.includes(event.kind) ? event.count : 0), 0);
}

function lane(name, kinds, index, { shown, end, seconds, width }) {
  const base = (index + 1) * ROW - 4;
  const [left, room] = [84, width - 86];
  const bins = new Array(BINS).fill(0);
  const bad = new Array(BINS).fill(false);
  for (const event of shown.filter((one) => kinds.includes(one.kind))) {
    const bin = Math.max(0, Math.min(BINS - 1, Math.floor((1 - (end - event.at) / seconds) * BINS)));
    bins[bin] += event.count;
    bad[bin] ||= ["condition_raised", "peer_unreachable"].includes(event.kind);
  }
  const most = Math.max(...bins);
  const bars = bins.map((number, bin) => number && svg("rect", {
    x: left + (bin * room) / BINS, width: Math.max(2, room / BINS - 1), rx: 1,
    y: base - barHeight(number, most), height: barHeight(number, most), class: `bar-${name}${bad[bin] ? " bad" : ""}`,
  }, svg("title", {}, count(number, "event"))));
  return [
    svg("text", { x: 0, y: base - 2, class: "small" }, name),
    svg("line", { x1: left, x2: width, y1: base + 0.5, y2: base + 0.5, class: "axis" }),
    ...bars.filter(Boolean),
  ];
}

function barHeight(number, most) {
  return 6 + (12 * Math.log1p(number)) / Math.log1p(most);
}

// One row from the first time to the last, in the daemon's own sentence.
function line(event) {
  const first = event.first_at || event.at;
  const bad = ["condition_raised", "peer_unreachable"].includes(event.kind);
  const time = (at) => el("td", { class: "time" }, el("time", { datetime: full(at), title: full(at) }, stamp(at)));
  return el("tr", { class: bad ? "bad" : "" },
    time(first), event.at > first ? time(event.at) : el("td", {}),
    el("td", { class: "why", title: `${kindText(event.kind)}: ${event.what}` }, sentence(event)),
    el("td", { class: "number" }, event.count > 1 ? String(event.count) : ""));
}

// A daemon of an earlier version, whose stream goes on through an upgrade, makes no sentence.
export function sentence(event) {
  return event.text ?? `${kindText(event.kind)} ${event.what}: ${event.why}`;
}
