# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes last, as it strains the machine: R1, G1, and of P3 the flood."""
import mmap
import os
import random
import socket
import struct
import time

from case_path import HUGE, arrives, fragments
from cases import Skip, case
from net import SLOWER, Inside, ether, run, sysctl
from packets import ones_sum, ports

TUPLES = 500 // SLOWER
STALL = 20 * SLOWER  # seconds without a byte of a bulk transfer
# A CPU waits for another's bucket for 100 us. One that is a thread of an emulator may be stopped for
# longer, with the bucket locked.
LOST_MAX = 0 if SLOWER == 1 else 2


def on_every_cpu(cpus, work):
    """Runs work(place, gate) in a process on each CPU. gate(i) returns when all have come to i."""
    shared = mmap.mmap(-1, 4096)
    children = []

    def gate(place, number):
        struct.pack_into("=Q", shared, place * 64, number + 1)
        while any(struct.unpack_from("=Q", shared, other * 64)[0] <= number
                  for other in range(len(cpus))):
            pass

    for place, cpu in enumerate(cpus):
        child = os.fork()
        if not child:
            try:
                os.sched_setaffinity(0, {cpu})
                work(place, lambda number, place=place: gate(place, number))
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


def race(t, sort):
    """Sends the first packets of so many connections on every CPU at once. Returns the outside
    ports of each, and how many packets were lost."""
    f, port, cpus = t.f, t.port() + 20000, t.bed.cpus
    if len(cpus) < 2:
        raise Skip("only one CPU")
    # Without keeping ports, so that two mappings would show.
    t.masquerade("random", sets=("source-check off",))
    wires = [t.client.link, t.narrow.link]
    kind = 0x86DD if f.is6 else 0x0800
    frames = [[ether(wire.edge_mac, t.client.mac, kind) +
               bytes(sort(f.client, f.server, port + i, 53, data=struct.pack("!II", i, 0)))
               for i in range(TUPLES)] for wire in wires]

    def work(place, gate):
        wire = place % len(wires)
        for number, frame in enumerate(frames[wire]):
            gate(number)
            wires[wire].send(frame)

    status = on_every_cpu(cpus, work)
    t.check(not any(status), f"a sender failed: {status}")
    got, end = t.net.settle(), time.monotonic() + SLOWER
    while len(got) < TUPLES * len(cpus) and time.monotonic() < end:
        got += t.net.settle()
    seen = {}
    for frame in got:
        packet = frame.layer3()
        t.check(packet.src == f.edge_out, f"untranslated: {frame}")
        number = struct.unpack("!I", bytes(packet)[-8:-4])[0]
        seen.setdefault(number, set()).add(ports(packet)[0])
    return seen, TUPLES * len(cpus) - len(got)


@case("R1", "first packets of one connection, on every CPU at the same time: one mapping")
def one_mapping(t):
    for sort in (t.f.udp, t.f.tcp):
        seen, _ = race(t, sort)
        several = {number: found for number, found in seen.items() if len(found) > 1}
        t.check(not several, f"several outside ports for one inside: {several}")
        t.check(len(seen) == TUPLES, f"only {len(seen)} of {TUPLES} connections came through")
        t.check(len({min(x) for x in seen.values()}) == TUPLES, "an outside port has two hosts")


@case("R1", "and none of these packets is lost")
def none_lost(t):
    for sort in (t.f.udp, t.f.tcp):
        _, lost = race(t, sort)
        t.check(lost <= LOST_MAX, f"{lost} of {TUPLES * len(t.bed.cpus)}")


