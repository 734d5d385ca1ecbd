#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How a NAT has to behave, packet by packet: raw packets in, whole packets compared out.

Every test is named by the row of the table in README.md that it belongs to, and runs for IPv4 and
IPv6 where it has meaning. Without --against it is xfwd that is tested; `--against nft` runs the
same against the kernel's NAT, which tells whether a test is fair, and fills the table's last column.
"""
import argparse
import importlib
import os
import secrets
import signal
import sys
import time
import traceback

from scapy.layers.inet6 import IPv6

import cases
from cases import Failure, Skip
from edges import NftEdge, XfwdEdge
from net import NARROW_MTU, SLOWER, Network, ether, layer3, run
from packets import ANY, Family, aged, broken, ports, readable, rewritten

SUBJECTS = ("mapping", "lifetime", "hairpin", "icmp", "path", "header", "refuse", "protocol",
            "load")


class Host:
    """One of many on a wire: a MAC address, and the addresses that are known under its name."""

    def __init__(self, name, link, mac):
        self.name, self.link, self.mac = name, link, mac


class Testbed:
    def __init__(self, prefix, kind, mode, cpus):
        self.net, self.cpus = Network(prefix), cpus
        self.edge, self.mode = None, mode
        try:
            self.build()
            self.edge = kind(self.net.edge, mode)
        except BaseException:
            self.net.close()
            raise

    def build(self):
        net = self.net
        four, six = Family(4), Family(6)
        self.outside = net.link("outside", "eth0", f"{four.edge_out}/24", f"{six.edge_out}/64")
        self.inside = net.link("inside", "eth1", f"{four.edge_in}/24", f"{six.edge_in}/64")
        self.narrow_link = net.link("narrow", "eth2", f"{four.edge_narrow}/24",
                                    f"{six.edge_narrow}/64")
        run("ip", "-n", net.edge, "link", "set", "eth2", "mtu", str(NARROW_MTU))
        self.hosts = {}
        for number, (name, link) in enumerate((
                ("client", self.inside), ("client2", self.inside), ("inner_router", self.inside),
                ("server", self.outside), ("server2", self.outside), ("router", self.outside),
                ("narrow", self.narrow_link)), 1):
            mac = f"02:00:00:00:01:{number:02x}"
            self.hosts[name] = Host(name, link, mac)
            for family in (four, six):
                net.neighbour(link, getattr(family, name), mac)
        for name, router in (("inner", "inner_router"), ("far", "router")):
            self.hosts[name] = Host(name, self.hosts[router].link, self.hosts[router].mac)
        for family, default, inner in ((four, "0.0.0.0/0", "10.1.0.0/24"),
                                       (six, "::/0", "fd00:a:1::/64")):
            run("ip", "-n", net.edge, "route", "add", default, "via", family.router)
            run("ip", "-n", net.edge, "route", "add", inner, "via", family.inner_router)

    def close(self):
        if self.edge:
            self.edge.close()
        self.net.close()


class Test:
    """What a test case works with. Hosts by their names, and their addresses from the family."""

    def __init__(self, bed, family):
        self.bed, self.net, self.edge, self.f = bed, bed.net, bed.edge, family
        self.mode = bed.mode

    def __getattr__(self, name):
        try:
            return self.bed.hosts[name]
        except KeyError:
            raise AttributeError(name) from None

    # ---- rules ----

    def load(self, *rules, sets=(), interfaces=(), nft=None):
        self.edge.load(rules, sets, interfaces, nft)
        self.net.settle()

    def masquerade(self, *options, **more):
        family = "ipv6 " if self.f.is6 else ""
        self.load(" ".join([f"masquerade out eth0 {family}from {self.f.innet}", *options]), **more)

    def one_to_one(self, *more):
        f, ip = self.f, "ip6" if self.f.is6 else "ip"
        self.load(f"static eth0 {f.pool1} <-> {f.client}", *more,
                  nft=[f"prerouting iifname eth0 {ip} daddr {f.pool1} dnat {ip} to {f.client}",
                       f"postrouting oifname eth0 {ip} saddr {f.client} snat {ip} to {f.pool1}"])

    @property
    def xfwd(self):
        return self.edge.against == "xfwd"

    def counted(self, verdict, least):
        """That many packets had this verdict, or more."""
        got = self.edge.counted()
        if got is not None and got.get(verdict, 0) < least:
            self.fail(f"{least} packets counted as {verdict} wanted, got {got}")

    def flows(self, *filters):
        flows = self.edge.flows(*filters)
        if flows is None:
            raise Skip("flows cannot be asked for")
        return flows

    def until(self, what, condition, patience=10):
        """Waits for a condition."""
        end = time.monotonic() + patience * SLOWER
        while not condition():
            if time.monotonic() > end:
                self.fail(f"not within {patience} s: {what}")
            time.sleep(0.02)

    def all_flows_end(self):
        self.edge.let_flows_end()
        self.until("all flows have ended", lambda: not self.edge.flows())

    # ---- packets ----

    def send(self, host, packet):
        data = bytes(packet)
        kind = 0x86DD if data[0] >> 4 == 6 else 0x0800
        host.link.send(ether(host.link.edge_mac, host.mac, kind) + data)

    def exchange(self, host, *packets):
        """Sends, and returns every frame that came out of the edge then."""
        for packet in packets:
            self.send(host, packet)
        return self.net.settle()

    def silent(self, host, *packets):
        """Nothing at all comes out."""
        frames = self.exchange(host, *packets)
        if frames:
            self.fail("nothing should have come, but there was", *map(str, frames))

    def only(self, frames):
        if len(frames) != 1:
            self.fail(f"one frame wanted, got {len(frames)}", *map(str, frames))
        return frames[0]

    def one(self, frames, host):
        """The only frame there is, which is for that host."""
        frame = self.only(frames)
        if frame.link is not host.link or frame.ether.dst != host.mac:
            self.fail(f"not for {host.name} ({host.mac}):", str(frame))
        return frame

    def forward(self, sender, packet, receiver, **changes):
        """The packet arrives, rewritten so and no otherwise; a port that is ANY may be any.
        Returns it as it arrived."""
        frame = self.one(self.exchange(sender, packet), receiver)
        got = layer3(frame.data)
        changes = dict(changes)
        for place, name in enumerate(("sport", "dport")):
            if changes.get(name) is ANY:
                changes[name] = ports(got)[place]
        self.equal(frame, rewritten(packet, **changes), receiver)
        return got

    def equal(self, frame, packet, receiver):
        """Byte by byte, from the link layer on."""
        data = bytes(packet)
        wanted = frame.data[:0] + ether(receiver.mac, receiver.link.edge_mac,
                                        0x86DD if isinstance(packet, IPv6) else 0x0800) + data
        if frame.data != wanted:
            self.fail("not the packet that it should be", f"wanted: {readable(data)}",
                      f"got:    {readable(frame.data[14:])}", *differences(packet, frame.data[14:]))

    def out(self, packet, sender=None, receiver=None, sport=None):
        """From inside to outside, through masquerade: the source is the edge's then."""
        return self.forward(sender or self.client, packet, receiver or self.server,
                            src=self.f.edge_out, sport=sport)

    def check(self, condition, *text):
        if not condition:
            self.fail(*text)

    def back(self, packet, sender=None, receiver=None, dport=None):
        """From outside through a mapping, which is an inside host's."""
        receiver = receiver or self.client
        return self.forward(sender or self.server, packet, receiver,
                            dst=getattr(self.f, receiver.name), dport=dport)

    def comes_through(self, frames, host):
        """Those frames that came to the wire that this host is on."""
        return [frame for frame in frames if frame.link is host.link]

    def blocked(self, sender, packet, receiver):
        """Whatever the edge answers, the packet does not come to the receiver's wire."""
        frames = self.comes_through(self.exchange(sender, packet), receiver)
        if frames:
            self.fail(f"it came through to {receiver.name}'s side:", *map(str, frames))

    def port(self, count=2):
        """The first, an even one, of so many ports that no host of any case had: those are not
        given to others for a while, even if their flows have ended."""
        first = Test.last_port
        while any(port in self.net.ports_seen for port in range(first, first + count)):
            first += 2
        Test.last_port = first + count
        return first

    last_port = 5002

    def translated_error(self, sender, error, receiver, wanted):
        """An ICMP error comes out as another, one hop older, from the link layer on."""
        frame = self.one(self.exchange(sender, error), receiver)
        self.equal(frame, aged(wanted), receiver)

    def answer(self, frame, source, receiver, what, packet, mtu=0):
        """The frame is the edge's own ICMP error about that packet of the receiver's."""
        if frame.link is not receiver.link or frame.ether.dst != receiver.mac:
            self.fail(f"an answer to {receiver.name} ({receiver.mac}) wanted:", str(frame))
        got = layer3(frame.data)
        raw = bytes(got)
        model = self.f.error(source, packet.src, what, b"", mtu)
        kind = bytes(model)[self.f.header:]
        icmp = raw[self.f.header:]
        self.check((got.src, got.dst) == (source, packet.src),
                   f"from {got.src} to {got.dst}, not from {source} to {packet.src}")
        self.check(icmp[:2] == kind[:2] and icmp[4:8] == kind[4:8],
                   f"ICMP header {icmp[:8].hex()}, type, code and MTU as in {kind[:8].hex()} wanted")
        self.check(not broken(raw), f"{broken(raw)}: {raw.hex()}")
        sent = [bytes(packet), bytes(rewritten(packet))]  # before or after one hop is counted
        self.check(len(icmp) >= 8 + self.f.header + 8, f"quotes {len(icmp) - 8} bytes only")
        self.check(any(whole.startswith(icmp[8:]) for whole in sent),
                   "does not quote what was sent", f"sent:   {readable(sent[0])}",
                   f"quoted: {readable(icmp[8:])}")

    @staticmethod
    def fail(*text):
        raise Failure("\n".join(map(str, text)))


