"""Leases, subnets, and etcd as the hosts see it."""

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
    number,
    query,
    steps,
    timeline,
    values,
)

TOOK = 'flanpy_store_request_duration_seconds_bucket{operation!="watch"}'
REFUSED = 'flanpy_store_requests_total{code!="OK"}'


SLOW = f"histogram_quantile({{q}}, sum by (operation, le) (rate({TOOK}[$__rate_interval])))"


def leases() -> Json:
    rows = [_leases(), _etcd_as_the_hosts_see_it()]
    return dashboard(
        "flanpy-leases", "flanpy / etcd and leases", "Leases, subnets, and etcd as the hosts see it.", rows
    )


def _leases() -> Row:
    return (
        "Leases",
        [
            [
                number("Leases", "max(flanpy_leases)", "Valid leases in etcd.", steps=steps()),
                number("Reserved", "max(flanpy_leases_reserved)", "Leases that never end.", steps=steps()),
                number(
                    "Invalid",
                    "max(flanpy_leases_invalid)",
                    "Keys that cannot be read as leases.",
                    steps=BAD_IF_ANY,
                ),
                number(
                    "Not held",
                    "count(flanpy_lease_held == 0) or vector(0)",
                    "Hosts without a subnet.",
                    steps=BAD_IF_ANY,
                ),
                number(
                    "Subnets free",
                    'min(flanpy_subnets{state="free"})',
                    "Left for hosts to come.",
                    steps=steps((1, WARN), (5, GOOD), base=BAD),
                ),
            ],
            [
                graph(
                    "Life left",
                    [
                        query(
                            "(flanpy_lease_expiry_timestamp_seconds - time()) / flanpy_lease_ttl_seconds",
                            "{{instance}}",
                        )
                    ],
                    "Of each host's lease; renewed at two thirds.",
                    unit="percentunit",
                ),
                graph(
                    "Subnets",
                    [query("max by (family, state) (flanpy_subnets)", "{{family}} {{state}}")],
                    "Taken and free.",
                    stacked=True,
                ),
            ],
            [
                graph(
                    "Renewals",
                    [
                        query(
                            "sum by (instance) (increase(flanpy_lease_renewals_total[1h]))",
                            "{{instance}}",
                        )
                    ],
                    "Within an hour.",
                ),
                timeline(
                    "Confirmed",
                    "flanpy_lease_confirmed" + NAMED,
                    "{{node}}",
                    "Whether etcd confirmed the lease since the daemon's start.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
            ],
        ],
    )


def _etcd_as_the_hosts_see_it() -> Row:
    return (
        "etcd, as the hosts see it",
        [
            [
                timeline(
                    "Connected",
                    "flanpy_store_connected" + NAMED,
                    "{{node}}",
                    "Whether etcd answers.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
                timeline(
                    "Watch lost",
                    "flanpy_store_stale" + NAMED,
                    "{{node}}",
                    "While it is, changes elsewhere are not noticed.",
                    mappings=values(_0=("no", GOOD), _1=("LOST", BAD)),
                    steps=BAD_IF_ANY,
                ),
            ],
            [
                graph(
                    "Requests",
                    [
                        query(
                            "sum by (operation, code) (rate(flanpy_store_requests_total[$__rate_interval]))",
                            "{{operation}} {{code}}",
                        )
                    ],
                    "A second, by answer.",
                    unit="reqps",
                    stacked=True,
                ),
                graph(
                    "Errors",
                    [
                        query(
                            f"sum by (instance, code) (rate({REFUSED}[$__rate_interval]))",
                            "{{instance}} {{code}}",
                        )
                    ],
                    "A second, by host.",
                ),
            ],
            [
                graph(
                    "Duration",
                    [
                        query(SLOW.replace("{q}", str(q)), f"p{round(q * 100)} {{{{operation}}}}")
                        for q in (0.5, 0.99)
                    ],
                    "Of answered requests.",
                    unit="s",
                ),
                heat(
                    "Durations",
                    f"sum by (le) (increase({TOOK}[$__rate_interval]))",
                    "Of all answered requests.",
                    unit="s",
                ),
            ],
            [
                graph(
                    "Revision behind",
                    [
                        query(
                            "scalar(max(flanpy_store_watch_revision)) - flanpy_store_watch_revision",
                            "{{instance}}",
                        )
                    ],
                    "How far a host's watch is behind the foremost.",
                ),
                graph(
                    "Listings",
                    [query("sum by (reason) (increase(flanpy_store_listings_total[5m]))", "{{reason}}")],
                    "A watch that had to list again, by reason, within five minutes.",
                ),
                graph(
                    "Tokens",
                    [
                        query(
                            "sum by (instance) (increase(flanpy_store_token_renewals_total[1h]))",
                            "{{instance}}",
                        )
                    ],
                    "New tokens for the password, within an hour.",
                ),
            ],
        ],
    )
