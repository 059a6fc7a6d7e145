// The lease table: sorted by any column, filtered by any word.

import { byId, el } from "./dom.js";
import { hostName, leasesOf } from "./model.js";
import { REACH, milliseconds, percent } from "./words.js";

const ROWS = 200;

const COLUMNS = [
  { title: "Host", of: hostName },
  { title: "Subnet", of: (row) => [row.subnet, row.subnet6].filter(Boolean).join(" "), order: addressOrder },
  { title: "Public IP", of: (row) => row.public_ip || row.public_ip6 || "", order: addressOrder },
  { title: "State", of: (row) => row.state ?? "", title_of: (row) => row.reason, class_of: (row) => `state ${row.state}` },
  { title: "Reach", of: (row) => (row.state === "own" ? "" : REACH[row.reach]?.text ?? ""),
    class_of: (row) => (row.state === "own" ? "" : `reach ${row.reach ?? ""}`) },
  { title: "Trouble", of: (row) => row.trouble ?? "", title_of: (row) => [row.evidence, row.cure].filter(Boolean).join("; ") },
  { title: "RTT ms", of: (row) => milliseconds(row.rtt_ms), key: (row) => row.rtt_ms ?? -1, number: true },
  { title: "Loss", of: (row) => percent(row.loss), key: (row) => row.loss ?? -1, number: true },
  { title: "Path MTU", of: (row) => (row.path_mtu_wanted ? `${row.path_mtu}/${row.path_mtu_wanted}` : ""),
    key: (row) => row.path_mtu ?? -1, number: true },
  { title: "Way", of: (row) => row.way || row.backend_type || "" },
  { title: "Kind", of: (row) => (row.reservation ? "reservation" : "lease") },
];

let sorted = { column: 1, down: false };
let leases = [];
let invalid = [];

export function drawLeases(page) {
  leases = leasesOf(page);
  invalid = page.subnets.invalid;
  show();
}

export function startTables() {
  byId("filter").addEventListener("input", show);
  byId("leases").tHead.append(el("tr", {}, ...COLUMNS.map(header)));
  show();
}

function header(column, index) {
  const button = el("button", { type: "button" }, column.title);
  button.addEventListener("click", () => {
    sorted = { column: index, down: sorted.column === index && !sorted.down };
    show();
  });
  return el("th", { scope: "col", class: column.number ? "number" : "" }, button);
}

function show() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = leases.filter((row) => words.every((word) => searched(row).includes(word))).sort(order);
  [...byId("leases").tHead.rows[0].cells].forEach((cell, index) => {
    const how = index !== sorted.column ? "none" : sorted.down ? "descending" : "ascending";
    cell.setAttribute("aria-sort", how);
  });
  byId("leases").tBodies[0].replaceChildren(...found.slice(0, ROWS).map(line));
  const notes = [`${found.length} of ${leases.length} shown`];
  if (found.length > ROWS) notes[0] = `the first ${ROWS} of ${found.length}: filter to see others`;
  for (const lease of invalid) notes.push(`invalid: ${lease.key}, ${lease.reason}`);
  byId("leases-more").textContent = leases.length || invalid.length ? notes.join("; ") : "No lease is known yet.";
}

function searched(row) {
  return [...COLUMNS.map((column) => column.of(row)), row.reason].join(" ").toLowerCase();
}

function order(one, other) {
  const column = COLUMNS[sorted.column];
  const sign = sorted.down ? -1 : 1;
  if (column.key) return sign * (column.key(one) - column.key(other));
  const compare = column.order ?? ((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  return sign * compare(column.of(one), column.of(other));
}

function addressOrder(one, other) {
  return one.localeCompare(other, undefined, { numeric: true });
}

function line(row) {
  return el("tr", { class: row.state === "own" ? "self" : "" }, ...COLUMNS.map((column, index) =>
    el(index ? "td" : "th", {
      scope: index ? null : "row",
      class: [column.number ? "number" : "", column.class_of?.(row) ?? ""].join(" "),
      title: column.title_of?.(row) || null,
    }, column.of(row))));
}
