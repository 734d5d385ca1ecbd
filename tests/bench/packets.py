# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows that the generator's frames measure: established flows, new flows, and the edge's own traffic."""
import sys
from contextlib import ExitStack

from hosts import BenchError, Hosts, wait_until

CHECKED = 20000  # frames whose checksums are verified before anything is timed


class Contender:
    """One peer with one configuration, on hosts of its own."""

    def __init__(self, peer, rules=1, flows=1000, size=60, label=None):
        self.peer, self.rules, self.flows, self.size = peer, rules, flows, size
        self.label = label or peer.name

    def set_up(self, stack, bench):
        self.hosts = stack.enter_context(Hosts(bench.xfwd))
        self.frames = self.peer.frames(self.hosts, self.rules, self.flows, self.size, cpu=bench.cpu)
        self.peer.set_up(self.hosts, self.rules, self.flows)

    def verify(self, first=0):
        """All that was sent has to arrive, and right."""
        got = self.frames.send(min(2 * self.flows, CHECKED), check=True, first=first)
        if got["right"] + got["moved"] != got["sent"]:
            raise BenchError(f"{self.label}: frames did not arrive as they should: {got}")
        if self.peer.kind == "translated" and got["moved"]:
            bench_note(f"{self.label}: {got['moved']} frames with another source port")


def bench_note(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def alternating(contenders, repeats, measure):
    """All in turn, and again; each time another one begins."""
    values = {c.label: [] for c in contenders}
    for i in range(repeats):
        turn = i % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            values[contender.label].append(measure(contender, i))
    return values


def timed(contender, seconds):
    """In Mpps; nearly all that was sent has to arrive, or it was the generator that took the time."""
    got = contender.frames.time(seconds)
    if got["right"] + got["moved"] < 0.99 * got["sent"]:
        raise BenchError(f"{contender.label}: frames were lost: {got}")
    return got["mpps"]


def established(bench, row, title, contenders):
    """Frames of flows that exist, in Mpps."""
    with ExitStack() as stack:
        for c in contenders:
            c.set_up(stack, bench)
            if c.peer.name not in ("generator", "ceiling"):
                made = c.frames.send(c.flows, check=c.flows <= CHECKED)
                if made["right"] + made["moved"] != c.flows:
                    raise BenchError(f"{c.label}: not all flows could be made: {made}")
            if c.peer.name != "generator":
                c.verify()
        for c in contenders:  # no flow's second packet is timed: that is when it takes its next hop
            c.frames.go_round()
            c.frames.time(0.01)  # finds how many frames a system call should take
        values = alternating(contenders, bench.turns,
                             lambda c, _: timed(c, bench.seconds))
        for c in contenders:
            c.peer.check(c.hosts, c.flows)
    bench.add(row, title, "Mpps", values)


def new_flows(bench, row, title, contenders, count):
    """Each frame begins a flow; all of them have to arrive. In millions a second."""
    for c in contenders:
        c.count = min(count, c.limit) if hasattr(c, "limit") else count
        c.flows = c.count * (bench.repeats + 1)

    def measure(c, i):
        got = c.frames.send(c.count, first=c.count * (i + 1))
        if got["right"] + got["moved"] < 0.99 * c.count:
            raise BenchError(f"{c.label}: new flows were lost: {got}")
        return got["mpps"]

    with ExitStack() as stack:
        for c in contenders:
            c.set_up(stack, bench)
            c.frames.send(min(c.count, 10000))
        values = alternating(contenders, bench.repeats, measure)
    bench.add(row, title, "M flows/s", values)


# ---- traffic to the edge itself, which no rule covers ----

HOLDER = ("import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
          "s.setsockopt(socket.SOL_SOCKET,socket.SO_RCVBUF,2048); s.bind(('0.0.0.0',9));"
          "time.sleep(1e6)")


def udp_arrived(hosts):
    """Datagrams that came as far as a socket, whether it had room for them or not."""
    lines = hosts.in_ns(hosts.edge, ["cat", "/proc/net/snmp"]).splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Udp:"))
    udp = dict(zip(names, map(int, values)))
    return udp["InDatagrams"] + udp["RcvbufErrors"]


def uncovered(bench, row, title, contenders):
    def measure(c, _):
        before = udp_arrived(c.hosts)
        got = c.frames.time(bench.seconds)
        return (udp_arrived(c.hosts) - before) / got["seconds"] * 1e-6

    with ExitStack() as stack:
        for c in contenders:
            c.hosts = stack.enter_context(Hosts(bench.xfwd))
            c.hosts.gro()
            c.frames = c.hosts.frames(flows=c.flows, rules=64, size=c.size, kind="local",
                                      count="none", cpu=bench.cpu)
            c.peer.set_up(c.hosts, 1)
            c.hosts.start(c.hosts.edge, ["/usr/bin/python3", "-c", HOLDER])
            wait_until("the UDP socket", lambda h=c.hosts: h.in_ns(
                h.edge, ["ss", "-Hlun", "sport = :9"]))
            c.frames.send(1000)
            c.frames.time(0.01)
            if (arrived := udp_arrived(c.hosts)) < 990:  # those in its queue are not counted
                raise BenchError(f"{c.label}: {arrived} of 1000 datagrams reached the socket")
        values = alternating(contenders, bench.turns, measure)
    bench.add(row, title, "Mpps", values)
