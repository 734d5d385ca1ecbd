# SPDX-License-Identifier: GPL-2.0-or-later
"""Several ways ahead, packets larger than the way ahead, and fragments: W, P."""
import contextlib

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from cases import case
from net import NARROW_MTU, run, sysctl
from packets import ANY, ports, rewritten

LONG = bytes(range(256)) * 5  # with its headers, more than NARROW_MTU
HUGE = bytes(range(256)) * 12


def fragments(packet, size=1000, ident=0x4321):
    """The packet, cut into pieces of that many bytes; `size` is a multiple of 8."""
    whole = bytes(packet)
    found = []
    if isinstance(packet, IPv6):
        payload, proto = whole[40:], packet.nh
        for at in range(0, len(payload), size):
            piece = IPv6(src=packet.src, dst=packet.dst, hlim=packet.hlim, tc=packet.tc)
            piece /= IPv6ExtHdrFragment(nh=proto, offset=at // 8, id=ident,
                                        m=at + size < len(payload))
            found.append(piece / Raw(payload[at:at + size]))
    else:
        payload = whole[20:]
        for at in range(0, len(payload), size):
            flags = "MF" if at + size < len(payload) else 0
            piece = IP(src=packet.src, dst=packet.dst, ttl=packet.ttl, tos=packet.tos,
                       id=ident & 0xFFFF, proto=packet.proto, flags=flags, frag=at // 8)
            found.append(piece / Raw(payload[at:at + size]))
    return found


def reassembled(t, frames, receiver, limit=1500):
    """What the fragments make up; each of them is for the receiver, and fits."""
    pieces, heads = {}, set()
    for frame in frames:
        if frame.link is not receiver.link or frame.ether.dst != receiver.mac:
            t.fail(f"not for {receiver.name}:", *frames)
        packet = frame.layer3()
        t.check(len(bytes(packet)) <= limit, f"larger than {limit}: {frame}")
        if isinstance(packet, IPv6):
            t.check(IPv6ExtHdrFragment in packet, f"not a fragment: {frame}")
            part = packet[IPv6ExtHdrFragment]
            pieces[part.offset * 8] = (bytes(part.payload), part.m)
            heads.add((packet.src, packet.dst, packet.hlim, packet.tc, part.id, part.nh))
        else:
            t.check(not broken_header(packet), f"header checksum: {frame}")
            pieces[packet.frag * 8] = (bytes(packet.payload), "MF" in packet.flags)
            heads.add((packet.src, packet.dst, packet.ttl, packet.tos, packet.id, packet.proto))
    t.check(len(heads) == 1, f"headers differ: {heads}", *frames)
    payload = b""
    while len(payload) in pieces:
        piece, more = pieces[len(payload)]
        payload += piece
        if not more:
            return heads.pop(), payload
    return t.fail(f"only offsets {sorted(pieces)} came:", *frames)


def broken_header(packet):
    whole = bytes(packet)
    fresh = packet.copy()
    fresh.chksum = None
    return whole != bytes(fresh)


def arrives(t, sender, pieces, receiver, packet, limit=1500, order=None, **changes):
    """The fragments arrive as those of the packet with these changes. Returns the payload."""
    pieces = [pieces[i] for i in order] if order else pieces
    frames = t.exchange(sender, *pieces)
    if not frames:
        t.fail("nothing came")
    head, payload = reassembled(t, frames, receiver, limit)
    for place, name in enumerate(("sport", "dport")):
        if changes.get(name) is ANY:
            changes[name] = int.from_bytes(payload[place * 2:place * 2 + 2], "big")
    wanted = rewritten(packet, **changes)
    t.check(payload == bytes(wanted)[t.f.header:],
            f"wanted: {bytes(wanted)[t.f.header:].hex()}", f"got:    {payload.hex()}")
    hops = wanted.hlim if t.f.is6 else wanted.ttl
    t.check(head[:3] == (wanted.src, wanted.dst, hops), f"wanted {wanted.summary()}, got {head}")
    return payload


def orders(number):
    """In order, backwards, and the first neither first nor last."""
    straight = list(range(number))
    return {"in order": straight, "backwards": straight[::-1],
            "mixed": straight[1:2] + straight[:1] + straight[2:]}


# ---- W1: several ways ahead ----


def route_by(t, *hosts):
    """Where goes what has no other route: by one of these."""
    hops = [word for host in hosts for word in ("nexthop", "via", getattr(t.f, host))]
    run("ip", f"-{t.f.number}", "-n", t.net.edge, "route", "replace",
        "::/0" if t.f.is6 else "0.0.0.0/0", *hops)


@contextlib.contextmanager
def two_ways(t, policy=0):
    """Within this, by two; a policy of 1 has the ports decide, too, which."""
    name = f"ipv{t.f.number}__fib_multipath_hash_policy"
    route_by(t, "router", "narrow")
    try:
        sysctl(t.net.edge, **{name: policy})
        yield
    finally:
        sysctl(t.net.edge, **{name: 0})
        route_by(t, "router")


def masquerade_both(t):
    family = "ipv6 " if t.f.is6 else ""
    t.load(*(f"masquerade out {name} {family}from {t.f.innet}" for name in ("eth0", "eth2")))


def leaves(t, packet, **changes):
    """By which of the two ways; its source has to be the address there."""
    frame = t.only(t.exchange(t.client, packet))
    by = t.router if frame.link is t.router.link else t.narrow
    source = t.f.edge_out if by is t.router else t.f.edge_narrow
    t.equal(frame, rewritten(packet, src=source, **changes), by)
    return by


def far_hosts(t, number):
    """Addresses that no other route leads to."""
    return [t.f.far[:-1] + format(0x20 + i, "x" if t.f.is6 else "d") for i in range(number)]


@case("W1", "of several next hops, each flow keeps one, and has the address that belongs there")
def next_hops(t):
    f, used = t.f, set()
    masquerade_both(t)
    for policy in (0, 1):
        with two_ways(t, policy):
            for far in far_hosts(t, 16):
                port = t.port()
                for packet in (f.echo(f.client, far, port), f.udp(f.client, far, port, 53)):
                    seen = {leaves(t, packet) for _ in range(3)}
                    t.check(len(seen) == 1, f"by both: {packet.summary()}")
                    used |= seen
    t.check(len(used) == 2, "only one way was used")


def moves(t, packet, **changes):
    """A flow that has left by one way leaves by the other when the route does. The packet that finds
    it so may be lost (the kernel's NAT drops it), but has no other's address."""
    t.check(leaves(t, packet, **changes) is t.router, "not by the first way")
    try:
        route_by(t, "narrow")
        for frame in t.exchange(t.client, packet):
            t.equal(frame, rewritten(packet, src=t.f.edge_narrow, **changes), t.narrow)
        for _ in range(2):
            t.check(leaves(t, packet, **changes) is t.narrow, "not by the other way")
    finally:
        route_by(t, "router")


@case("W1", "a masqueraded flow that is routed elsewhere has the address that belongs there")
def route_changed(t):
    f = t.f
    masquerade_both(t)
    for packet in (f.udp(f.client, f.far, t.port(), 53), f.echo(f.client, f.far, t.port()),
                   f.tcp(f.client, f.far, t.port(), 80)):
        moves(t, packet)


@case("W1", "it does where only the outside is attached")
def route_changed_outside(t):
    f, attached = t.f, t.edge.interfaces
    t.edge.interfaces = ("eth0", "eth2")
    try:
        masquerade_both(t)
        moves(t, f.udp(f.client, f.far, t.port(), 53))
    finally:
        t.edge.interfaces = attached


@case("W1", "it does where its destination is translated, too")
def route_changed_both(t):
    f = t.f
    family = "ipv6 " if f.is6 else ""
    t.load(f"dnat in eth1 udp to {f.at(f.pool1, 7000)} -> {f.at(f.far, 53)}",
           *(f"masquerade out {name} {family}from {f.innet}" for name in ("eth0", "eth2")))
    moves(t, f.udp(f.client, f.pool1, t.port(), 7000), dst=f.far, dport=53)


@contextlib.contextmanager
def marked(t):
    """Within this, the stack routes UDP by the router, whatever others take for its way."""
    edge = t.net.edge
    run("ip", "netns", "exec", edge, "nft", "table inet marks { chain mark_all { type filter hook "
        "prerouting priority mangle; meta l4proto udp meta mark set 7; }; }")
    run("ip", "-n", edge, "route", "add", "default", "via", t.f.router, "table", "77")
    run("ip", "-n", edge, "rule", "add", "fwmark", "7", "lookup", "77")
    try:
        yield
    finally:
        run("ip", "-n", edge, "rule", "delete", "fwmark", "7")
        run("ip", "-n", edge, "route", "flush", "table", "77")
        run("ip", "netns", "exec", edge, "nft", "delete", "table", "inet", "marks")


@case("W1", "what the stack fragments by another way leaves no flow behind that leads astray",
      families=(4,))
def fragmented_elsewhere(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth1 udp to {f.at(f.pool1, 7000)} -> {f.at(f.far, 53)}",
           *(f"masquerade out {name} from {f.innet}" for name in ("eth0", "eth2")))
    packet = f.udp(f.client, f.pool1, port, 7000)
    large = f.udp(f.client, f.pool1, port, 7000, LONG, flags=0)
    route_by(t, "narrow")
    try:
        with marked(t):
            t.forward(t.client, packet, t.narrow, src=f.edge_narrow, dst=f.far, dport=53)
            t.blocked(t.client, large, t.router)
            for _ in range(2):
                t.forward(t.client, packet, t.narrow, src=f.edge_narrow, dst=f.far, dport=53)
    finally:
        route_by(t, "router")


@case("W1", "a flow under snat keeps its address when it is routed elsewhere")
def route_changed_snat(t):
    f = t.f
    t.load(*(f"snat out {name} from {f.innet} -> {f.pool1}" for name in ("eth0", "eth2")))
    packet = f.udp(f.client, f.far, t.port(), 53)
    t.forward(t.client, packet, t.router, src=f.pool1)
    try:
        route_by(t, "narrow")
        for _ in range(3):
            t.forward(t.client, packet, t.narrow, src=f.pool1)
    finally:
        route_by(t, "router")


def forward_both(t):
    """A port at an address that is routed to the edge."""
    f = t.f
    t.load(*(f"dnat in {name} udp to {f.at(f.pool1, 7000)} -> {f.at(f.client, 53)}"
             for name in ("eth0", "eth2")))


@case("W1", "a source may come from any of the next hops that lead to it")
def sources(t):
    f = t.f
    forward_both(t)
    for policy in (0, 1):
        with two_ways(t, policy):
            for far in far_hosts(t, 16):
                for host in (t.router, t.narrow):
                    t.forward(host, f.udp(far, f.pool1, t.port(), 7000), t.client, dst=f.client,
                              dport=53)


@case("X2", "a source that a more specific route leads to is forged where several next hops are")
def sources_elsewhere(t):
    f = t.f
    forward_both(t)
    with two_ways(t):
        for host, elsewhere in ((t.router, f.narrow), (t.narrow, f.server)):
            for address in (elsewhere, f.client, f.client2, f.inner):
                for port in range(7100, 7104):
                    t.blocked(host, f.udp(address, f.pool1, port, 7000), t.client)
    t.counted("martian", 32)


# ---- P1, P2: a smaller MTU ahead ----


def to_narrow(t):
    family = "ipv6 " if t.f.is6 else ""
    t.load(f"masquerade out eth2 {family}from {t.f.innet}")


@case("P1", "a first packet, UDP: the error has the MTU and the sender's own packet")
def too_big_first(t):
    f, port = t.f, t.port()
    to_narrow(t)
    packet = f.udp(f.client, f.narrow, port, 53, LONG)
    t.answer(t.only(t.exchange(t.client, packet)), f.edge_in, t.client, "big", packet, NARROW_MTU)


@case("P1", "in a known flow, UDP and TCP: the error has the MTU and the sender's own packet")
def too_big_later(t):
    f, port = t.f, t.port()
    to_narrow(t)
    for packet, large in ((f.udp(f.client, f.narrow, port, 53),
                           f.udp(f.client, f.narrow, port, 53, LONG)),
                          (f.tcp(f.client, f.narrow, port, 80),
                           f.tcp(f.client, f.narrow, port, 80, "A", LONG, 1001, 7001))):
        # Another host has the port: the quoted one is not the one outside.
        other = packet.copy()
        other.src = f.client2
        t.forward(t.client2, other, t.narrow, src=f.edge_narrow)
        got = t.forward(t.client, packet, t.narrow, src=f.edge_narrow, sport=ANY)
        if packet.haslayer("TCP"):
            outside = ports(got)[0]
            t.forward(t.narrow, f.tcp(f.narrow, f.edge_narrow, 80, outside, "SA", seq=7000,
                                      ack=1001), t.client, dst=f.client, dport=port)
        t.answer(t.only(t.exchange(t.client, large)), f.edge_in, t.client, "big", large,
                 NARROW_MTU)


@case("P1", "an answer through a forwarded port: the error quotes what the target sent")
def too_big_answer(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth2 udp to {f.at(f.edge_narrow, 7000)} -> {f.at(f.client, 53)}")
    t.forward(t.narrow, f.udp(f.narrow, f.edge_narrow, port, 7000), t.client, dst=f.client,
              dport=53)
    packet = f.udp(f.client, f.narrow, 53, port, LONG)
    t.answer(t.only(t.exchange(t.client, packet)), f.edge_in, t.client, "big", packet, NARROW_MTU)


@case("P1", "a packet of just that MTU goes on")
def just_fits(t):
    f, port = t.f, t.port()
    to_narrow(t)
    for _ in range(2):
        packet = f.udp(f.client, f.narrow, port, 53, LONG[:NARROW_MTU - f.header - 8])
        t.forward(t.client, packet, t.narrow, src=f.edge_narrow)


@case("P1", "the MSS of a SYN is lowered to what the way ahead takes (mss auto), and to a number")
def mss(t):
    f = t.f
    family = "ipv6 " if f.is6 else ""
    for word, wanted in (("auto", NARROW_MTU - f.header - 20), ("1000", 1000), ("1400", 1400)):
        port = t.port()
        clamp = f"tcp option maxseg size set {'rt mtu' if word == 'auto' else word}"
        t.load(f"masquerade out eth2 {family}tcp from {f.innet} mss {word}",
               nft=[f"mangle tcp flags syn tcp option maxseg size > {wanted} {clamp}",
                    "postrouting oifname eth2 masquerade"])
        options = [("NOP", None), ("NOP", None), ("MSS", 1460), ("SAckOK", b"")]
        packet = f.tcp(f.client, f.narrow, port, 80, options=options)
        frame = t.one(t.exchange(t.client, packet), t.narrow)
        options[2] = ("MSS", min(wanted, 1460))
        packet = f.tcp(f.client, f.narrow, port, 80, options=options)
        t.equal(frame, rewritten(packet, src=f.edge_narrow), t.narrow)


@case("P2", "a first packet without DF is fragmented, and every fragment translated", families=(4,))
def fragmented_first(t):
    f, port = t.f, t.port()
    to_narrow(t)
    packet = f.udp(f.client, f.narrow, port, 53, LONG, flags=0)
    arrives(t, t.client, [packet], t.narrow, packet, NARROW_MTU, src=f.edge_narrow)


@case("P2", "later ones without DF, too, with another port outside", families=(4,))
def fragmented_later(t):
    f, port = t.f, t.port()
    to_narrow(t)
    t.forward(t.client2, f.udp(f.client2, f.narrow, port, 53), t.narrow, src=f.edge_narrow)
    got = t.forward(t.client, f.udp(f.client, f.narrow, port, 53), t.narrow, src=f.edge_narrow,
                    sport=ANY)
    packet = f.udp(f.client, f.narrow, port, 53, LONG, flags=0)
    arrives(t, t.client, [packet], t.narrow, packet, NARROW_MTU, src=f.edge_narrow,
            sport=ports(got)[0])


@case("P2", "an answer through a forwarded port without DF", families=(4,))
def fragmented_answer(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth2 udp to {f.at(f.edge_narrow, 7000)} -> {f.at(f.client, 53)}")
    t.forward(t.narrow, f.udp(f.narrow, f.edge_narrow, port, 7000), t.client, dst=f.client,
              dport=53)
    packet = f.udp(f.client, f.narrow, 53, port, LONG, flags=0)
    arrives(t, t.client, [packet], t.narrow, packet, NARROW_MTU, src=f.edge_narrow, sport=7000)


# ---- P3: fragments that arrive ----


def large(f, port):
    return {"UDP": lambda src, dst, dport=53: f.udp(src, dst, port, dport, HUGE, flags=0)
            if not f.is6 else f.udp(src, dst, port, dport, HUGE),
            "TCP": lambda src, dst, dport=80: f.tcp(src, dst, port, dport, "S", HUGE),
            "echo": lambda src, dst, dport=0: f.echo(src, dst, port, HUGE)}


for KIND in ("UDP", "TCP", "echo"):
    for ORDER in ("in order", "backwards", "mixed"):

        @case("P3", f"{KIND}, {ORDER}, out through masquerade")
        def fragments_out(t, kind=KIND, order=ORDER):
            f, port = t.f, t.port()
            t.masquerade()
            # Another host has the port, so that it has to change.
            t.out(f.udp(f.client2, f.server, port, 53), t.client2)
            t.out(f.echo(f.client2, f.server, port), t.client2)
            packet = large(f, port)[kind](f.client, f.server)
            for ident in (port, port + 1):
                pieces = fragments(packet, ident=ident)
                arrives(t, t.client, pieces, t.server, packet, order=orders(len(pieces))[order],
                        src=f.edge_out, sport=None if kind == "TCP" else
                        ANY if kind == "UDP" else echo_id(t, packet))

        @case("P3", f"{KIND}, {ORDER}, in through a forwarded port")
        def fragments_in(t, kind=KIND, order=ORDER):
            f, port = t.f, t.port()
            t.load({"UDP": f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 53)}",
                    "TCP": f"dnat in eth0 tcp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 80)}",
                    "echo": f"dnat in eth0 icmp to {f.edge_out} -> {f.client}"}[kind])
            packet = large(f, port)[kind](f.server, f.edge_out, 7000)
            for ident in (port, port + 1):
                pieces = fragments(packet, ident=ident)
                arrives(t, t.server, pieces, t.client, packet, order=orders(len(pieces))[order],
                        dst=f.client, dport={"UDP": 53, "TCP": 80, "echo": None}[kind])


def echo_id(t, packet):
    """The identifier that the packet's flow has outside, by a short one of the same flow."""
    f = t.f
    got = t.out(f.echo(f.client, f.server, ports(packet)[0]), sport=ANY)
    return ports(got)[0]


@case("P3", "answers in fragments, in any order")
def fragments_back(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client2, f.server, port, 53), t.client2)
    mapped = ports(t.out(f.udp(f.client, f.server, port, 53), sport=ANY))[0]
    packet = f.udp(f.server, f.edge_out, 53, mapped, HUGE, **({} if f.is6 else {"flags": 0}))
    for ident, order in enumerate(orders(4).values(), port):
        arrives(t, t.server, fragments(packet, ident=ident), t.client, packet, order=order,
                dst=f.client, dport=port)


