# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rows are measured: the full run, the quick one and the one for CI are the same list, cut."""
import contextlib
import os
import statistics
import subprocess
import sys
import time

import control
import goals
import packets
import scale
import streams
from hosts import BenchError, run
from packets import Contender
from peers import Peer, all_peers

CONNTRACK = {"net.netfilter.nf_conntrack_max": 2000000,
             "net.netfilter.nf_conntrack_buckets": 1048576}


class Bench:
    def __init__(self, args, xfwd):
        self.xfwd, self.args = xfwd, args
        self.quick = args.quick or args.ci
        self.repeats, self.cpu = args.repeats, args.cpu
        self.other_cpu = (args.cpu or os.cpu_count()) - 1
        self.turns = 2 * args.repeats + 1  # of what is measured in a fraction of a second
        self.seconds = args.duration or (0.07 if self.quick else 0.2)
        self.tcp_seconds = args.duration or (1 if self.quick else 2)
        self.short_seconds = args.duration or (0.3 if self.quick else 1)
        self.began = time.monotonic()
        self.load = os.getloadavg()[0]
        self.rows, self.skipped = {}, []
        self.peers = all_peers()
        for peer in self.peers.values():
            if peer.missing():
                self.skip(f"{peer.name}: no {peer.missing()[0]}")

    def options(self):
        return {key: value for key, value in vars(self.args).items() if value is not None}

    def skip(self, text):
        if text not in self.skipped:
            self.skipped.append(text)

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f}s  {text}", file=sys.stderr, flush=True)

    def add(self, row, title, unit, values, note=""):
        self.rows[row] = {"title": title, "short": title.split(", ")[0], "unit": unit,
                          "values": values, "note": note}
        self.say("         " + ", ".join(f"{label} {statistics.median(v):.3f}" for label, v in values.items()))

    def pick(self, *names):
        """Peers that were asked for and can run here."""
        return [self.peers[n] for n in names if not self.peers[n].missing() and
                (not self.args.peers or n in self.args.peers)]

    def measure(self, function, row, title, *rest):
        """One row. For CI, once more if it went wrong or is far below a goal: by chance, perhaps."""
        if self.args.only and not any(part in row for part in self.args.only):
            return
        self.say(f"{row}: {title}")
        before = goals.far_below(self.rows)
        error = self.attempt(function, row, title, *rest)
        if self.args.ci and (error or goals.far_below(self.rows) != before):
            self.say("         again")
            error = self.attempt(function, row, title, *rest)
        if error:
            self.skip(f"{row}: {error}")

    def attempt(self, function, row, title, *rest):
        """What goes wrong in it is said, and the others are measured all the same."""
        try:
            function(self, row, title, *rest)
            return None
        except (BenchError, OSError, ValueError, subprocess.SubprocessError) as error:
            self.say(f"         FAILED: {error}")
            return error


@contextlib.contextmanager
def room_for_conntrack():
    """Without room for all flows, and buckets for them, the kernel's NAT would be measured badly."""
    before = {}
    for name, wanted in CONNTRACK.items():
        try:
            before[name] = int(run(["sysctl", "-n", name]))
            if before[name] < wanted:
                run(["sysctl", "-qw", f"{name}={wanted}"])
        except BenchError:
            before.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            run(["sysctl", "-qw", f"{name}={value}"])


def contenders(bench, names, **what):
    return [Contender(peer, **what) for peer in bench.pick(*names)]


def established_rows(bench):
    some = ("xfwd native", "xfwd native alone", "xfwd tc", "ceiling", "one lookup", "routing",
            "nft map", "nft flowtable", "ipvs", "iptables")
    full = some + ("generator", "nft plain")
    few = ("xfwd native", "ceiling", "one lookup", "nft map")
    if bench.args.ci:
        some = ("xfwd native", "xfwd native alone", "xfwd tc", "ceiling", "nft map", "iptables")
    for flows in bench.args.flows:
        if flows > 100000:  # their tables share one cache
            names = few
        elif bench.quick:
            names = some if flows == 1000 else few
        else:
            names = full
        bench.measure(packets.established, f"established.{flows}",
                      f"{flows} flow{'s' if flows > 1 else ''}, frames of 60 bytes, one rule",
                      contenders(bench, names, flows=flows))
    for size in bench.args.sizes:
        if size != 60:
            bench.measure(packets.established, f"size.{size}",
                          f"{size} bytes, 1000 flows",
                          contenders(bench, few if bench.quick else some, size=size))


