// What is known of two hosts: both directions, now and over the last day, their containers, and where to look next.

import { byId, copied, el, shellWord, svg } from "./dom.js";
import { REACH, SESSION, ago, count, milliseconds, percent, stamp } from "./words.js";

let mesh = null;
let shown = null;

export function drawDrawer(found) {
  mesh = found;
  if (shown && byId("drawer").open) fill(byId("drawer").querySelector(".graphs")?.childNodes ?? []);
}

export async function openDrawer(from, to) {
  shown = [from, to];
  fill([el("p", { class: "hint" }, "asking for the last 24 h")]);
  if (!byId("drawer").open) byId("drawer").showModal();
  const mine = shown;
  const graphs = await lastDay(from, to);
  if (shown === mine) byId("drawer").querySelector(".graphs").replaceChildren(...graphs);
}

export function startDrawer() {
  const drawer = byId("drawer");
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
  drawer.addEventListener("close", () => { shown = null; });
}

function fill(graphs) {
  const [from, to] = shown;
  const close = el("button", { type: "button", class: "close" }, "Close");
  close.addEventListener("click", () => byId("drawer").close());
  byId("drawer").replaceChildren(
    el("div", { class: "bar" }, el("h2", { id: "drawer-title" }, `${from} ↔ ${to}`), close),
    el("ul", { class: "plain" }, direction(from, to), direction(to, from)),
    el("div", { class: "graphs" }, ...graphs),
    ...[from, to].map((name) => host(name, name === from ? to : from)));
}

function direction(from, to) {
  const { reach, trouble, rtt_ms, loss } = mesh.reach(from, to);
  const parts = [REACH[reach].text, trouble, rtt_ms === null || rtt_ms === undefined ? "" : `${milliseconds(rtt_ms)} ms`,
    loss === null || loss === undefined ? "" : `${percent(loss)} lost`];
  return el("li", { class: `reach ${reach}` }, el("b", {}, `${REACH[reach].mark || (reach === "reachable" ? "✓" : "?")} ${from} → ${to}`),
    `: ${parts.filter(Boolean).join(", ")}`);
}

function host(name, other) {
  const about = mesh.about.get(name) ?? {};
  const self = name === mesh.self;
  return el("section", { class: "of" },
    el("h3", {}, name, " ", el("span", { class: "reason" }, [self ? "this host" : "", about.address, about.subnet].filter(Boolean).join(" · "))),
    el("p", {}, containers(about)),
    ...(about.sessions ?? []).map((one) => el("p", { class: `session ${one.state}` }, session(one))),
    el("p", { class: "hint" }, `On ${name}, follow a packet to ${other}:`),
    copied(`flanpyctl trace ${shellWord(other, mesh.about.get(other)?.subnet)}`),
    self ? null : page(name, about));
}

// This host's session with a peer: who it is by its key, and where its packets come from.
function session(one) {
  const strays = one.endpoint && one.endpoint_wanted && one.endpoint !== one.endpoint_wanted;
  return [`WireGuard, key ${one.key}: ${SESSION[one.state] ?? one.state}`, `at ${one.endpoint ?? one.endpoint_wanted}`,
    strays ? `its lease says ${one.endpoint_wanted}` : "",
    one.handshake_at ? `last handshake ${ago(one.handshake_at)}` : ""].filter(Boolean).join(", ");
}

function containers(about) {
  if (!about.containers) return "Containers: not told (a host with a status page tells them)";
  if (!about.containers.length) return "No container on the overlay";
  return `${count(about.containers.length, "container")}: ${about.containers.join(", ")}`;
}

function page(name, about) {
  if (about.page) return el("p", {}, el("a", { href: about.page, rel: "noreferrer" }, `The page of ${name}`));
  if (!about.containers) return el("p", { class: "hint" }, `${name} has no page that it tells of: see --page-listen`);
  return el("div", {}, el("p", { class: "hint" }, `The page of ${name} answers there only; from here:`), copied(`ssh -L 8475:127.0.0.1:8474 ${about.address || shellWord(name, "HOST")}`));
}

async function lastDay(one, other) {
  try {
    const answer = await fetch(`pair?${new URLSearchParams({ one, other })}`);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const day = await answer.json();
    return day.out ? [graph(one, other, day.out, day), graph(other, one, day.back, day)] : [el("p", { class: "hint" }, "No last 24 h are kept here")];
  } catch (error) {
    return [el("p", { class: "hint" }, `The last 24 h did not come: ${error.message}`)];
  }
}

// Losses as bars from above, round trips as a line from below; what was not measured is a gap.
function graph(from, to, told, { end, step }) {
  const [width, height, count_of] = [360, 64, told.worst.length];
  const most = Math.max(0, ...told.rtt_ms.filter((one) => one !== null));
  const x = (index) => (index * width) / count_of;
  const bars = told.loss.map((loss, index) => (loss ? svg("rect", { x: x(index), y: 0, width: width / count_of, height: Math.max(2, loss * height), class: "loss" }) : null));
  const dots = told.rtt_ms.map((rtt, index) => (rtt === null ? null : svg("circle", { cx: x(index + 0.5), cy: height - 3 - (most ? (rtt / most) * (height - 22) : 0), r: 1.6, class: "rtt" })));
  const losses = told.loss.filter((one) => one !== null);
  const mean = losses.length ? losses.reduce((sum, one) => sum + one, 0) / losses.length : null;
  const caption = `${from} → ${to}: ${mean === null ? "nothing measured" : `${percent(mean)} lost, round trip up to ${most ? `${milliseconds(most)} ms` : "?"}`}`;
  return el("figure", {}, el("figcaption", {}, caption),
    svg("svg", { viewBox: `0 0 ${width} ${height + 14}`, width, height: height + 14, role: "img", "aria-label": `${caption}, over 24 h` },
      ...bars.filter(Boolean), ...dots.filter(Boolean),
      svg("line", { x1: 0, x2: width, y1: height, y2: height, class: "axis" }),
      svg("text", { x: 0, y: height + 12, class: "small dim" }, stamp(end - step * count_of).replace(/:\d\d$/, "")),
      svg("text", { x: width, y: height + 12, class: "small dim", "text-anchor": "end" }, "now")));
}