@case("P3", "hairpin in fragments, in any order")
def fragments_hairpin(t):
    f, port = t.f, t.port()
    ip, family = ("ip6", "ipv6 ") if f.is6 else ("ip", "")
    target = f.at(f.client2, 7001)
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {target} hairpin",
           f"masquerade out eth0 {family}from {f.innet}",
           nft=[f"prerouting meta l4proto udp {ip} daddr {f.edge_out} th dport 7000 dnat {ip} to "
                f"{target}",
                f"postrouting oifname eth1 {ip} saddr {f.innet} snat {ip} to {f.edge_out}"])
    packet = f.udp(f.client, f.edge_out, port, 7000, HUGE, **({} if f.is6 else {"flags": 0}))
    for ident, order in enumerate(orders(4).values(), port):
        arrives(t, t.client, fragments(packet, ident=ident), t.client2, packet, order=order,
                src=f.edge_out, dst=f.client2, sport=ANY, dport=7001)


@case("P3", "two datagrams at once, their fragments in turns")
def fragments_interleaved(t):
    f, port = t.f, t.port()
    t.masquerade()
    one = f.udp(f.client, f.server, port, 53, HUGE, **({} if f.is6 else {"flags": 0}))
    other = f.udp(f.client2, f.server2, port + 1, 53, HUGE[::-1], **({} if f.is6 else {"flags": 0}))
    frames = []
    for first, second in zip(fragments(one, ident=port), fragments(other, ident=port)):
        t.send(t.client, first)
        frames += t.exchange(t.client2, second)
    for host, packet in ((t.server, one), (t.server2, other)):
        _, payload = reassembled(t, [x for x in frames if x.ether.dst == host.mac], host)
        t.check(payload == bytes(rewritten(packet, src=f.edge_out))[f.header:],
                f"for {host.name}: {payload.hex()}")