def differences(wanted, data):
    """Which fields, as far as both can be read."""
    found = []
    try:
        got = type(wanted)(data)
        wanted = type(wanted)(bytes(wanted))
        while wanted and got and type(wanted) is type(got):
            for field in wanted.fields_desc:
                one, other = wanted.getfieldval(field.name), got.getfieldval(field.name)
                if one != other:
                    found.append(f"{wanted.name}.{field.name}: wanted {one!r}, got {other!r}")
            wanted, got = wanted.payload, got.payload
    except Exception as error:  # what the bytes are was said already
        found.append(f"(cannot be compared by fields: {error})")
    return found


def show(number, ok, name, text=""):
    print(f"{'ok' if ok else 'not ok'} {number} - {name}", flush=True)
    for line in text.splitlines():
        print(f"# {line}", flush=True)


def run_case(bed, case, family):
    try:
        bed.net.settle()
        case.function(Test(bed, family))
    except Failure as failure:
        tb = traceback.extract_tb(failure.__traceback__)
        where = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in tb if "case_" in f.name or
                 os.path.basename(f.filename).startswith("case_")]
        return f"{failure}\n({' '.join(where)}; {bed.edge.counted() or 'nothing counted'})"
    except Skip:
        raise
    except Exception:  # a test that breaks has failed
        return traceback.format_exc()
    return ""


