# SPDX-License-Identifier: GPL-2.0-or-later
"""Headers and checksums: C, L."""
import socket
import struct

from scapy.layers.inet import IPOption_NOP, IPOption_Security, TCP, UDP
from scapy.packet import Raw

from cases import Skip, case
from net import veths_tell
from packets import aged, broken, layer4, ones_sum, rewritten


def dnat(t, proto="udp"):
    f = t.f
    t.load(f"dnat in eth0 {proto} to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 7001)}")


# ---- C1, C2 ----


@case("C1", "UDP without a checksum stays so", families=(4,))
def udp_checksum_zero(t):
    f, port = t.f, t.port()
    t.masquerade()
    for sport in (port, port, port + 1):
        packet = f.udp(f.client, f.server, sport, 53)
        packet[UDP].chksum = 0
        t.out(packet)
        packet = f.udp(f.server, f.edge_out, 53, sport)
        packet[UDP].chksum = 0
        t.back(packet)
    dnat(t)
    packet = f.udp(f.server, f.edge_out, port, 7000)
    packet[UDP].chksum = 0
    t.forward(t.server, packet, t.client, dst=f.client, dport=7001)


def with_sum(packet, model, wanted):
    """The packet with two bytes of data such that the model of it has this checksum, or 0 for one
    that computes to nothing."""
    packet = packet.copy()
    packet["Raw"].load = b"\0\0" + packet["Raw"].load[2:]
    now = layer4(type(packet)(bytes(model(packet)))).chksum
    total = (now - wanted) % 0xFFFF
    packet["Raw"].load = total.to_bytes(2, "big") + packet["Raw"].load[2:]
    return packet


@case("C1", "a UDP checksum that computes to 0 is sent as 0xffff")
def computes_to_zero(t):
    f, port = t.f, t.port()
    t.masquerade()
    for _ in range(2):
        packet = with_sum(f.udp(f.client, f.server, port, 53),
                          lambda p: rewritten(p, src=f.edge_out), 0xFFFF)
        got = t.out(packet)
        t.check(got[UDP].chksum == 0xFFFF, f"the test is wrong: {got[UDP].chksum:#x}")
        packet = with_sum(f.udp(f.server, f.edge_out, 53, port),
                          lambda p: rewritten(p, dst=f.client), 0xFFFF)
        got = t.back(packet)
        t.check(got[UDP].chksum == 0xFFFF, f"the test is wrong: {got[UDP].chksum:#x}")


@case("C1", "a UDP checksum of 0xffff that arrives is a valid one")
def arrives_as_ones(t):
    f, port = t.f, t.port()
    t.masquerade()
    for _ in range(2):
        packet = with_sum(f.udp(f.client, f.server, port, 53), lambda p: p, 0xFFFF)
        sent = bytes(packet)
        t.check(sent[f.header + 6:f.header + 8] == b"\xff\xff", f"the test is wrong: {sent.hex()}")
        t.out(packet)
        t.back(with_sum(f.udp(f.server, f.edge_out, 53, port), lambda p: p, 0xFFFF))


def summed(f, proto, src, dst, word):
    """UDP-Lite (136) or DCCP (33), with a checksum of the addresses and of all that follows."""
    kind = socket.AF_INET6 if f.is6 else socket.AF_INET
    begin, end = struct.pack("!HHH", 4000, 53, 0 if proto == 136 else 4 << 8), word * 8
    pseudo = socket.inet_pton(kind, src) + socket.inet_pton(kind, dst)
    pseudo += struct.pack("!II", len(begin) + 2 + len(end), proto)
    sum_ = ~ones_sum(pseudo + begin + end) & 0xFFFF
    if proto == 136 and not sum_:
        sum_ = 0xFFFF
    return f.ip(src, dst, **{"nh" if f.is6 else "proto": proto}) / Raw(
        begin + struct.pack("!H", sum_) + end)


@case("C1", "UDP-Lite's and DCCP's follow the addresses that a static rule changes")
def other_checksums(t):
    if not t.xfwd:
        raise Skip("newer kernels' nft does not know them")
    f = t.f
    t.one_to_one()
    for proto in (136, 33):
        for word in (b"data", b"\0\0\0\0"):
            sent, wanted = (summed(f, proto, f.client, f.server, word),
                            summed(f, proto, f.pool1, f.server, word))
            t.equal(t.one(t.exchange(t.client, sent), t.server), aged(wanted), t.server)
            sent, wanted = (summed(f, proto, f.server, f.pool1, word),
                            summed(f, proto, f.server, f.client, word))
            t.equal(t.one(t.exchange(t.server, sent), t.client), aged(wanted), t.client)
            t.translated_error(t.client, f.error(f.client, f.server, "port", bytes(aged(wanted))),
                               t.server, f.error(f.pool1, f.server, "port", bytes(aged(sent))))


