# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows that real TCP measures: bulk data, connections a second, questions and answers."""
import json
import subprocess
from contextlib import ExitStack

from hosts import PROGRAMS, BenchError, Hosts
from packets import Contender, alternating
from peers import TCP_PORT

PUBLIC, TARGET = "198.51.100.1", "10.0.0.2"


def with_hosts(bench, contenders, start_server, measure):
    with ExitStack() as stack:
        for c in contenders:
            c.hosts = stack.enter_context(Hosts(bench.xfwd))
            c.hosts.cpu = bench.cpu
            c.address = getattr(c.peer, "address", PUBLIC)
            start_server(c.hosts, getattr(c.hosts, c.peer.serves_at))
            c.peer.set_up_tcp(c.hosts)
        return alternating(contenders, bench.repeats, measure)


def of(peers):
    return [Contender(peer) for peer in peers]


def iperf_server(hosts, ns):
    hosts.start(ns, ["iperf3", "-s", "-p", str(TCP_PORT)], stderr=subprocess.DEVNULL)
    hosts.wait_listening(ns, TCP_PORT)


def iperf(hosts, address, streams, seconds, port=TCP_PORT):
    """Gbit/s that arrived."""
    out = hosts.in_ns(hosts.client, ["iperf3", "-J", "-c", address, "-p", str(port), "-P",
                                     str(streams), "-t", str(max(1, round(seconds)))], timeout=60)
    return json.loads(out)["end"]["sum_received"]["bits_per_second"] * 1e-9


def bulk(bench, row, title, peers, streams):
    values = with_hosts(bench, of(peers), iperf_server,
                        lambda c, _: iperf(c.hosts, c.address, streams, bench.tcp_seconds))
    bench.add(row, title, "Gbit/s", values)


def echo_server(hosts, ns):
    hosts.start(ns, pinned(hosts, [f"{PROGRAMS}/tcp", "serve", str(TCP_PORT)]))
    hosts.wait_listening(ns, TCP_PORT)


def pinned(hosts, command):
    """Both ends on one CPU: how long another one takes to wake up is not the question here."""
    return ["taskset", "-c", str(hosts.cpu), *command]


def tcp_client(c, what, seconds):
    command = [f"{PROGRAMS}/tcp", what, c.address, str(TCP_PORT), str(seconds)]
    out = c.hosts.in_ns(c.hosts.client, pinned(c.hosts, command), timeout=60)
    return json.loads(out)


def connections(bench, row, title, peers):
    values = with_hosts(bench, of(peers), echo_server,
                        lambda c, _: tcp_client(c, "connections", bench.short_seconds)["connections"] / 1000)
    bench.add(row, title, "thousand/s", values)


def answers(bench, row, title, peers):
    """Two rows of one measurement: the median and the 99th percentile."""
    p50 = {peer.name: [] for peer in peers}

    def measure(c, _):
        got = tcp_client(c, "answers", bench.short_seconds)
        p50[c.label].append(got["p50"])
        return got["p99"]

    p99 = with_hosts(bench, of(peers), echo_server, measure)
    bench.add(f"{row}.p50", f"{title}, median", "µs", p50)
    bench.add(f"{row}.p99", f"{title}, 99th percentile", "µs", p99)


def to_the_edge(bench, row, title, contenders):
    """iperf3 to the edge's own port, which no rule covers."""
    with ExitStack() as stack:
        for c in contenders:
            c.hosts = stack.enter_context(Hosts(bench.xfwd))
            c.peer.set_up_tcp(c.hosts)
            c.hosts.start(c.hosts.edge, ["iperf3", "-s", "-p", "5999"],
                          stderr=subprocess.DEVNULL)
            c.hosts.wait_listening(c.hosts.edge, 5999)
        values = alternating(contenders, bench.repeats,
                             lambda c, _: iperf(c.hosts, PUBLIC, 1, bench.tcp_seconds, 5999))
    bench.add(row, title, "Gbit/s", values)
    if min(values[contenders[0].label]) <= 0:
        raise BenchError("nothing arrived")