def run_all(bed, wanted, label):
    number = failed = 0
    for case, family in wanted:
        number += 1
        name = f"{case.row} {label} {family.name}: {case.title}"
        try:
            text = run_case(bed, case, family)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            continue
        failed += bool(text)
        show(number, not text, name, text)
    print(f"1..{number}")
    return 1 if failed else 0


def families_for(mode):
    """XFWD_TEST_FAMILIES="native:4 tc:6" names the family that a mode is tested for."""
    named = [word.partition(":") for word in os.environ.get("XFWD_TEST_FAMILIES", "").split()]
    return [int(family) for name, _, family in named if name == mode] or [4, 6]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("native", "generic", "tc"), default="tc")
    parser.add_argument("--against", choices=("xfwd", "nft"), default="xfwd")
    parser.add_argument("--family", type=int, choices=(4, 6), action="append")
    parser.add_argument("--cpu", type=int, default=0, help="the one that forwards")
    parser.add_argument("pattern", nargs="*", help="a row, or a part of a title",
                        default=os.environ.get("XFWD_TEST_ROWS", "").split())
    args = parser.parse_args()

    for subject in SUBJECTS:
        importlib.import_module(f"case_{subject}")
    families = args.family or families_for(args.mode)
    wanted = [(case, Family(number)) for case in cases.ALL for number in case.families
              if number in families and
              (not args.pattern or any(p == case.row or p in case.title for p in args.pattern))]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {available[args.cpu % len(available)]})
    prefix = os.environ.get("XFWD_TEST_ID", f"xt-{secrets.token_hex(2)}")
    against = {"xfwd": XfwdEdge, "nft": NftEdge}[args.against]
    bed = Testbed(prefix, against, args.mode, available)
    try:
        return run_all(bed, wanted, args.mode if args.against == "xfwd" else "nft")
    finally:
        bed.close()


if __name__ == "__main__":
    sys.exit(main())
