"""The fleet: all hosts of an overlay, and which pairs of them are broken."""

from __future__ import annotations

from grafana.page import Row, dashboard
from grafana.panels import (
    BAD,
    BAD_IF_ANY,
    BAD_IF_NONE,
    GOOD,
    NAMED,
    WARN,
    YES_NO,
    Json,
    graph,
    heat,
    listing,
    matrix,
    number,
    query,
    steps,
    timeline,
)

UNHEALTHY = (
    "flanpy_condition_reason_info * on (instance, job, condition) group_left ()"
    " (flanpy_condition_healthy == bool 0) == 1"
)


REACH = "flanpy_peer_reachable" + NAMED

RTT = 'flanpy_peer_rtt_seconds{layer="overlay"}' + NAMED

LOSS = 'flanpy_peer_loss_ratio{layer="overlay"}' + NAMED

SECONDS = steps((0.005, WARN), (0.05, BAD))


def fleet() -> Json:
    rows = [_at_a_glance(), _who_reaches_whom(), _health()]
    return dashboard(
        "flanpy-fleet", "flanpy / Fleet", "All hosts of an overlay, and which pairs of them are broken.", rows
    )


def _at_a_glance() -> Row:
    return (
        "At a glance",
        [
            [
                number("Hosts up", 'count(up{job="flanpy"} == 1)', "Daemons that answer.", steps=BAD_IF_NONE),
                number(
                    "Hosts down",
                    'count(up{job="flanpy"} == 0) or vector(0)',
                    "Daemons that do not.",
                    steps=BAD_IF_ANY,
                ),
                number(
                    "Not ready",
                    "count(flanpy_ready == 0) or vector(0)",
                    "Hosts whose containers cannot use the overlay now.",
                    steps=BAD_IF_ANY,
                ),
                number(
                    "Broken pairs",
                    'sum(flanpy_peers_reach{reach="unreachable"}) or vector(0)',
                    "Pairs of host and peer without an answer over the overlay.",
                    steps=BAD_IF_ANY,
                ),
                number(
                    "Conditions",
                    "count(flanpy_condition_healthy == 0) or vector(0)",
                    "Unhealthy conditions of all hosts.",
                    steps=BAD_IF_ANY,
                ),
                number(
                    "Subnets free",
                    'min(flanpy_subnets{state="free"})',
                    "Left in the network for hosts to come.",
                    steps=steps((1, WARN), (5, GOOD), base=BAD),
                ),
            ]
        ],
    )


def _who_reaches_whom() -> Row:
    return (
        "Who reaches whom",
        [
            [
                matrix(
                    "Reachability",
                    REACH,
                    "Row: who measured. Column: the peer. Of more than 64 peers only those in trouble are shown.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
                matrix(
                    "Round trips",
                    RTT,
                    "Last round trip over the overlay, from row to column.",
                    unit="s",
                    steps=SECONDS,
                ),
            ],
            [
                matrix(
                    "Loss",
                    LOSS,
                    "Share of probes over the overlay without an answer.",
                    unit="percentunit",
                    steps=steps((0.01, WARN), (0.05, BAD)),
                ),
                listing(
                    "What stands in between",
                    "flanpy_peer_trouble" + NAMED,
                    "Trouble by pair, as far as the evidence goes.",
                    hidden=("Value", "instance"),
                ),
            ],
            [
                timeline(
                    "Reachability over time",
                    REACH,
                    "{{node}} to {{peer}}",
                    "One bar for each pair.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
            ],
        ],
    )


def _health() -> Row:
    return (
        "Health",
        [
            [
                listing(
                    "Unhealthy conditions",
                    UNHEALTHY,
                    "What is wrong where, and why.",
                    hidden=("Value",),
                ),
                timeline(
                    "Readiness",
                    "flanpy_ready" + NAMED,
                    "{{node}}",
                    "Whether containers can use the overlay.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
            ],
            [
                graph(
                    "Peers by state",
                    [query("sum by (state) (flanpy_peers)", "{{state}}")],
                    "Of all hosts together.",
                    stacked=True,
                ),
                graph(
                    "Repairs",
                    [
                        query(
                            "sum by (instance, object) (rate(flanpy_repairs_total[5m])) * 60",
                            "{{instance}} {{object}}",
                        )
                    ],
                    "A minute: objects that others had changed.",
                ),
            ],
            [
                graph(
                    "Loss",
                    [query('flanpy_loss_ratio{layer="overlay"}', "{{instance}}")],
                    "Share of probes without an answer, of all peers of a host.",
                    unit="percentunit",
                ),
                heat(
                    "Round trips",
                    "sum by (le) (increase(flanpy_rtt_seconds_bucket[$__rate_interval]))",
                    "Of all pairs, over the overlay.",
                    unit="s",
                ),
            ],
        ],
    )