def new_rows(bench):
    for rules in bench.args.rules:
        names = ["xfwd native", "nft map"]
        if not bench.quick:
            names += ["xfwd tc", "iptables"] if rules <= 1000 else ["xfwd tc"]
        chosen = contenders(bench, names, rules=rules)
        for contender in chosen:
            if contender.peer.name == "iptables" and rules > 1:
                contender.limit = 5000
        bench.measure(packets.new_flows, f"new.{rules}",
                      f"{rules} rule{'s' if rules > 1 else ''}, each frame a new flow",
                      chosen, 100000)


def mapping_row(bench):
    """Each of the flows with a mapping of its own: one address has room for 64 thousand of them."""
    chosen = contenders(bench, ("xfwd mappings", "nft map"))
    bench.measure(packets.new_flows, "mapping", "each frame a new flow and a new mapping", chosen,
                  16000 // (bench.repeats + 1))


def rules_rows(bench):
    """xfwd against itself, with one rule and with many."""
    if not bench.pick("xfwd native"):
        return
    peer = bench.peers["xfwd native"]

    def both():
        return [Contender(peer, rules=1, label="1 rule"),
                Contender(peer, rules=100000, label="100k rules")]

    bench.measure(packets.established, "rules.established", "1000 flows, by rules", both())
    bench.measure(packets.new_flows, "rules.new", "new flows, by rules", both(), 100000)


def stream_rows(bench):
    names = ("xfwd auto", "iptables", "nft map", "routing", "no edge", "nginx", "haproxy")
    if bench.args.ci:
        names = ("xfwd auto", "iptables")
    for count in (1,) if bench.quick else (1, 4):
        bench.measure(streams.bulk, f"tcp.bulk.{count}",
                      f"{count} stream{'s' if count > 1 else ''}, iperf3",
                      bench.pick(*(n for n in names if not bench.quick or n != "nft map")), count)
    if bench.quick:
        names = ("xfwd auto", "iptables", "routing", "no edge", "nginx")[:3 if bench.args.ci else 5]
    bench.measure(streams.connections, "tcp.connections", "connections a second",
                  bench.pick(*names))
    bench.measure(streams.answers, "tcp.answers", "question and answer", bench.pick(*names))


def control_rows(bench):
    bench.measure(control.load, "load.100000", "load 100000 rules")
    bench.measure(control.first_packet, "first", "add of the first rule to the first packet")
    bench.measure(control.memory, "memory", "bytes of tables for one flow")
    bench.measure(control.program, "program", "one packet in the XDP program, flow in the cache")


def scale_rows(bench):
    if bench.pick("xfwd native"):
        bench.measure(scale.sweep, "sweep", "the sweeper's share of a core, 1000000 idle flows",
                      1000000)
        if not bench.quick:
            bench.measure(scale.full, "full", "4000000 flows, filled", 4000000)
    if os.cpu_count() > 1:
        bench.measure(scale.two_cpus, "cpus", "1000 flows on each of two CPUs",
                      [scale.TwoCpus(peer) for peer in bench.pick("xfwd native", "ceiling")])


def edge(bench, peer):
    return [Contender(Peer(), label="without"), Contender(peer, label="with xfwd")]


def uncovered_rows(bench):
    if not bench.pick("xfwd auto"):
        return
    peer = bench.peers["xfwd auto"]
    bench.measure(packets.uncovered, "uncovered.udp", "60-byte frames to the edge itself",
                  edge(bench, peer))
    if not bench.args.ci:
        bench.measure(streams.to_the_edge, "uncovered.tcp", "iperf3 to the edge itself",
                      edge(bench, peer))
    if not bench.quick:
        bench.measure(packets.uncovered, "uncovered.udp.native",
                      "60-byte frames to the edge itself, native XDP",
                      edge(bench, bench.peers["xfwd native"]))


def run_all(bench):
    with room_for_conntrack():
        control_rows(bench)
        established_rows(bench)
        new_rows(bench)
        if not bench.args.ci:
            mapping_row(bench)
        if not bench.args.ci:
            rules_rows(bench)
            scale_rows(bench)
        stream_rows(bench)
        uncovered_rows(bench)
