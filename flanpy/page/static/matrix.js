// Who reaches whom, as a table: every direction between two hosts is a cell, troubled hosts come first.

import { byId, el } from "./dom.js";
import { openDrawer } from "./drawer.js";
import { isTroubled } from "./model.js";
import { REACH, ago, count, milliseconds, percent } from "./words.js";

let cursor = null;
let current = null;
let nodes = [];

export function drawMatrix(mesh) {
  current = mesh;
  nodes = troubledFirst(mesh);
  if (nodes.length < 2) {
    byId("heat").replaceChildren(el("p", { class: "detail" }, mesh.count > 1 ? "Every measured direction is well." : "No other host has a subnet yet."));
    return;
  }
  byId("heat").closest(".views").classList.toggle("wide", nodes.length > 8);
  const size = nodes.length <= 8 ? "large" : nodes.length <= 24 ? "middle" : "small";
  const table = el("table", { class: `heat ${size}`, tabindex: 0, "aria-describedby": "heat-cell" },
    el("caption", { class: "unseen" }, "Reachability from each host to each other"),
    el("thead", {}, el("tr", {}, el("td", {}), ...nodes.map((node) => head(node, "col", size)))),
    el("tbody", {}, ...nodes.map((from) => row(from, size))));
  table.addEventListener("keydown", walk);
  table.addEventListener("pointerover", point);
  table.addEventListener("click", choose);
  const had = byId("heat").contains(document.activeElement);
  byId("heat").replaceChildren(table);
  if (had) table.focus();
  if (cursor) tell(...cursor);
}

function troubledFirst(mesh) {
  const bad = new Map(mesh.nodes.map((node) => [node, 0]));
  for (const pair of mesh.pairs.filter((one) => isTroubled(one.reach))) {
    for (const end of [pair.a, pair.b]) bad.set(end, bad.get(end) + 1);
  }
  return [...mesh.nodes].sort((one, other) => bad.get(other) - bad.get(one));  // stable: by name among equals
}

function head(node, scope, size) {
  const about = current.about.get(node);
  const more = scope === "row" && size === "large" && about ? [about.address, containersOf(about)].filter(Boolean).join(" · ") : "";
  return el("th", { scope, title: node, class: node === current.self ? "self" : "" },
    el("span", {}, node), more ? el("small", {}, more) : null);
}

function containersOf(about) {
  return about.containers ? count(about.containers.length, "container") : "";
}

function row(from, size) {
  return el("tr", {}, head(from, "row", size), ...nodes.map((to) => cell(from, to, size)));
}

function cell(from, to, size) {
  if (from === to) return el("td", { class: "same" });
  const found = current.reach(from, to);
  const { text, mark } = REACH[found.reach];
  const shown = mark || (size === "large" && found.reach === "reachable" ? milliseconds(found.rtt_ms) : "");
  return el("td", { class: found.reach, "aria-label": text, "data-from": from, "data-to": to }, shown);
}

function walk(event) {
  if (event.key === "Enter" && cursor && cursor[0] !== cursor[1]) {
    event.preventDefault();
    openDrawer(...cursor);
    return;
  }
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  const [from, to] = (cursor ?? [nodes[0], nodes[0]]).map((node) => Math.max(0, nodes.indexOf(node)));
  const at = (index) => nodes[(index + nodes.length) % nodes.length];
  tell(at(from + step[0]), at(to + step[1]));
}

function point(event) {
  const found = event.target.closest("td[data-from]");
  if (found) tell(found.dataset.from, found.dataset.to);
}

function choose(event) {
  const found = event.target.closest("td[data-from]");
  if (found) openDrawer(found.dataset.from, found.dataset.to);
}

function tell(from, to) {
  cursor = [from, to];
  const table = byId("heat").querySelector("table");
  table?.querySelector(".at")?.classList.remove("at");
  const [down, across] = [nodes.indexOf(from), nodes.indexOf(to)];
  table?.tBodies[0].rows[down]?.cells[across + 1]?.classList.add("at");
  byId("heat-cell").textContent = from === to ? from : sentence(current.reach(from, to));
}

export function sentence(found) {
  const parts = [`${found.from} → ${found.to}: ${REACH[found.reach].text}`];
  if (found.trouble) parts.push(found.trouble);
  if (found.rtt_ms !== null && found.rtt_ms !== undefined) parts.push(`${milliseconds(found.rtt_ms)} ms`);
  if (found.loss) parts.push(`${percent(found.loss)} lost`);
  if (found.at) parts.push(ago(found.at));
  return parts.join(", ");
}