@case("C1", "a TCP checksum that computes to 0 is sent as 0")
def tcp_zero(t):
    f, port = t.f, t.port()
    t.masquerade()
    for _ in range(2):
        packet = with_sum(f.tcp(f.client, f.server, port, 80, "S", b"data"),
                          lambda p: rewritten(p, src=f.edge_out), 0)
        got = t.out(packet)
        t.check(got[TCP].chksum in (0, 0xFFFF), f"the test is wrong: {got[TCP].chksum:#x}")


def with_header_sum(packet, model):
    """The packet with an IP identification such that the model's header has the checksum 0."""
    packet = packet.copy()
    packet.id = 0
    now = type(packet)(bytes(model(packet))).chksum
    packet.id = now
    return packet


@case("C2", "a header checksum that computes to 0 is 0x0000", families=(4,))
def header_zero(t):
    f, port = t.f, t.port()
    t.masquerade()
    for _ in range(2):
        got = t.out(with_header_sum(f.udp(f.client, f.server, port, 53),
                                    lambda p: rewritten(p, src=f.edge_out)))
        t.check(got.chksum == 0, f"the test is wrong: {got.chksum:#x}")
        got = t.back(with_header_sum(f.udp(f.server, f.edge_out, 53, port),
                                     lambda p: rewritten(p, dst=f.client)))
        t.check(got.chksum == 0, f"the test is wrong: {got.chksum:#x}")
        t.out(with_header_sum(f.udp(f.client, f.server, port, 53), lambda p: p))


@case("C2", "every header checksum is right, over many identifications", families=(4,))
def header_many(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server, port, 53))
    for ident in [*range(0, 65536, 8191), 0xFFFF, 0xBC1E, 1, 0xFF, 0x100]:
        t.out(f.udp(f.client, f.server, port, 53, id=ident))


# ---- C3 ----


def spoiled(packet):
    """With a checksum that is wrong, and not by a value that a translation could make good."""
    packet = type(packet)(bytes(packet))
    part = layer4(packet)
    name = "cksum" if hasattr(part, "cksum") else "chksum"
    setattr(part, name, getattr(part, name) ^ 0x1155)
    return packet


def stays_wrong(t, sender, packet, receiver, source):
    """Dropped, or passed on as wrong as it was, from that source."""
    for frame in t.exchange(sender, packet):
        got = frame.layer3()
        t.check(frame.link is receiver.link and got.src == source, f"from {got.src}: {frame}")
        t.check(broken(bytes(got)), f"it was repaired: {frame}")


@case("C3", "out through masquerade: a first packet, and in a known flow")
def wrong_out(t):
    f, port = t.f, t.port()
    t.masquerade()
    for kind in (f.udp(f.client, f.server, port, 53), f.tcp(f.client, f.server, port, 80),
                 f.echo(f.client, f.server, port)):
        stays_wrong(t, t.client, spoiled(kind), t.server, f.edge_out)
        t.out(kind)
        stays_wrong(t, t.client, spoiled(kind), t.server, f.edge_out)
        t.out(kind)


@case("C3", "in through a forwarded port, and its answer")
def wrong_in(t):
    f, port = t.f, t.port()
    dnat(t)
    packet = f.udp(f.server, f.edge_out, port, 7000)
    stays_wrong(t, t.server, spoiled(packet), t.client, f.server)
    t.forward(t.server, packet, t.client, dst=f.client, dport=7001)
    stays_wrong(t, t.server, spoiled(packet), t.client, f.server)
    answer = f.udp(f.client, f.server, 7001, port)
    stays_wrong(t, t.client, spoiled(answer), t.server, f.edge_out)
    t.forward(t.client, answer, t.server, src=f.edge_out, sport=7000)


@case("C3", "a wrong IPv4 header checksum: dropped, or passed on wrong", families=(4,))
def wrong_header(t):
    f, port = t.f, t.port()
    t.masquerade()
    packet = f.udp(f.client, f.server, port, 53)
    for _ in range(2):
        wrong = type(packet)(bytes(packet))
        wrong.chksum ^= 0x1155
        for frame in t.exchange(t.client, wrong):
            got = frame.layer3()
            t.check(got.src == f.edge_out, f"from {got.src}: {frame}")
            t.check(broken(bytes(got)), f"it was repaired: {frame}")
        t.out(packet)


# ---- L1, L2 ----


@case("L1", "one hop less, once")
def one_hop(t):
    f, port = t.f, t.port()
    t.masquerade()
    before = t.edge.xdp_forwarded() if t.xfwd else 0
    for _ in range(2):
        t.out(f.udp(f.client, f.server, port, 53, ttl=2))
        t.back(f.udp(f.server, f.edge_out, 53, port, ttl=255))
    if t.xfwd and t.mode == "native" and veths_tell():
        t.check(t.edge.xdp_forwarded() == before + 3, "XDP has not forwarded what it should")
    dnat(t)
    t.forward(t.server, f.udp(f.server, f.edge_out, port, 7000, ttl=2), t.client, dst=f.client,
              dport=7001)


def expires(t, host, packet, source):
    packet = type(packet)(bytes(packet))
    t.answer(t.only(t.exchange(host, packet)), source, host, "ttl", packet)