@case("P3", "under no rule, and without ports in the first: all go on as they came, in any order")
def fragments_portless(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 53)}")
    packets = [(f.ip(f.server, f.client, nh=58) / ICMPv6Unknown(type=200) / Raw(HUGE), 1000)] \
        if f.is6 else [(f.ip(f.server, f.client, flags=0) / ICMP(type=42) / Raw(HUGE), 1000),
                       (f.tcp(f.server, f.client, port, 80, "S", b"x" * 40), 16)]
    for packet, size in packets:
        pieces = fragments(packet, size)
        for ident, order in enumerate(orders(len(pieces)).values(), port):
            arrives(t, t.server, fragments(packet, size, ident), t.client, packet, order=order)


@case("P3", "out past a rule for ports, and without ports in the first: all go on as they came, in any "
      "order")
def fragments_portless_out(t):
    f, port = t.f, t.port()
    t.load(f"masquerade out eth0 {'ipv6 ' if f.is6 else ''}udp to :53")
    packet = (f.ip(f.client, f.server, nh=58) / ICMPv6Unknown(type=200) if f.is6 else
              f.ip(f.client, f.server, flags=0) / ICMP(type=42)) / Raw(HUGE)
    for ident, order in enumerate(orders(4).values(), port):
        arrives(t, t.client, fragments(packet, ident=ident), t.server, packet, order=order)


@case("P3", "another datagram with the id of one that has passed: its fragments wait for its own "
      "first", families=(4,))
def fragments_again(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 53)}",
           f"dnat in eth0 udp to {f.at(f.edge_out, 7001)} -> {f.at(f.client2, 53)}")
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        for dport, receiver in ((7000, t.client), (7001, t.client2)):
            packet = f.udp(f.server, f.edge_out, port, dport, HUGE, flags=0)
            arrives(t, t.server, fragments(packet, ident=port), receiver, packet, order=order,
                    dst=getattr(f, receiver.name), dport=53)
