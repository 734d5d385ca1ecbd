# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about many flows and more than one CPU: the sweeper's cost, a full table, two receive queues."""
import json
import statistics
import time
from contextlib import ExitStack

from control import FLOW_MAPS, map_bytes
from hosts import PINS, PROGRAMS, BenchError, Hosts, run, stride
from packets import Contender, alternating
from peers import ONE_RULE, PER_ADDRESS, Xfwd, rules_for


def flows_used(hosts):
    return json.loads(hosts.command("status", "-j"))["flows"]["used"]


def fill(hosts, flows, cpu, room=1, settings=""):
    """That many flows, one frame each, and again where frames were lost; returns how many there are.
    `room`: how many times that the table has; the sweeper hurries when seven eighths are taken."""
    rules = rules_for(flows)
    peer = Xfwd("native", service=False)
    frames = peer.frames(hosts, rules, flows, cpu=cpu)
    hosts.command("apply", "-", input=settings + peer.configuration(rules, int(room * flows)))
    for _ in range(5):
        frames.send(flows)
        used = flows_used(hosts)
        if used >= flows:
            break
    frames.close()
    return used


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def sweep(bench, row, title, flows):
    """Idle flows: every slice of the sweeper's, as long as the kernel's tracepoints say it took. All
    have been idle for longer than the shortest lifetime: both entries of each have to be looked at."""
    seconds = 10 if bench.quick else 40
    with Hosts(bench.xfwd) as hosts:
        used = fill(hosts, flows, bench.cpu, room=1.25,
                    settings="set timeout icmp 1s\n")
        if used < 0.99 * flows:
            raise BenchError(f"only {used} of {flows} flows could be made")
        time.sleep(2)
        got = json.loads(run([f"{PROGRAMS}/ticks", f"{PINS}/{hosts.edge}/maps/sweep_timers", str(seconds)]))
        if flows_used(hosts) != used:
            raise BenchError("flows ended meanwhile")
    took = [nanoseconds / 1000 for nanoseconds in got["took"]]
    if len(took) < 50 * got["seconds"]:
        raise BenchError(f"{len(took)} slices in {got['seconds']} s")
    busy = sum(took) / got["seconds"] / 1e6
    bench.add(row, title, "% of a core", {"xfwd": [100 * busy]},
              note=f"{len(took)} slices in {got['seconds']:.0f} s")
    bench.add(f"{row}.slice", f"one slice of the sweeper's, {flows} idle flows", "µs",
              {"median": [percentile(took, 0.5)], "99 %": [percentile(took, 0.99)],
               "longest": [max(took)]},
              note="the longest has in it what interrupted it, the host of a virtual machine as well")


def full(bench, row, title, flows):
    """As many as `set flows` says."""
    with Hosts(bench.xfwd) as hosts:
        began = time.monotonic()
        used = fill(hosts, flows, bench.cpu)
        seconds = time.monotonic() - began
        each = sum(map_bytes(hosts, name) for name in FLOW_MAPS) / flows
    bench.add(row, title, "%", {"filled": [100 * used / flows]},
              note=f"{used} flows; {seconds:.0f} s with everything set up")
    bench.add(f"{row}.memory", f"bytes of tables for one flow of {flows}", "bytes", {"xfwd": [each]})


# ---- one CPU, and two ----

class TwoCpus(Contender):
    """One peer whose links have two queues each way, with a generator on each of two CPUs: what it
    sends stays on its CPU all the way. The first one counts for both."""

    def set_up(self, stack, bench):
        self.hosts = stack.enter_context(Hosts(bench.xfwd, queues=2))
        self.chains = [self.chain(0, bench.cpu, count="xdp", forward=self.peer.forward),
                       self.chain(1, bench.other_cpu, count="none", forward="none")]
        self.peer.set_up(self.hosts, 1, self.flows)
        for chain in self.chains:
            chain.send(self.flows)
            chain.go_round()

    def chain(self, number, cpu, **more):
        return self.hosts.frames(flows=self.flows, rules=ONE_RULE, size=self.size, cpu=cpu,
                                 kind=self.peer.kind, first=number * 32 * PER_ADDRESS, **more)

    def speed(self, chains, count):
        """Of these at one time, in Mpps; all that they sent has to arrive."""
        before = self.chains[0].ask("count")["right"]
        for chain in chains:
            chain.tell(f"send {count} {stride(self.flows)} 0 0")
        got = [chain.answer() for chain in chains]
        if self.chains[0].ask("count")["right"] - before < 0.99 * count * len(chains):
            raise BenchError(f"{self.label}: frames were lost")
        return sum(g["sent"] / g["seconds"] for g in got) * 1e-6


def two_cpus(bench, row, title, contenders):
    """Both CPUs at one time beside the mean of each alone."""
    count = 1000000 if bench.quick else 3000000
    speeds = {}

    def measure(c, _):
        alone = statistics.mean(c.speed([chain], count) for chain in c.chains)
        both = c.speed(c.chains, count)
        speeds.setdefault(f"{c.label}, one", []).append(alone)
        speeds.setdefault(f"{c.label}, two", []).append(both)
        return both / alone

    with ExitStack() as stack:
        for c in contenders:
            c.set_up(stack, bench)
        ratios = alternating(contenders, bench.repeats, measure)
    bench.add(row, f"{title}: two beside one", "×", ratios)
    bench.add(f"{row}.speed", title, "Mpps", speeds)