class Bulk:
    """Three hosts with stacks of their own, and all that their kernels can offload."""

    def __init__(self, t, mtu):
        self.t, self.f = t, t.f
        self.near, self.edge, self.far = (f"{t.net.prefix}-{name}" for name in
                                          ("near", "middle", "distant"))
        self.names = [self.near, self.edge, self.far]
        self.mtu, self.nat = mtu, None
        six = t.f.is6
        self.inside, self.outside, length = (("fd00:b::", "2001:db8:b::", 64) if six else
                                             ("10.11.0.", "198.51.111.", 24))
        try:
            self.build(length)
        except BaseException:
            self.close()
            raise

    def build(self, length):
        more = ["nodad"] if self.f.is6 else []
        for name in self.names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for place, (far, net) in enumerate(((self.far, self.outside), (self.near, self.inside))):
            run("ip", "-n", self.edge, "link", "add", f"eth{place}", "type", "veth",
                "peer", "name", "eth0", "netns", far)
            for name, interface, number in ((self.edge, f"eth{place}", 1), (far, "eth0", 2)):
                run("ip", "-n", name, "link", "set", interface, "mtu", str(self.mtu), "up")
                run("ip", "-n", name, "address", "add", f"{net}{number}/{length}", "dev", interface,
                    *more)
                run("ip", "netns", "exec", name, "ethtool", "-K", interface, "gro", "on")
        for name, net in ((self.near, self.inside), (self.far, self.outside)):
            run("ip", "-n", name, "route", "add", "default", "via", f"{net}1")
        sysctl(self.edge, ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)

    def attach(self, kind, mode):
        self.nat = kind(self.edge, mode)
        self.nat.interfaces = ("eth0", "eth1")

    def transfer(self, server, listen, port, client, to, to_port, megabytes=32):
        """Sends that much, looks whether it arrived as it was sent, and returns MB/s."""
        family = socket.AF_INET6 if self.f.is6 else socket.AF_INET
        data = os.urandom(1 << 20) * megabytes
        with Inside(server):
            listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((listen, port))
        listener.listen()
        listener.settimeout(STALL)
        child = os.fork()
        if not child:
            try:
                os.sched_setaffinity(0, self.t.bed.cpus)
                with Inside(client):
                    sock = socket.socket(family, socket.SOCK_STREAM)
                sock.settimeout(STALL)
                sock.connect((to, to_port))
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1)
                os._exit(0)
            except BaseException:
                os._exit(1)
        cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.t.bed.cpus)
        try:
            with listener:
                sock, peer = listener.accept()
            with sock:
                sock.settimeout(STALL)
                buffer, at = memoryview(bytearray(len(data) + 1)), 0
                began = time.monotonic()
                while count := sock.recv_into(buffer[at:at + (1 << 20)]):
                    at += count
                took = time.monotonic() - began
        except TimeoutError:
            self.t.fail(f"{to} port {to_port}: no connection, or it stalled")
        finally:
            os.sched_setaffinity(0, cpus)
            os.waitpid(child, 0)
        self.t.check(at == len(data) and buffer[:at] == data, f"{at} bytes came, or others")
        return peer[0], megabytes / took

    def compare(self, near, far):
        """MB/s without rules, and with them."""
        f, check = self.f, self.t.check
        self.nat.load(())
        plain = max(self.transfer(self.far, far, 5001, self.near, far, 5001)[1] for _ in range(2))
        self.nat.load((f"masquerade out eth0 {'ipv6 ' if f.is6 else ''}from {near}",
                       f"dnat in eth0 tcp to {f.at(self.outside + '1', 5003)} -> "
                       f"{f.at(near, 5002)}"))
        rates = []
        for _ in range(2):
            peer, rate = self.transfer(self.far, far, 5001, self.near, far, 5001)
            check(peer == f"{self.outside}1", f"the server saw {peer}")
            rates.append(rate)
        peer, _ = self.transfer(self.near, near, 5002, self.far, f"{self.outside}1", 5003)
        check(peer == far, f"the target saw {peer}")
        return plain, max(rates)

    def close(self):
        if self.nat:
            self.nat.close()
        for name in self.names:
            if os.path.exists(f"/run/netns/{name}"):
                run("ip", "netns", "delete", name)


for MTU in (1500, 9000):

    @case("G1", f"MTU {MTU}: what arrives is what was sent, and as fast as without translation")
    def bulk(t, mtu=MTU):
        f, net = t.f, Bulk(t, mtu)
        try:
            one = f"{net.inside}2", f"{net.outside}2"
            net.attach(type(t.edge), t.mode)
            try:
                net.nat.load(())
            except RuntimeError as error:
                if t.mode == "native" and mtu == 9000:
                    raise Skip("XDP in this driver refuses the MTU") from error
                raise
            for _ in range(3):  # others may need the machine at the wrong moment
                plain, rate = net.compare(*one)
                if rate > plain / 2:
                    return
            t.fail(f"{rate:.0f} MB/s, {plain:.0f} without rules")
        finally:
            net.close()


def flood(t, port):
    """Fragments without a first, of many datagrams of 64 hosts; none of them leaves."""
    f = t.f
    whole = bytearray(bytes(fragments(f.udp(f.client, f.server, port, 53, HUGE,
                                            **({} if f.is6 else {"flags": 0})))[1]))
    generator, at = random.Random(1), 44 if f.is6 else 4
    for number in range(20000):
        whole[at:at + 2] = generator.randrange(65536).to_bytes(2, "big")
        whole[23 if f.is6 else 15] = 16 + number % 64
        if not f.is6:
            whole[10:12] = b"\0\0"
            whole[10:12] = (0xFFFF ^ ones_sum(bytes(whole[:20]))).to_bytes(2, "big")
        t.send(t.client, bytes(whole))
        if number % 200 == 199:
            t.silent(t.client)


@case("P3", "a flood of fragments without a first: none leaves, and what is whole still passes")
def fragment_flood(t):
    f, port = t.f, t.port()
    t.masquerade()
    flood(t, port)
    t.out(f.udp(f.client, f.server, port, 53))


@case("P3", "after such a flood, fragments in order still pass")
def fragments_after_flood(t):
    f, port = t.f, t.port()
    t.masquerade()
    flood(t, port)
    packet = f.udp(f.client, f.server, port, 53, HUGE, **({} if f.is6 else {"flags": 0}))
    arrives(t, t.client, fragments(packet, ident=port), t.server, packet, src=f.edge_out)
