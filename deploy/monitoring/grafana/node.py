"""One host: its conditions, peers, work and device."""

from __future__ import annotations

from grafana.page import Row, dashboard, variable
from grafana.panels import (
    BAD,
    BAD_IF_ANY,
    BAD_IF_NONE,
    GOOD,
    WARN,
    YES_NO,
    Json,
    graph,
    heat,
    listing,
    number,
    query,
    steps,
    timeline,
)

OF_NODE = 'instance=~"$instance"'


def of(name: str, **labels: str) -> str:
    told = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{OF_NODE}{told}}}"


def rate(name: str, by: str, **labels: str) -> str:
    return f"sum by ({by}) (rate({of(name, **labels)}[$__rate_interval]))"


def quantile(q: float, name: str) -> str:
    return f"histogram_quantile({q}, {rate(f'{name}_bucket', 'instance, le')})"


EXPIRY = f"{of('flanpy_lease_expiry_timestamp_seconds')} - time()"


def node() -> Json:
    rows = [_now(), _peers(), _reconciling(), _device_and_data_plane(), _docker_and_the_daemon_itself()]
    chosen = variable("instance", "Host", "label_values(flanpy_ready, instance)")
    return dashboard(
        "flanpy-node", "flanpy / Node", "One host: its conditions, peers, work and device.", rows, chosen
    )


