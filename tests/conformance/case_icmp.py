# SPDX-License-Identifier: GPL-2.0-or-later
"""ICMP errors and queries: I."""
from scapy.layers.inet import ICMP, IPOption_NOP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6ExtHdrFragment
from scapy.packet import Raw

from cases import Skip, case
from packets import ANY, ports


def kinds(f, port):
    """A first packet of each protocol, longer than what errors have to quote."""
    return {"UDP": lambda src, dst, dport=53: f.udp(src, dst, port, dport, b"question" * 5),
            "TCP": lambda src, dst, dport=80: f.tcp(src, dst, port, dport,
                                                    options=[("MSS", 1460), ("SAckOK", b"")]),
            "echo": lambda src, dst, dport=0: f.echo(src, dst, port, b"ping data" * 5)}


def about_outbound(t, kind, octets):
    """Errors from the server, and from a router on the way to another host."""
    f = t.f
    for far, source, what, mtu in (
            (t.server, f.server, "port", 0), (t.server, f.server, "admin", 0),
            (t.far, f.far, "host", 0), (t.far, f.router, "ttl", 0), (t.far, f.router, "big", 1400),
            (t.far, f.router, "host", 0)):
        port = t.port()
        sent = kinds(f, port)[kind](f.client, getattr(f, far.name))
        # Another host has the port, so that ports and identifiers change, too.
        t.out(kinds(f, port)[kind](f.client2, getattr(f, far.name)), t.client2, far, sport=ANY)
        seen = t.out(sent, receiver=far, sport=ANY)
        t.translated_error(far, f.error(source, f.edge_out, what, f.quote(seen, octets, seen), mtu),
                           t.client, f.error(source, f.client, what, f.quote(sent, octets, seen),
                                             mtu))


def about_inbound(t, kind, octets):
    """Errors from the target of a forwarded port, and from a router before it."""
    f = t.f
    for target, sender, source, what, mtu in (
            (f.client, t.client, f.client, "port", 0), (f.client, t.client, f.client, "admin", 0),
            (f.inner, t.inner, f.inner_router, "ttl", 0),
            (f.inner, t.inner, f.inner_router, "big", 1400)):
        port = t.port()
        rule = {"UDP": f"udp to {f.at(f.edge_out, 7000)} -> {f.at(target, 53)}",
                "TCP": f"tcp to {f.at(f.edge_out, 7000)} -> {f.at(target, 80)}",
                "echo": f"icmp to {f.edge_out} -> {target}"}[kind]
        t.load(f"dnat in eth0 {rule}")
        sent = kinds(f, port)[kind](f.server, f.edge_out, 7000)
        seen = t.forward(t.server, sent, sender, dst=target,
                         dport={"UDP": 53, "TCP": 80, "echo": None}[kind])
        t.translated_error(sender, f.error(source, f.server, what, f.quote(seen, octets, seen),
                                           mtu),
                           t.server, f.error(f.edge_out, f.server, what,
                                             f.quote(sent, octets, seen), mtu))


def about_reply(t, kind, octets):
    """An inside host complains about an answer to it, which it no longer wants."""
    f, port = t.f, t.port()
    first = kinds(f, port)[kind](f.client, f.server)
    t.masquerade()
    t.out(kinds(f, port)[kind](f.client2, f.server), t.client2, sport=ANY)
    mapped = ports(t.out(first, sport=ANY))[0]
    reply = {"UDP": lambda: f.udp(f.server, f.edge_out, 53, mapped, b"answer" * 5),
             "TCP": lambda: f.tcp(f.server, f.edge_out, 80, mapped, "SA", seq=1, ack=1001),
             "echo": lambda: f.echo(f.server, f.edge_out, mapped, b"pong" * 9, reply=True)}[kind]()
    seen = t.back(reply, dport=port)
    t.translated_error(t.client, f.error(f.client, f.server, "port", f.quote(seen, octets, seen)),
                       t.server, f.error(f.edge_out, f.server, "port",
                                         f.quote(reply, octets, seen)))


