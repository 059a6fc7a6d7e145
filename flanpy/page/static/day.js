// The last day as strips: one for the cluster, one for each host that had trouble; and the newest events in words.

import { byId, el, svg } from "./dom.js";
import { sentence } from "./timeline.js";
import { arrows, full, stamp } from "./words.js";

const STATES = ["not measured", "well", "lossy", "unreachable"];
const HEIGHTS = [2, 6, 12, 18];
const MOST = 8;
const NEWEST = 6;

export function drawDay(day, self) {
  if (!day.all) {
    byId("day").replaceChildren(el("p", { class: "hint" }, "Nothing was measured yet."));
    return;
  }
  const hosts = Object.entries(day.hosts).sort((one, other) => badness(other[1]) - badness(one[1])
    || (other[0] === self) - (one[0] === self) || one[0].localeCompare(other[0], undefined, { numeric: true }));
  const shown = [["all hosts", day.all], ...hosts.slice(0, MOST)];
  byId("day").replaceChildren(...shown.map(([name, states]) => strip(name, states, day)),
    el("p", { class: "ends" }, el("span", {}, stamp(day.end - day.step * day.all.length).replace(/:\d\d$/, "")), el("span", {}, "now")),
    hosts.length > MOST ? el("p", { class: "hint" }, `and ${hosts.length - MOST} more hosts`) : "");
}

function badness(states) {
  return [...states].reduce((sum, state) => sum + (state > 1 ? Number(state) : 0), 0);
}

function strip(name, states, day) {
  const width = 288;
  const one = width / states.length;
  const first = day.end - day.step * states.length;
  const bars = [...states].map((state, index) => svg("rect", {
    x: index * one, width: Math.max(1, one - 0.6), y: 18 - HEIGHTS[state], height: HEIGHTS[state], class: `step s${state}`,
  }, svg("title", {}, `${name}, ${stamp(first + index * day.step)}: ${STATES[state]}`)));
  return el("div", { class: "strip" }, el("span", { title: name }, name),
    svg("svg", { viewBox: `0 0 ${width} 18`, preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${said(states, day)}` }, ...bars));
}

function said(states, day) {
  const minutes = (state) => ([...states].filter((one) => one === state).length * day.step) / 60;
  const parts = [["3", "unreachable"], ["2", "lossy"], ["1", "well"]].filter(([state]) => minutes(state));
  return parts.map(([state, word]) => `${word} in ${minutes(state)} min`).join(", ") || "not measured";
}

export function drawLately(events) {
  const newest = events.slice(-NEWEST).reverse();
  byId("lately").replaceChildren(...newest.map((event) => el("li", { title: sentence(event) },
    el("time", { datetime: full(event.at), title: full(event.at) }, stamp(event.at)), ` ${arrows(sentence(event))}`)));
}
