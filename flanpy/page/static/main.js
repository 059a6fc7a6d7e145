// Follows the stream and hands each document to the views. Says so when the daemon is away, and keeps the last view.

import { drawDay, drawLately } from "./day.js";
import { byId, onChange } from "./dom.js";
import { drawDrawer, startDrawer } from "./drawer.js";
import { drawMap, redrawMap } from "./map.js";
import { drawMatrix } from "./matrix.js";
import { hostName, meshOf } from "./model.js";
import { drawNetworks } from "./networks.js";
import { drawLeases, startTables } from "./tables.js";
import { drawEvents, drawTimeline, startTimeline } from "./timeline.js";
import { drawConditions, drawFoot, drawVerdicts, refreshAges } from "./verdict.js";
import { setNow, span, stamp } from "./words.js";

const SILENCE_MS = 40_000;
const AGAIN_MS = 3_000;

let page = null;
let lostAt = null;
let heardAt = Date.now();
let source = null;

const views = [
  onChange((head) => drawHead(head)),
  onChange((conditions, _peers) => drawConditions(conditions, page.peers)),
  onChange((_mesh, _peers, _subnets) => drawHosts(meshOf(page))),
  onChange((_subnets, _peers) => drawLeases(page)),
  onChange((events) => { drawEvents(events); drawLately(events); }),
  onChange((day, self) => drawDay(day, self)),
  onChange((networks) => drawNetworks(networks)),
];

function draw() {
  const { status } = page;
  const troubled = page.peers.filter((peer) => peer.reach === "unreachable" || peer.reach === "lossy").map(hostName);
  const from = [
    [{ node: hostName(status), phase: status.phase, version: status.version, own: status.own }],
    [status.conditions, troubled], [page.mesh, page.peers, page.subnets], [page.subnets, page.peers], [page.events],
    [page.day ?? {}, hostName(status)], [status.networks ?? []],
  ];
  views.forEach((view, index) => view(...from[index]));
  drawFoot(page);
  drawState();
}

function drawHosts(mesh) {
  drawMap(mesh);
  drawMatrix(mesh);
  drawDrawer(mesh);
}

function drawHead({ node, own }) {
  byId("node").textContent = node;
  byId("subnet").textContent = own ? [own.subnet, own.subnet6].filter(Boolean).join(" ") : "no subnet";
}

// What is shown is as old as the last sign of life: without one nothing is ready, and nothing is well.
function drawState() {
  const phase = lostAt ? "UNKNOWN" : page?.status.phase ?? "";
  const since = lostAt && stamp(lostAt);
  const [cluster, host] = [page?.cluster ?? {}, page?.status.verdict ?? {}];
  byId("phase").textContent = phase;
  byId("phase").className = `badge ${phase.toLowerCase()}`;
  if (page || lostAt) drawVerdicts(cluster, host, since);
  const well = !lostAt && cluster.state === "well" && host.state === "well";
  if (page) document.title = `${well ? "" : lostAt ? "? " : "● "}${hostName(page.status)} · flanpy`;
}

function said(text) {
  const state = byId("link-state");
  if (state.textContent !== text) state.textContent = text;
  state.className = lostAt ? "lost" : "live";
  document.body.classList.toggle("stale", Boolean(lostAt));
}

function heard() {
  heardAt = Date.now();
  lostAt = null;
  said("live");
}

function lost() {
  lostAt ??= Date.now() / 1000;
  said(`No answer since ${stamp(lostAt)}; what follows is old`);
  drawState();
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
    drawState();
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
  if (page) drawFoot(page);
  byId("heard").textContent = lostAt || !page ? "" : `${span((Date.now() - heardAt) / 1000)} ago`;
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
startDrawer();
follow();
setInterval(tick, 1000);
setInterval(drawTimeline, 15_000);
