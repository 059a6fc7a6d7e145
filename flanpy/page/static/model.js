// What the documents mean for the views: directions between hosts, pairs, and who is concerned. Pure.

const RANK = { unknown: 0, reachable: 1, lossy: 2, unprogrammed: 3, unreachable: 3 };

export function isTroubled(reach) {
  return RANK[reach] > 1;
}

export function hostName(row) {
  return row.host || row.node_id || row.subnet || row.subnet6 || row.key || "?";
}

function nodeName(node) {
  return typeof node === "string" ? node : hostName(node);
}

// {self, nodes: [name], count, measured, reach(from, to) -> row, pairs: [{a, b, reach, out, back}], about: name -> host}
export function meshOf(page) {
  const self = hostName(page.status);
  const rows = new Map();
  for (const row of page.mesh.rows) rows.set(`${row.from}\n${row.to}`, row);
  for (const peer of page.peers) addOwn(rows, self, peer);
  const nodes = [...new Set(page.mesh.nodes.map(nodeName))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const reach = (from, to) => rows.get(`${from}\n${to}`) ?? { from, to, reach: "unknown", trouble: "" };
  return {
    self, nodes, reach,
    count: page.mesh.count ?? nodes.length,
    measured: page.mesh.measured ?? 0,
    pairs: pairsOf(nodes, rows, reach),
    about: aboutHosts(page),
  };
}

// What is known of each host: its addresses, and what it told of itself.
function aboutHosts(page) {
  const told = page.mesh.told ?? {};
  const sessions = new Map(page.peers.map((peer) => [hostName(peer), peer.wireguard ?? []]));
  return new Map(page.subnets.subnets.map((lease) => {
    const name = hostName(lease);
    const of = Object.hasOwn(told, name) ? told[name] : {};
    return [name, { ...of, name, sessions: sessions.get(name) ?? [], address: lease.public_ip || lease.public_ip6 || "", subnet: lease.subnet || lease.subnet6 || "" }];
  }));
}

// What this host could not even program is worse than what its probes say of it.
function addOwn(rows, self, peer) {
  if (!["failed", "rejected"].includes(peer.state)) return;
  const to = hostName(peer);
  const known = rows.get(`${self}\n${to}`);
  rows.set(`${self}\n${to}`, { ...known, from: self, to, reach: "unprogrammed", trouble: peer.reason || peer.state });
}

function pairsOf(nodes, rows, reach) {
  const shown = new Set(nodes);
  const seen = new Set();
  const pairs = [];
  for (const row of rows.values()) {
    const [a, b] = row.from < row.to ? [row.from, row.to] : [row.to, row.from];
    if (a === b || seen.has(`${a}\n${b}`) || !shown.has(a) || !shown.has(b)) continue;
    seen.add(`${a}\n${b}`);
    const [out, back] = [reach(a, b), reach(b, a)];
    const worst = RANK[back.reach] > RANK[out.reach] ? back : out;
    pairs.push({ a, b, out, back, reach: worst.reach, trouble: out.trouble || back.trouble });
  }
  return pairs;
}

// Troubled pairs for reading: a host that has trouble with many is one line. [{hosts: [a, b] | [a], pairs}]
export function gathered(pairs, many = 4) {
  let left = pairs.filter((pair) => isTroubled(pair.reach));
  const lines = [];
  for (;;) {
    const degrees = degreesOf(left);
    const [host, degree] = [...degrees].sort((x, y) => y[1] - x[1])[0] ?? ["", 0];
    if (degree < many) break;
    const of = left.filter((pair) => pair.a === host || pair.b === host);
    lines.push({ hosts: [host], pairs: of });
    left = left.filter((pair) => !of.includes(pair));
  }
  return [...lines, ...left.map((pair) => ({ hosts: [pair.a, pair.b], pairs: [pair] }))];
}

export function degreesOf(pairs) {
  const degrees = new Map();
  for (const pair of pairs) {
    for (const end of [pair.a, pair.b]) degrees.set(end, (degrees.get(end) ?? 0) + 1);
  }
  return degrees;
}

// Leases with what probes say of them.
export function leasesOf(page) {
  const peers = new Map(page.peers.map((peer) => [`${peer.subnet}&${peer.subnet6}`, peer]));
  return page.subnets.subnets.map((lease) => ({ ...(peers.get(`${lease.subnet}&${lease.subnet6}`) ?? {}), ...lease }));
}
