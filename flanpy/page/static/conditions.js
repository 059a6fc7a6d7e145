// What is wrong and what to do about it, causes first; and the figures above.

import { byId, el, onChange } from "./dom.js";
import { age, count, full, now, span } from "./words.js";

export function drawConditions(conditions) {
  const wrong = conditions.filter((condition) => !condition.healthy);
  const well = conditions.filter((condition) => condition.healthy);
  byId("wrong").replaceChildren(...(wrong.length ? wrong.map((one) => card(one, wrong)) : [el("p", { class: "fine" }, "All is well.")]));
  byId("well").querySelector("summary").textContent = count(well.length, "healthy condition");
  byId("well").querySelector("ul").replaceChildren(...well.map((one) =>
    el("li", {}, el("b", {}, one.type), ` ${one.reason}`, one.message ? `: ${one.message}` : "")));
}

function card(one, wrong) {
  const causes = one.depends_on.filter((type) => wrong.some((other) => other.type === type));
  const evidence = one.evidence.filter((line) => !one.message.includes(line));
  return el("article", { class: causes.length ? "card follows" : "card" },
    el("h3", {}, one.type, " ", el("span", { class: "reason" }, one.reason)),
    el("p", {}, one.message),
    evidence.length ? el("ul", { class: "evidence" }, ...evidence.map((line) => el("li", {}, line))) : null,
    one.cure ? el("p", { class: "cure" }, el("b", {}, "Cure: "), one.cure) : null,
    el("p", { class: "hint" }, since(one.since), causes.length ? `; explained by ${causes.join(", ")}` : ""));
}

function since(at) {
  return at ? el("time", { datetime: full(at), "data-since": at, title: full(at) }, `for ${age(at)}`) : "";
}

export function drawTiles(page) {
  const { status } = page;
  const troubled = page.peers.filter((peer) => ["lossy", "unreachable"].includes(peer.reach)).length;
  const reached = page.peers.filter((peer) => peer.reach === "reachable").length;
  const tiles = [
    ["Ready", status.ready ? "yes" : "no", status.ready ? "good" : "bad"],
    ["Hosts", String(page.mesh.count), ""],
    ["Peers programmed", `${status.peers.programmed} of ${status.peers.wanted}`, status.peers.failed ? "bad" : ""],
    ["Peers reached", `${reached} of ${page.peers.length}`, troubled ? "bad" : ""],
    ["Subnet", status.own ? status.own.subnet || status.own.subnet6 : "none", status.own ? "" : "bad"],
    ["Lease", leaseText(status.own), ""],
    ["Backend", status.backend ? `${status.backend.type}, MTU ${status.backend.mtu}` : "none", ""],
    ["etcd", status.store.stale ? "away" : `revision ${status.store.revision}`, status.store.stale ? "bad" : ""],
    ["Repairs", String(Object.values(status.passes.repairs).reduce((sum, one) => sum + one, 0)), ""],
  ];
  showTiles(tiles);
}

const showTiles = onChange((tiles) => byId("tiles").replaceChildren(...tiles.map(([name, value, mood]) =>
  el("div", { class: `tile ${mood}` }, el("dt", {}, name), el("dd", { title: value }, value)))));

function leaseText(own) {
  if (!own) return "none";
  if (own.reservation) return "reservation";
  if (!own.expires_at) return "held";
  const left = own.expires_at - now();
  return left > 0 ? `${span(left)} left` : "run out";
}

// Ages go on between two documents.
export function refreshAges() {
  for (const time of document.querySelectorAll("time[data-since]")) {
    time.textContent = `for ${age(Number(time.dataset.since))}`;
  }
}