@case("L1", "used up on the way out: time exceeded, from the inside interface")
def expires_out(t):
    f, port = t.f, t.port()
    t.masquerade()
    for known in range(2):
        for packet in (f.udp(f.client, f.server, port, 53, ttl=1),
                       f.tcp(f.client, f.server, port, 80, ttl=1),
                       f.echo(f.client, f.server, port, ttl=1)):
            expires(t, t.client, packet, f.edge_in)
        if not known:
            t.out(f.udp(f.client, f.server, port, 53))
            t.out(f.tcp(f.client, f.server, port, 80))
            t.out(f.echo(f.client, f.server, port))


@case("L1", "used up on the way back: time exceeded, from the outside interface, quoting the "
      "outside address")
def expires_back(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server, port, 53))
    t.out(f.tcp(f.client, f.server, port, 80))
    t.out(f.echo(f.client, f.server, port))
    for packet in (f.udp(f.server, f.edge_out, 53, port, ttl=1),
                   f.tcp(f.server, f.edge_out, 80, port, "SA", seq=1, ack=1001, ttl=1),
                   f.echo(f.server, f.edge_out, port, reply=True, ttl=1)):
        expires(t, t.server, packet, f.edge_out)


@case("L1", "used up before a forwarded port: time exceeded, quoting the outside address")
def expires_dnat(t):
    f, port = t.f, t.port()
    dnat(t)
    packet = f.udp(f.server, f.edge_out, port, 7000, ttl=1)
    expires(t, t.server, packet, f.edge_out)
    t.forward(t.server, f.udp(f.server, f.edge_out, port, 7000), t.client, dst=f.client, dport=7001)
    expires(t, t.server, packet, f.edge_out)
    expires(t, t.client, f.udp(f.client, f.server, 7001, port, ttl=1), f.edge_in)


@case("L1", "no error about an ICMP error that is used up")
def error_expires(t):
    f, port = t.f, t.port()
    t.masquerade()
    seen = t.out(f.udp(f.client, f.server, port, 53))
    t.silent(t.server, f.error(f.server, f.edge_out, "port", f.quote(seen, 8, seen), ttl=1))


@case("L2", "DSCP and ECN")
def traffic_class(t):
    f, port = t.f, t.port()
    t.masquerade()
    for tos in (0, 0xB8, 0xBA, 0x03, 0x01, 0xFF):
        t.out(f.udp(f.client, f.server, port, 53, tos=tos))
        t.back(f.udp(f.server, f.edge_out, 53, port, tos=tos))


@case("L2", "DF and identification", families=(4,))
def flags(t):
    f, port = t.f, t.port()
    t.masquerade()
    for flag in ("DF", 0):
        for ident in (0, 1, 0xFFFF):
            t.out(f.udp(f.client, f.server, port, 53, flags=flag, id=ident))
            t.back(f.udp(f.server, f.edge_out, 53, port, flags=flag, id=ident))


@case("L2", "flow label", families=(6,))
def flow_label(t):
    f, port = t.f, t.port()
    t.masquerade()
    for label in (0, 1, 0xFFFFF, 0x12345):
        t.out(f.udp(f.client, f.server, port, 53, fl=label))
        t.back(f.udp(f.server, f.edge_out, 53, port, fl=label))


@case("L2", "IPv4 options", families=(4,))
def options(t):
    f, port = t.f, t.port()
    t.masquerade()
    for chosen in ([IPOption_NOP()] * 4, [IPOption_NOP()] * 40, [IPOption_Security()]):
        for _ in range(2):
            t.out(f.udp(f.client, f.server, port, 53, options=chosen))
            t.out(f.echo(f.client, f.server, port, options=chosen))
        t.back(f.udp(f.server, f.edge_out, 53, port, options=chosen))


@case("L2", "TCP options, flags, urgent pointer and data")
def segment(t):
    f, port = t.f, t.port()
    t.masquerade()
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    t.out(f.tcp(f.client, f.server, port, 80, "SEC", options=options))
    t.back(f.tcp(f.server, f.edge_out, 80, port, "SAE", seq=7, ack=1001, options=options))
    packet = f.tcp(f.client, f.server, port, 80, "PAU", b"urgent!", 1001, 8)
    packet[TCP].urgptr = 3
    t.out(packet)


@case("L2", "Ethernet padding is no part of the packet")
def padding(t):
    f, port = t.f, t.port()
    t.masquerade()
    for packet in (f.udp(f.client, f.server, port, 53, b"x"),
                   f.tcp(f.client, f.server, port, 80)):
        for _ in range(2):
            data = bytes(packet) + b"\xa5" * 19
            frame = t.one(t.exchange(t.client, data), t.server)
            wanted = bytes(rewritten(packet, src=f.edge_out))
            t.check(frame.data[14:14 + len(wanted)] == wanted, f"wanted {wanted.hex()}", frame)
            t.check(frame.data[14 + len(wanted):] in (b"", b"\xa5" * 19), frame)
