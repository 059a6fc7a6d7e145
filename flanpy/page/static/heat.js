// Who reaches whom, as a table: every direction between two hosts is a cell.

import { byId, el } from "./dom.js";
import { REACH, ago, milliseconds, percent } from "./words.js";

let cursor = null;
let current = null;

export function drawHeat(mesh) {
  current = mesh;
  if (mesh.nodes.length < 2) {
    byId("heat").replaceChildren(el("p", { class: "detail" }, mesh.count > 1 ? "Every measured direction is well." : "No peer yet."));
    return;
  }
  byId("heat").closest(".pair").classList.toggle("wide", mesh.nodes.length > 24);
  const size = mesh.nodes.length <= 8 ? "large" : mesh.nodes.length <= 24 ? "middle" : "small";
  const table = el("table", { class: `heat ${size}`, tabindex: 0, "aria-describedby": "heat-cell" },
    el("caption", { class: "unseen" }, "Reachability from each host to each other"),
    el("thead", {}, el("tr", {}, el("td", {}), ...mesh.nodes.map((node) => head(node, "col", mesh.self)))),
    el("tbody", {}, ...mesh.nodes.map((from) => row(from, mesh, size))));
  table.addEventListener("keydown", walk);
  table.addEventListener("pointerover", point);
  const had = byId("heat").contains(document.activeElement);
  byId("heat").replaceChildren(table);
  if (had) table.focus();
  if (cursor) tell(...cursor);
}

function head(node, scope, self) {
  return el("th", { scope, title: node, class: node === self ? "self" : "" }, el("span", {}, node));
}

function row(from, mesh, size) {
  return el("tr", {}, head(from, "row", mesh.self), ...mesh.nodes.map((to) => cell(from, to, mesh, size)));
}

function cell(from, to, mesh, size) {
  if (from === to) return el("td", { class: "same" });
  const found = mesh.reach(from, to);
  const { text, mark } = REACH[found.reach];
  const shown = mark || (size === "large" && found.reach === "reachable" ? milliseconds(found.rtt_ms) : "");
  return el("td", { class: found.reach, "aria-label": text, "data-from": from, "data-to": to }, shown);
}

function walk(event) {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  const nodes = current.nodes;
  const [from, to] = (cursor ?? [nodes[0], nodes[0]]).map((node) => Math.max(0, nodes.indexOf(node)));
  const at = (index) => nodes[(index + nodes.length) % nodes.length];
  tell(at(from + step[0]), at(to + step[1]));
}

function point(event) {
  const found = event.target.closest("td[data-from]");
  if (found) tell(found.dataset.from, found.dataset.to);
}

function tell(from, to) {
  cursor = [from, to];
  const table = byId("heat").querySelector("table");
  table?.querySelector(".at")?.classList.remove("at");
  const [down, across] = [current.nodes.indexOf(from), current.nodes.indexOf(to)];
  table?.tBodies[0].rows[down]?.cells[across + 1]?.classList.add("at");
  byId("heat-cell").textContent = from === to ? from : sentence(current.reach(from, to));
}

function sentence(found) {
  const parts = [`${found.from} → ${found.to}: ${REACH[found.reach].text}`];
  if (found.trouble) parts.push(found.trouble);
  if (found.rtt_ms !== null && found.rtt_ms !== undefined) parts.push(`${milliseconds(found.rtt_ms)} ms`);
  if (found.loss) parts.push(`${percent(found.loss)} lost`);
  if (found.at) parts.push(ago(found.at));
  return parts.join(", ");
}
