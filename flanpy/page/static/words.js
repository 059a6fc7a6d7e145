// How things are said: times, numbers, and the names of states.

export const REACH = {
  reachable: { text: "reachable", mark: "" },
  lossy: { text: "lossy", mark: "!" },
  unreachable: { text: "unreachable", mark: "✕" },
  unprogrammed: { text: "not programmed", mark: "✕" },
  unknown: { text: "not measured", mark: "" },
};

export const SESSION = {
  up: "a session lives",
  idle: "no session, for want of traffic or of an answer",
  none: "no session yet",
};

const KINDS = {
  started: "started",
  condition_raised: "condition raised",
  phase_changed: "phase",
  repaired: "repaired",
  peer_joined: "peer joined",
  peer_left: "peer left",
  peer_changed: "peer changed",
  network_joined: "network joined",
  network_left: "network left",
  peer_unreachable: "peer unreachable",
  peer_reachable: "peer reachable again",
  lease_changed: "own lease changed",
  resync: "read back",
};

export function kindText(kind) {
  return KINDS[kind] ?? kind.replaceAll("_", " ");
}

// The daemon's clock, as far as the stream has told it: the browser's may be off.
let offset = 0;

export function setNow(seconds) {
  offset = seconds - Date.now() / 1000;
}

export function now() {
  return Date.now() / 1000 + offset;
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} days`;
}

export function age(at) {
  return span(now() - at);
}

export function ago(at) {
  return `${age(at)} ago`;
}

export function stamp(at) {
  const date = new Date(at * 1000);
  const time = date.toLocaleTimeString([], { hour12: false });
  return now() - at < 43200 ? time : `${date.toLocaleDateString([], { month: "short", day: "numeric" })} ${time}`;
}

export function full(at) {
  return new Date(at * 1000).toISOString();
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "";
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0);
}

export function percent(share) {
  return share === null || share === undefined ? "" : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

// The daemon writes for terminals; here arrows are one sign, which no line break takes apart.
export function arrows(text) {
  return text.replaceAll("<->", "↔").replaceAll("->", "→");
}
