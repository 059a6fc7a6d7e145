// The table of named networks that this host is on.

import { byId, el } from "./dom.js";

const FEW = 0.1;

const COLUMNS = [
  { title: "Network", of: (row) => row.name },
  { title: "Subnet", of: (row) => [row.subnet, row.ipv6_subnet].filter(Boolean).join(" ") },
  { title: "Slice of this host", of: (row) => row.slice },
  { title: "Hosts", of: (row) => row.members.length + 1, title_of: (row) => row.members.join(" "), number: true },
  { title: "Names", of: (row) => row.names ?? "", number: true },
  { title: "Containers here", of: (row) => row.containers, number: true },
  { title: "Free addresses", of: (row) => row.free, number: true,
    class_of: (row) => (row.free < FEW * (row.free + row.containers) ? "state pending" : "") },
  { title: "In Docker", of: (row) => (row.in_docker ? "yes" : "no"),
    class_of: (row) => (row.in_docker ? "" : "state failed") },
];

export function drawNetworks(networks) {
  byId("networks").hidden = !networks.length;
  byId("named").tHead.replaceChildren(el("tr", {}, ...COLUMNS.map((column) =>
    el("th", { scope: "col", class: column.number ? "number" : "" }, column.title))));
  byId("named").tBodies[0].replaceChildren(...networks.map(line));
}

function line(row) {
  return el("tr", {}, ...COLUMNS.map((column, index) => el(index ? "td" : "th", {
    scope: index ? null : "row",
    class: [column.number ? "number" : "", column.class_of?.(row) ?? ""].join(" "),
    title: column.title_of?.(row) || null,
  }, String(column.of(row)))));
}
