// The cluster as a picture: hosts on a ring, links coloured, dashed and marked by how they are.

import { byId, el, svg } from "./dom.js";
import { degreesOf, gathered, isTroubled } from "./model.js";
import { REACH, count } from "./words.js";

const ALL_UP_TO = 12;
const NAMED_UP_TO = 40;
const FAINT_UP_TO = 16;
const LABELS_AMONG_MANY = 8;
const LINES = 30;

let last = null;

export function drawMap(mesh) {
  last = mesh;
  const troubled = mesh.pairs.filter((pair) => isTroubled(pair.reach));
  const few = mesh.count <= ALL_UP_TO && mesh.nodes.length === mesh.count;
  const pairs = few ? mesh.pairs : troubled;
  const ends = degreesOf(pairs);
  const nodes = few ? mesh.nodes : mesh.nodes.filter((node) => ends.has(node));
  byId("map").replaceChildren(nodes.length ? picture(mesh, nodes, pairs, degreesOf(troubled)) : "");
  byId("troubled").replaceChildren(...inWords(mesh, troubled, few));
  byId("map-legend").replaceChildren(...legend(pairs));
}

export function redrawMap() {
  if (last) drawMap(last);
}

function picture(mesh, nodes, pairs, degrees) {
  const radial = nodes.length > 10;
  const width = Math.max(280, Math.min(byId("map").clientWidth || 600, 900));
  const height = nodes.length === 2 ? 130 : radial ? Math.min(width, 560) : Math.min(Math.max(220, width * 0.6), 380);
  const places = placed(nodes, width, height, radial);
  const summary = `${count(mesh.count, "host")}, ${count(degreesSum(degrees), "troubled link")}`;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": summary },
    svg("g", {}, ...[...pairs].sort(byTrouble).map((pair) => link(pair, places, nodes.length))),
    svg("g", {}, ...pairs.filter((pair) => isTroubled(pair.reach)).map((pair) => mark(pair, places))),
    svg("g", {}, ...nodes.map((node) => host(node, places.get(node), mesh, degrees, labelled(nodes, degrees, mesh.self)))));
}

function degreesSum(degrees) {
  return [...degrees.values()].reduce((sum, degree) => sum + degree, 0) / 2;
}

function byTrouble(one, other) {
  return Number(isTroubled(one.reach)) - Number(isTroubled(other.reach));
}

// Among many only those with most trouble have their name beside them, and this host.
function labelled(nodes, degrees, self) {
  if (nodes.length <= NAMED_UP_TO) return new Set(nodes);
  const worst = [...degrees].sort((x, y) => y[1] - x[1]).slice(0, LABELS_AMONG_MANY).map(([node]) => node);
  return new Set([...worst, self]);
}

function placed(nodes, width, height, radial) {
  const margin = radial ? [92, 92] : [70, 48];
  const [rx, ry] = [width / 2 - margin[0], height / 2 - margin[1]];
  const start = nodes.length === 2 ? Math.PI : -Math.PI / 2;
  const angles = nodes.map((_, index) => start + (2 * Math.PI * index) / nodes.length);
  const lowest = Math.max(...angles.map(Math.sin));
  const middle = lowest > 0.1 && lowest < 0.99 ? (1 - lowest) / 2 : 0;  // an odd ring stands higher than it hangs
  return new Map(nodes.map((node, index) => {
    const angle = angles[index];
    const y = height / 2 + ry * (Math.sin(angle) + middle) * (2 / (2 - 2 * middle));
    return [node, { x: width / 2 + rx * Math.cos(angle), y, angle, radial }];
  }));
}

function link(pair, places, many) {
  const [a, b] = [places.get(pair.a), places.get(pair.b)];
  if (pair.reach === "unknown" && many > FAINT_UP_TO) return null;
  return svg("line", { x1: a.x, y1: a.y, x2: b.x, y2: b.y, class: `link ${pair.reach} ${many > 12 ? "thin" : ""}` },
    svg("title", {}, said(pair)));
}