for KIND in ("UDP", "TCP", "echo"):
    for OCTETS in (8, None):
        LENGTH = f"{OCTETS} bytes of it" if OCTETS else "all of it"

        @case("I1", f"from outside, about {KIND} sent there, with {LENGTH}")
        def outbound(t, kind=KIND, octets=OCTETS):
            t.masquerade()
            about_outbound(t, kind, octets)

        @case("I1", f"from inside, about {KIND} through a forwarded port, with {LENGTH}")
        def inbound(t, kind=KIND, octets=OCTETS):
            about_inbound(t, kind, octets)

        @case("I1", f"from inside, about an answer by {KIND}, with {LENGTH}")
        def reply_error(t, kind=KIND, octets=OCTETS):
            about_reply(t, kind, octets)


def about_static(t, seen_router):
    """Errors from the host, and from a router before it, about what came to it."""
    f = t.f
    for kind in ("UDP", "TCP", "echo"):
        for sender, source, outside, what, mtu in (
                (t.client, f.client, f.pool1, "port", 0),
                (t.inner_router, f.inner_router, seen_router, "big", 1400)):
            sent = kinds(f, t.port())[kind](f.server, f.pool1)
            seen = t.forward(t.server, sent, t.client, dst=f.client)
            for octets in (8, None):
                t.translated_error(sender, f.error(source, f.server, what,
                                                   f.quote(seen, octets, seen), mtu),
                                   t.server, f.error(outside, f.server, what,
                                                     f.quote(sent, octets, seen), mtu))


@case("I1", "from inside, about what came by a static rule")
def static_from_inside(t):
    t.one_to_one()
    about_static(t, t.f.pool1)


@case("I1", "from inside, by a router that has a static rule of its own")
def static_router(t):
    if not t.xfwd:
        raise Skip("nft takes the host's address")
    t.one_to_one(f"static eth0 {t.f.pool4} <-> {t.f.inner_router}")
    about_static(t, t.f.pool4)


@case("I1", "from outside, about what left by a static rule")
def static_from_outside(t):
    f = t.f
    t.one_to_one()
    for kind in ("UDP", "TCP", "echo"):
        sent = kinds(f, t.port())[kind](f.client, f.server)
        seen = t.forward(t.client, sent, t.server, src=f.pool1)
        t.translated_error(t.router, f.error(f.router, f.pool1, "big", f.quote(seen, 8, seen), 1400),
                           t.client, f.error(f.router, f.client, "big", f.quote(sent, 8, seen),
                                             1400))


def portless(f, src, dst):
    """Packets without ports or identifier that a flow could be under."""
    query = f.ip(src, dst) / (ICMPv6EchoRequest(type=200, id=0x1234, seq=7, data=b"sixteen bytes it")
                              if f.is6 else ICMP(type=13, id=0x1234, seq=7))
    data = Raw(bytes(range(16)))
    later = f.ip(src, dst) / IPv6ExtHdrFragment(nh=17, offset=185, id=5) / data if f.is6 else \
        f.ip(src, dst, proto=17, flags=0, frag=185) / data
    return [bytes(query), bytes(later)]


@case("I1", "about packets without ports, in and out by a static rule")
def static_portless(t):
    if not t.xfwd:
        raise Skip("nft lets them pass as they are")
    f = t.f
    t.one_to_one()
    for inside, outside in zip(portless(f, f.server, f.client), portless(f, f.server, f.pool1)):
        t.translated_error(t.client, f.error(f.client, f.server, "ttl", inside),
                           t.server, f.error(f.pool1, f.server, "ttl", outside))
    for inside, outside in zip(portless(f, f.client, f.server), portless(f, f.pool1, f.server)):
        t.translated_error(t.server, f.error(f.server, f.pool1, "ttl", outside),
                           t.client, f.error(f.server, f.client, "ttl", inside))


