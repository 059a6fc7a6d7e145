// The two verdicts, the cards of what to do, and the facts of this host. A page that hears nothing knows nothing.

import { byId, copied, el, onChange, shellWord } from "./dom.js";
import { age, arrows, count, full, now, span } from "./words.js";

const MARKS = { well: "✓", impaired: "✕", down: "✕", unknown: "?" };

export const drawVerdicts = onChange((cluster, host, silentSince) => {
  show("cluster", "Cluster", cluster, silentSince);
  show("host", "This host", host, silentSince);
});

function show(id, title, verdict, silentSince) {
  const state = silentSince ? "unknown" : verdict.state ?? "unknown";
  const text = arrows(verdict.text ?? "not known");
  byId(id).className = `verdict ${state}`;
  byId(id).replaceChildren(el("h2", {}, title), el("p", {},
    el("b", {}, silentSince ? "? UNKNOWN" : MARKS[state] ?? "?"), silentSince ? ` since ${silentSince}` : ` ${text}`),
  ...(silentSince ? [el("p", { class: "hint" }, `Before: ${text}`)] : []));
}

// A card for each cause; what follows from it is folded beneath it.
export function drawConditions(conditions, peers) {
  const wrong = conditions.filter((condition) => !condition.healthy);
  const well = conditions.filter((condition) => condition.healthy);
  const causes = wrong.filter((one) => !explainedBy(one, wrong).length);
  const opened = new Set([...byId("wrong").querySelectorAll("details[open]")].map((one) => one.dataset.of));
  byId("todo").hidden = !wrong.length;
  byId("wrong").replaceChildren(...causes.map((cause) => card(cause, following(cause, wrong), peers, opened)));
  byId("well").querySelector("summary").textContent = `${well.length} of ${count(conditions.length, "condition")} are well`;
  byId("well").querySelector("ul").replaceChildren(...well.map((one) =>
    el("li", {}, el("b", {}, one.type), ` ${one.reason}`, one.message ? `: ${one.message}` : "")));
}

function explainedBy(one, wrong) {
  return one.depends_on.filter((type) => wrong.some((other) => other.type === type));
}

function following(cause, wrong) {
  const found = [cause];
  for (const one of found) found.push(...wrong.filter((other) => !found.includes(other) && other.depends_on.includes(one.type)));
  return found.slice(1);
}

function card(one, follows, peers, opened) {
  const evidence = one.evidence.filter((line) => !one.message.includes(line));
  return el("article", { class: "card" },
    el("h3", {}, one.type, " ", el("span", { class: "reason" }, one.reason, " ", since(one.since))),
    el("p", {}, arrows(one.message)),
    one.cure ? el("p", { class: "cure" }, el("b", {}, "Fix: "), one.cure) : null,
    copied(command(one, peers)),
    folded("Why we think so", evidence.map((line) => el("li", {}, arrows(line))), `${one.type} why`, opened),
    folded(`${follows.length} more ${follows.length === 1 ? "follows" : "follow"} from it`,
      follows.map((other) => el("li", {}, el("b", {}, other.type), ` ${other.reason}: ${other.message}`)), `${one.type} more`, opened),
    one.problem ? el("p", {}, el("a", { href: one.problem.page, rel: "noreferrer" }, `${one.problem.id}: ${one.problem.meaning}`)) : null);
}

function folded(title, lines, of, opened) {
  return lines.length ? el("details", { "data-of": of, open: opened.has(of) },
    el("summary", {}, title), el("ul", { class: "evidence" }, ...lines)) : null;
}

// The command that shows the cause on this host.
function command(one, peers) {
  const peer = one.type === "PeersReachable" && peers.find((row) => row.reach === "unreachable" || row.reach === "lossy");
  const name = peer && shellWord(peer.host || peer.node_id, peer.subnet || peer.subnet6);
  return name ? `flanpyctl trace ${name}` : "flanpyctl doctor";
}

function since(at) {
  return at ? el("time", { datetime: full(at), "data-since": at, title: full(at) }, `for ${age(at)}`) : "";
}

export function drawFoot(page) {
  const { status } = page;
  const repairs = Object.values(status.passes.repairs).reduce((sum, one) => sum + one, 0);
  showFoot([
    ["Backend", status.backend ? `${status.backend.type}, MTU ${status.backend.mtu || "not known"}` : "none yet"],
    ["Peers", `${status.peers.programmed} of ${status.peers.wanted} programmed`],
    ["Lease", leaseText(status.own)],
    [status.store.listed ? "List" : "etcd", etcdText(status.store)],
    ["Repairs", repairs ? `${repairs} in ${age(status.started_at)}` : "none needed"],
    ["Docker", status.docker ? `${status.docker.version}, ${count(status.docker.running_containers, "container")}` : "not seen"],
    ["flanpy", `${status.version}, up ${age(status.started_at)}`],
  ]);
}

const showFoot = onChange((facts) => byId("foot").replaceChildren(...facts.map(([name, value]) =>
  el("div", {}, el("dt", {}, name), el("dd", {}, value)))));

function etcdText(store) {
  const where = (store.endpoint || "").replace(/^\w+:\/\//, "");
  if (store.stale) return `${store.listed ? "unusable" : "does not answer"}${store.outage_since ? ` for ${age(store.outage_since)}` : ""}`;
  return [where || "answers", store.version, `revision ${store.revision}`].filter(Boolean).join(", ");
}

function leaseText(own) {
  if (!own) return "none";
  const subnets = [own.subnet, own.subnet6].filter(Boolean).join(" ");
  if (own.reservation) return `${subnets}, reserved for good`;
  if (!own.expires_at) return `${subnets}, held`;
  const left = own.expires_at - now();
  return left > 0 ? `${subnets}, renews itself; ${span(left)} left` : `${subnets}, run out`;
}

// Ages go on between two documents.
export function refreshAges() {
  for (const time of document.querySelectorAll("time[data-since]")) {
    time.textContent = `for ${age(Number(time.dataset.since))}`;
  }
}