function mark(pair, places) {
  const [a, b] = [places.get(pair.a), places.get(pair.b)];
  const [x, y] = [(a.x + b.x) / 2, (a.y + b.y) / 2];
  return svg("g", { class: `mark ${pair.reach}` },
    svg("circle", { cx: x, cy: y, r: 8 }),
    svg("text", { x, y: y + 4, "text-anchor": "middle" }, REACH[pair.reach].mark),
    svg("title", {}, said(pair)));
}

function host(node, place, mesh, degrees, names) {
  const own = node === mesh.self;
  const classes = ["host", own ? "self" : "", degrees.has(node) ? "concerned" : ""].join(" ");
  const radius = names.size > 20 || !names.has(node) ? 5 : 9;
  return svg("g", { class: classes },
    svg("title", {}, own ? `${node}, this host` : node),
    own && svg("circle", { cx: place.x, cy: place.y, r: radius + 4, class: "ring" }),
    svg("circle", { cx: place.x, cy: place.y, r: radius, class: "dot" }),
    names.has(node) && label(node, place, own, radius));
}

function label(node, place, own, radius) {
  const text = shortened(node, place.radial ? 13 : 18);
  if (!place.radial) {
    const above = Math.sin(place.angle) < -0.3;
    const y = place.y + (above ? -radius - 9 : radius + 19);
    return svg("text", { x: place.x, y, "text-anchor": "middle" }, own ? `${text} (this host)` : text);
  }
  const left = Math.cos(place.angle) < -1e-9;
  const degrees = (place.angle * 180) / Math.PI + (left ? 180 : 0);
  const away = (radius + 8) * (left ? -1 : 1);
  return svg("text", {
    transform: `translate(${place.x} ${place.y}) rotate(${degrees})`,
    x: away, y: 4, "text-anchor": left ? "end" : "start", class: "small",
  }, text);
}

function shortened(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function said(pair) {
  const oneWay = pair.out.reach !== pair.back.reach && pair.out.reach !== "unknown" && pair.back.reach !== "unknown";
  const [a, b] = oneWay && isTroubled(pair.back.reach) && !isTroubled(pair.out.reach) ? [pair.b, pair.a] : [pair.a, pair.b];
  const arrow = oneWay ? "→" : "↔";
  return `${a} ${arrow} ${b}: ${REACH[pair.reach].text}${pair.trouble ? `, ${pair.trouble}` : ""}`;
}

function inWords(mesh, troubled, few) {
  const lines = gathered(mesh.pairs);
  const head = troubled.length
    ? `${count(mesh.count, "host")}, ${count(troubled.length, "troubled link")}${few ? "" : "; only those are drawn"}`
    : calm(mesh);
  return [
    el("p", { class: few ? "detail" : "detail strong" }, head),
    lines.length ? el("ul", { class: "lines" }, ...lines.slice(0, LINES).map((line) => el("li", {}, lineText(line)))) : "",
    lines.length > LINES ? el("p", { class: "hint" }, `and ${lines.length - LINES} more`) : "",
  ];
}

function calm(mesh) {
  if (mesh.count < 2) return "No other host has a subnet yet.";
  if (!mesh.measured) return `${count(mesh.count, "host")}; no link was measured yet.`;
  return `${count(mesh.count, "host")}; none of ${count(mesh.measured, "measured direction")} is in trouble.`;
}

function lineText(line) {
  if (line.hosts.length === 2) return said(line.pairs[0]);
  const troubles = [...new Set(line.pairs.map((pair) => pair.trouble).filter(Boolean))];
  const why = troubles.length ? `: ${troubles.slice(0, 3).join(", ")}` : "";
  return `${line.hosts[0]} ↔ ${line.pairs.length} hosts${why}`;
}

function legend(pairs) {
  const present = ["reachable", "lossy", "unreachable", "unprogrammed", "unknown"].filter((reach) =>
    pairs.some((pair) => pair.reach === reach));
  return present.map((reach) => el("li", {},
    svg("svg", { width: 28, height: 10, "aria-hidden": "true" },
      svg("line", { x1: 1, y1: 5, x2: 27, y2: 5, class: `link ${reach}` })),
    REACH[reach].text));
}