def quench(f, src, dst, quoted):
    return f.ip(src, dst, flags=0) / ICMP(type=4) / Raw(quoted)


def redirect(f, src, dst, quoted):
    return f.ip(src, dst, flags=0) / ICMP(type=5, code=1, gw=f.inner_router) / Raw(quoted)


@case("I1", "a source quench, as any error", families=(4,))
def source_quench(t):
    f, port = t.f, t.port()
    t.masquerade()
    sent = f.udp(f.client, f.server, port, 53)
    seen = t.out(sent)
    t.translated_error(t.server, quench(f, f.server, f.edge_out, f.quote(seen, 8, seen)),
                       t.client, quench(f, f.server, f.client, f.quote(sent, 8, seen)))
    t.one_to_one()
    sent = f.udp(f.server, f.pool1, port, 53)
    seen = t.forward(t.server, sent, t.client, dst=f.client)
    t.translated_error(t.client, quench(f, f.client, f.server, f.quote(seen, 8, seen)),
                       t.server, quench(f, f.pool1, f.server, f.quote(sent, 8, seen)))


@case("I2", "a redirect, which names a router that only its sender knows: dropped", families=(4,))
def redirects(t):
    f, port = t.f, t.port()
    t.masquerade()
    seen = t.out(f.udp(f.client, f.server, port, 53))
    t.blocked(t.server, redirect(f, f.server, f.edge_out, f.quote(seen, 8, seen)), t.client)
    t.one_to_one()
    seen = t.forward(t.server, f.udp(f.server, f.pool1, port, 53), t.client, dst=f.client)
    t.blocked(t.client, redirect(f, f.client, f.server, f.quote(seen, 8, seen)), t.server)
    t.blocked(t.inner_router, redirect(f, f.inner_router, f.server, f.quote(seen, 8, seen)),
              t.server)


@case("I1", "from inside, by a router that has a static rule, about what no rule translates")
def static_router_alone(t):
    if not t.xfwd:
        raise Skip("nft lets them pass as they are")
    f = t.f
    masquerade = f"masquerade out eth0 {'ipv6 ' if f.is6 else ''}udp from"
    t.load(f"static eth0 {f.pool1} <-> {f.inner_router}", f"{masquerade} {f.client}",
           f"{masquerade} {f.inner} to :7000")
    for kind in ("UDP", "TCP", "echo"):
        seen = t.forward(t.server, kinds(f, t.port())[kind](f.server, f.inner), t.inner)
        for what, mtu in (("big", 1400), ("ttl", 0)):
            for octets in (8, None):
                quoted = f.quote(seen, octets, seen)
                t.translated_error(t.inner_router,
                                   f.error(f.inner_router, f.server, what, quoted, mtu),
                                   t.server, f.error(f.pool1, f.server, what, quoted, mtu))
    for hidden in (f.udp(f.server, f.client, 53, 53), f.udp(f.server, f.inner, 7000, 53)):
        t.blocked(t.inner_router, f.error(f.inner_router, f.server, "ttl", f.quote(hidden)),
                  t.server)
    for unknown in portless(f, f.server, f.inner):
        t.blocked(t.inner_router, f.error(f.inner_router, f.server, "ttl", unknown), t.server)


@case("I2", "about what no static rule translates: dropped, and counted")
def static_unknown(t):
    if not t.xfwd:
        raise Skip("nft lets them pass as they are")
    f = t.f
    t.one_to_one(f"masquerade out eth0 {'ipv6 ' if f.is6 else ''}from {f.inner}")
    t.blocked(t.client, f.error(f.client, f.server, "ttl", f.quote(f.udp(f.server, f.inner, 53, 53))),
              t.server)
    t.blocked(t.client, f.error(f.client, f.server, "ttl", b"\0" * f.header), t.server)
    t.blocked(t.server, f.error(f.server, f.pool1, "ttl", f.quote(f.udp(f.client, f.server, 53, 53))),
              t.client)
    t.counted("stray_dropped", 2)