def _now() -> Row:
    return (
        "Now",
        [
            [
                number(
                    "Ready",
                    of("flanpy_ready"),
                    "Whether containers of this host can use the overlay.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
                number(
                    "Lease ends in",
                    EXPIRY,
                    "Renewed after a third of its life.",
                    unit="s",
                    steps=steps((1800, WARN), (7200, GOOD), base=BAD),
                ),
                number(
                    "Peers programmed",
                    of("flanpy_peers", state="programmed"),
                    "With a way to them in the kernel.",
                    steps=steps(),
                ),
                number("Peers failed", of("flanpy_peers", state="failed"), "Without one.", steps=BAD_IF_ANY),
                number(
                    "Unreachable",
                    of("flanpy_peers_reach", reach="unreachable"),
                    "Without an answer over the overlay.",
                    steps=BAD_IF_ANY,
                ),
                number(
                    "Short path MTU",
                    of("flanpy_peers_path_mtu_short"),
                    "Peers that no full packet reaches.",
                    steps=BAD_IF_ANY,
                ),
            ],
            [
                timeline(
                    "Conditions",
                    of("flanpy_condition_healthy"),
                    "{{condition}}",
                    "Green: as it should be.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
                listing(
                    "Reasons",
                    of("flanpy_condition_reason_info"),
                    "Status and reason of each condition.",
                    hidden=("Value", "instance"),
                ),
            ],
            [
                timeline("Phase", f"{of('flanpy_phase')} == 1", "{{phase}}", "What the daemon is about."),
                listing(
                    "Identity",
                    of("flanpy_node_info"),
                    "Node, subnet, public IP and backend.",
                    hidden=("Value",),
                ),
            ],
        ],
    )


def _peers() -> Row:
    return (
        "Peers",
        [
            [
                timeline(
                    "Reachability",
                    of("flanpy_peer_reachable"),
                    "{{peer}}",
                    "Over the overlay.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
                graph(
                    "Round trips",
                    [query(of("flanpy_peer_rtt_seconds"), "{{peer}} {{layer}}")],
                    "Last round trip to each peer.",
                    unit="s",
                ),
            ],
            [
                graph(
                    "Loss",
                    [query(of("flanpy_peer_loss_ratio"), "{{peer}} {{layer}}")],
                    "Share of probes without an answer.",
                    unit="percentunit",
                ),
                listing(
                    "Path MTU",
                    of("flanpy_peer_path_mtu_bytes"),
                    "Largest inner packet that passed.",
                    hidden=("instance",),
                    unit="bytes",
                ),
            ],
            [
                heat(
                    "Round trips of all peers",
                    rate("flanpy_rtt_seconds_bucket", "le"),
                    "Over the overlay.",
                    unit="s",
                ),
                graph(
                    "Probes",
                    [query(rate("flanpy_probe_packets_total", "instance"), "{{instance}}")],
                    "Packets sent a second.",
                    unit="pps",
                ),
            ],
        ],
    )


def _reconciling() -> Row:
    return (
        "Reconciling",
        [
            [
                graph(
                    "Passes",
                    [
                        query(quantile(q, "flanpy_reconcile_pass_duration_seconds"), f"p{round(q * 100)}")
                        for q in (0.5, 0.99)
                    ],
                    "Duration of reconcile passes.",
                    unit="s",
                ),
                graph(
                    "Kernel changes",
                    [query(rate("flanpy_kernel_operations_total", "object, verb"), "{{verb}} {{object}}")],
                    "A second.",
                    unit="ops",
                    stacked=True,
                ),
            ],
            [
                graph(
                    "Refused by the kernel",
                    [query(rate("flanpy_kernel_errors_total", "object, errno"), "{{object}} {{errno}}")],
                    "A second.",
                ),
                graph(
                    "Repairs",
                    [query(rate("flanpy_repairs_total", "object, reason"), "{{object}} ({{reason}})")],
                    "A second: what others had changed.",
                ),
                graph(
                    "Read-backs",
                    [query(rate("flanpy_resyncs_total", "reason"), "{{reason}}")],
                    "A second, by reason.",
                ),
            ],
            [
                graph(
                    "Held back",
                    [
                        query(of("flanpy_held_deletions"), "removals held"),
                        query(of("flanpy_foreign_conflicts"), "foreign objects"),
                    ],
                    "What the brake holds, and what stands in the way.",
                ),
            ],
        ],
    )


def _device_and_data_plane() -> Row:
    return (
        "Device and data plane",
        [
            [
                graph(
                    "Bytes",
                    [
                        query(
                            f"{rate('flanpy_device_transmit_bytes_total', 'device')} * 8",
                            "{{device}} out",
                        ),
                        query(f"{rate('flanpy_device_receive_bytes_total', 'device')} * 8", "{{device}} in"),
                    ],
                    "Through the overlay's device.",
                    unit="bps",
                ),
                graph(
                    "Packets",
                    [
                        query(rate("flanpy_device_transmit_packets_total", "device"), "{{device}} out"),
                        query(rate("flanpy_device_receive_packets_total", "device"), "{{device}} in"),
                    ],
                    "Through the overlay's device.",
                    unit="pps",
                ),
            ],
            [
                graph(
                    "Errors and drops",
                    [
                        query(
                            rate(f"flanpy_device_{way}_{what}_total", "device"),
                            f"{{{{device}}}} {way} {what}",
                        )
                        for way in ("receive", "transmit")
                        for what in ("errors", "dropped")
                    ],
                    "Of the overlay's device.",
                    unit="pps",
                ),
                graph(
                    "udp planes",
                    [
                        query(
                            rate("flanpy_udp_packets_total", "plane, direction"),
                            "{{plane}} {{direction}}",
                        ),
                        query(
                            rate("flanpy_udp_dropped_packets_total", "plane, reason"),
                            "{{plane}} dropped: {{reason}}",
                        ),
                    ],
                    "Packets of the udp backend's planes.",
                    unit="pps",
                ),
            ],
            [
                graph(
                    "WireGuard sessions",
                    [query(of("flanpy_wireguard_peers"), "{{state}}")],
                    "Peers by whether a session lives; an idle pair has none.",
                    stacked=True,
                ),
                graph(
                    "Encrypted bytes",
                    [query(f"{rate('flanpy_wireguard_bytes_total', 'direction')} * 8", "{{direction}}")],
                    "Of WireGuard's peers.",
                    unit="bps",
                ),
            ],
            [
                graph(
                    "Room for neighbours",
                    [
                        query(of("flanpy_neighbours_limit"), "{{family}} limit"),
                        query(of("flanpy_neighbours_needed"), "{{family}} needed"),
                    ],
                    "The neighbour table's limit (gc_thresh3), and what peers on the host's links need.",
                ),
                graph(
                    "Dropped by the host",
                    [
                        query(
                            rate("flanpy_neighbours_refused_total", "family"), "{{family}} neighbours refused"
                        ),
                        query(rate("flanpy_reverse_path_drops_total", "instance"), "reverse-path filters"),
                    ],
                    "A second, of all links.",
                    unit="pps",
                ),
            ],
        ],
    )


def _docker_and_the_daemon_itself() -> Row:
    return (
        "Docker and the daemon itself",
        [
            [
                number(
                    "Docker matches",
                    of("flanpy_docker_matches"),
                    "Docker runs with our subnet and MTU.",
                    mappings=YES_NO,
                    steps=BAD_IF_NONE,
                ),
                number(
                    "Over MTU",
                    of("flanpy_docker_containers_over_mtu"),
                    "Running containers with too large an MTU.",
                    steps=BAD_IF_ANY,
                ),
                graph(
                    "CPU",
                    [query(rate("process_cpu_seconds_total", "instance", job="flanpy"), "{{instance}}")],
                    "Of the daemon.",
                    unit="percentunit",
                ),
                graph(
                    "Memory",
                    [query(of("process_resident_memory_bytes", job="flanpy"), "{{instance}}")],
                    "Resident.",
                    unit="bytes",
                ),
            ]
        ],
    )
