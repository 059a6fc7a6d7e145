// Follows the stream and hands each document to the views. Says so when the daemon is away, and keeps the last view.

import { drawConditions, drawTiles, refreshAges } from "./conditions.js";
import { byId, onChange } from "./dom.js";
import { drawHeat } from "./heat.js";
import { drawMap, redrawMap } from "./map.js";
import { hostName, meshOf } from "./model.js";
import { drawLeases, startTables } from "./tables.js";
import { drawEvents, drawTimeline, startTimeline } from "./timeline.js";
import { setNow, stamp } from "./words.js";

const SILENCE_MS = 40_000;
const AGAIN_MS = 3_000;

let page = null;
let lostAt = null;
let heardAt = Date.now();
let source = null;

const views = [
  onChange((head) => drawHead(head)),
  onChange((conditions) => drawConditions(conditions)),
  onChange((_mesh, _peers) => { drawMap(meshOf(page)); drawHeat(meshOf(page)); }),
  onChange((_subnets, _peers) => drawLeases(page)),
  onChange((events) => drawEvents(events)),
];

function draw() {
  const { status } = page;
  const from = [
    [{ node: hostName(status), phase: status.phase, version: status.version, ready: status.ready }],
    [status.conditions], [page.mesh, page.peers], [page.subnets, page.peers], [page.events],
  ];
  views.forEach((view, index) => view(...from[index]));
  drawTiles(page);
}

function drawHead({ node, phase, version, ready }) {
  byId("node").textContent = node;
  byId("node").title = `flanpy ${version}`;
  byId("phase").textContent = phase;
  byId("phase").className = `badge ${phase.toLowerCase()}`;
  document.title = `${ready && phase === "READY" ? "" : "● "}${node} · flanpy`;
}

function said(text, lost) {
  const state = byId("link-state");
  if (state.textContent !== text) state.textContent = text;
  state.className = lost ? "lost" : "live";
  document.body.classList.toggle("stale", lost);
}

function heard() {
  heardAt = Date.now();
  lostAt = null;
  said("live", false);
}

function lost() {
  lostAt ??= Date.now() / 1000;
  said(`disconnected since ${stamp(lostAt)}`, true);
}

// The browser connects again by itself, save after a refusal: the daemon may be full, or a token may be needed now.
function follow() {
  source?.close();
  source = new EventSource("events");
  const mine = source;
  source.addEventListener("status", (event) => {
    page = JSON.parse(event.data);
    heard();
    draw();
  });
  source.addEventListener("beat", (event) => {
    heard();
    setNow(Number(event.data));
  });
  source.addEventListener("error", () => {
    lost();
    if (mine === source && mine.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
  });
}

function tick() {
  if (Date.now() - heardAt > SILENCE_MS) {
    heardAt = Date.now();
    lost();
    follow();
  }
  refreshAges();
  if (page) drawTiles(page);
}

let width = 0;
new ResizeObserver(() => {
  if (innerWidth === width) return;
  width = innerWidth;
  redrawMap();
  drawTimeline();
}).observe(document.body);

startTables();
startTimeline();
follow();
setInterval(tick, 1000);
setInterval(drawTimeline, 15_000);