@case("I1", "about a connection of which both ends are translated")
def both_ends(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 53)}",
           f"masquerade out eth1 {'ipv6 ' if f.is6 else ''}to {f.client}")
    sent = f.udp(f.server, f.edge_out, port, 7000, b"question" * 5)
    seen = t.forward(t.server, sent, t.client, src=f.edge_in, dst=f.client, dport=53)
    for octets in (8, None):
        t.translated_error(t.client, f.error(f.client, f.edge_in, "port",
                                             f.quote(seen, octets, seen)),
                           t.server, f.error(f.edge_out, f.server, "port",
                                             f.quote(sent, octets, seen)))
    answer = f.udp(f.client, f.edge_in, 53, port, b"answer" * 5)
    seen = t.forward(t.client, answer, t.server, src=f.edge_out, dst=f.server, sport=7000)
    t.translated_error(t.server, f.error(f.server, f.edge_out, "port", f.quote(seen, 8, seen)),
                       t.client, f.error(f.edge_in, f.client, "port", f.quote(answer, 8, seen)))


@case("I1", "about a packet with IPv4 options", families=(4,))
def quoted_options(t):
    f, port = t.f, t.port()
    t.masquerade()
    sent = f.udp(f.client, f.server, port, 53, options=[IPOption_NOP()] * 4)
    t.out(f.udp(f.client2, f.server, port, 53), t.client2)
    seen = t.out(sent, sport=ANY)
    t.translated_error(t.server, f.error(f.server, f.edge_out, "port", f.quote(seen, 12, seen)),
                       t.client, f.error(f.server, f.client, "port", f.quote(sent, 12, seen)))


@case("C1", "UDP without a checksum stays so within an ICMP error", families=(4,))
def quoted_checksum_zero(t):
    f, port = t.f, t.port()
    t.masquerade()
    sent = f.udp(f.client, f.server, port, 53)
    sent[UDP].chksum = 0
    t.out(f.udp(f.client2, f.server, port, 53), t.client2)
    for octets in (8, None):
        seen = t.out(sent, sport=ANY)
        t.translated_error(t.server, f.error(f.server, f.edge_out, "port",
                                             f.quote(seen, octets, seen)),
                           t.client, f.error(f.server, f.client, "port",
                                             f.quote(sent, octets, seen)))


def known(t):
    """A UDP flow, as sent and as seen, and its port."""
    f, port = t.f, t.port()
    t.masquerade()
    sent = f.udp(f.client, f.server, port, 53)
    return sent, t.out(sent, sport=port), port


@case("I2", "a wrong ICMP checksum: dropped")
def bad_checksum(t):
    f = t.f
    sent, seen, _ = known(t)
    error = f.error(f.server, f.edge_out, "port", f.quote(seen, 8, seen))
    whole = bytes(error)
    at = f.header + 2
    for bit in (0x01, 0x80):
        t.blocked(t.server, whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1:], t.client)
    t.translated_error(t.server, error, t.client,
                       f.error(f.server, f.client, "port", f.quote(sent, 8, seen)))


@case("I2", "a wrong header checksum in the quoted packet: dropped", families=(4,))
def bad_quoted_checksum(t):
    f = t.f
    _, seen, _ = known(t)
    quoted = bytearray(f.quote(seen, 8, seen))
    quoted[10] ^= 0x55
    t.blocked(t.server, f.error(f.server, f.edge_out, "port", bytes(quoted)), t.client)


@case("I2", "about no flow, from outside: not let in")
def unknown_from_outside(t):
    f = t.f
    _, _, port = known(t)
    for quoted in (f.udp(f.edge_out, f.server, port, 54), f.udp(f.edge_out, f.server, 4999, 53),
                   f.udp(f.edge_out, f.server2, port, 53), f.tcp(f.edge_out, f.server, port, 53),
                   f.udp(f.client, f.server, port, 53)):
        t.blocked(t.server, f.error(f.server, f.edge_out, "port", f.quote(quoted, 8)), t.client)


@case("I2", "about no flow, from inside: not let out")
def unknown_from_inside(t):
    f = t.f
    known(t)
    for quoted in (f.udp(f.server, f.client, 53, 4999), f.tcp(f.server, f.client, 80, 4999),
                   f.udp(f.server2, f.edge_out, 53, 4999)):
        t.blocked(t.client, f.error(f.client, f.server, "port", f.quote(quoted, 8)), t.server)


@case("I2", "about a later fragment, whose data are no ports: not let in")
def quoted_fragment(t):
    f = t.f
    _, seen, port = known(t)
    data = bytes(seen)[f.header:]
    if f.is6:
        quoted = f.ip(f.edge_out, f.server) / IPv6ExtHdrFragment(nh=17, offset=185, id=5) / Raw(data)
    else:
        quoted = f.ip(f.edge_out, f.server, proto=17, flags=0, frag=185) / Raw(data)
    t.blocked(t.server, f.error(f.server, f.edge_out, "ttl", bytes(quoted)), t.client)
    t.back(f.udp(f.server, f.edge_out, 53, port))


@case("I2", "cut short in the quoted packet: dropped, and counted")
def cut_short(t):
    f = t.f
    _, seen, _ = known(t)
    for length in (0, 4, f.header - 1, f.header, f.header + 3):
        error = f.error(f.server, f.edge_out, "port", f.quote(seen, 8, seen)[:length])
        t.blocked(t.server, error, t.client)


@case("I2", "no error ends, makes or refreshes a mapping")
def changes_nothing(t):
    f = t.f
    _, seen, port = known(t)
    before = t.flows("proto", "udp")[0]["expires_ms"]
    t.until("the flow has aged", lambda: t.flows("proto", "udp")[0]["expires_ms"] < before - 30)
    before = t.flows("proto", "udp")
    for what in ("port", "host", "admin", "ttl"):
        t.exchange(t.server, f.error(f.server, f.edge_out, what, f.quote(seen, 8, seen)))
    t.exchange(t.server, f.error(f.server, f.edge_out, "port",
                                 f.quote(f.udp(f.edge_out, f.server, 4999, 53), 8)))
    after = t.flows()
    t.check(len(after) == len(before), f"flows before: {before}, after: {after}")
    t.check(after[0]["expires_ms"] <= before[0]["expires_ms"], "it was refreshed")
    t.back(f.udp(f.server, f.edge_out, 53, port))


@case("I3", "two hosts with one echo identifier get two, and each its own replies")
def identifiers(t):
    f, ident = t.f, t.port()
    t.masquerade()
    seen = {}
    for host, address in ((t.client, f.client), (t.client2, f.client2)):
        got = t.out(f.echo(address, f.server, ident, host.name.encode()), host, sport=ANY)
        seen[host] = ports(got)[0]
    t.check(len(set(seen.values())) == 2, f"both have {seen[t.client]}")
    for host, outside in seen.items():
        t.back(f.echo(f.server, f.edge_out, outside, host.name.encode(), reply=True),
               receiver=host, dport=ident)
    t.blocked(t.server2, f.echo(f.server2, f.edge_out, seen[t.client], reply=True), t.client)


@case("I3", "an echo request from outside is for the edge itself")
def echo_of_edge(t):
    f, ident = t.f, t.port()
    t.masquerade()
    t.out(f.echo(f.client, f.server, ident), sport=ident)
    frame = t.one(t.exchange(t.server, f.echo(f.server, f.edge_out, ident)), t.server)
    got = frame.layer3()
    t.check((got.src, got.dst, ports(got)[0]) == (f.edge_out, f.server, ident), str(frame))
