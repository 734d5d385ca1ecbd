# SPDX-License-Identifier: GPL-2.0-or-later
"""VLAN tags, what only IPv6 has, and SCTP: V1, 6x, K1."""
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (HBHOptUnknown, ICMPv6Unknown, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN)
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit, SCTPChunkInitAck
from scapy.packet import Raw

from case_path import arrives, fragments, reassembled
from cases import Skip, case
from net import NARROW_MTU, ether, packet_socket, receive, run, sysctl, veths_tell
from packets import ANY, ports, rewritten

# ---- V1 ----


def tag_bytes(tags):
    kind = {"802.1q": b"\x81\x00", "802.1ad": b"\x88\xa8"}
    return b"".join(kind[name] + number.to_bytes(2, "big") for name, number in tags)


class Vlan:
    """An interface with a tag, or two, on the outside wire, while the case runs."""

    def __init__(self, t, *tags):
        self.t, self.tags, self.name, self.first = t, tags, "eth0", None
        net = 100 + tags[-1][1]
        self.address, length, self.host = \
            (f"198.51.{net}.1", 24, f"198.51.{net}.2") if not t.f.is6 \
            else (f"2001:db8:{net}::1", 64, f"2001:db8:{net}::2")
        edge = t.net.edge
        for kind, number in tags:
            name = f"{self.name}.{number}"
            try:
                run("ip", "-n", edge, "link", "add", "link", self.name, "name", name, "type",
                    "vlan", "proto", kind, "id", str(number))
            except RuntimeError as error:
                raise Skip("this kernel has no VLAN interfaces") from error
            self.first = self.first or name
            run("ip", "-n", edge, "link", "set", name, "up")
            self.name = name
        more = ["nodad"] if t.f.is6 else []
        run("ip", "-n", edge, "address", "add", f"{self.address}/{length}", "dev", name, *more)
        run("ip", "-n", edge, "neigh", "replace", self.host, "lladdr", t.server.mac, "dev", name,
            "nud", "permanent")

    def __enter__(self):
        return self

    @property
    def interface(self):
        """Its block of the configuration."""
        return f"interface {self.name} {{ mode {self.t.mode} }}"

    def __exit__(self, *_):
        run("ip", "-n", self.t.net.edge, "link", "delete", self.first)

    def frame(self, packet, tags):
        """As the host sends it."""
        return ether(self.t.server.link.edge_mac, self.t.server.mac, 0)[:12] + tag_bytes(tags) + \
            (b"\x86\xdd" if self.t.f.is6 else b"\x08\x00") + bytes(packet)

    def send(self, *packets, tags=None):
        for packet in packets:
            self.t.server.link.send(self.frame(packet, self.tags if tags is None else tags))
        return self.t.net.settle()

    def arrived(self, frames, packet):
        """The frame with its tags, and nothing else, came to the server."""
        frame = self.t.only(frames)
        link = self.t.server.link
        wanted = ether(self.t.server.mac, link.edge_mac, 0)[:12] + tag_bytes(self.tags) + \
            (b"\x86\xdd" if self.t.f.is6 else b"\x08\x00") + bytes(packet)
        self.t.check(frame.link is link and frame.data == wanted,
                     f"wanted: {wanted.hex()}", f"got:    {frame}")


TAGS = {"VLAN": [("802.1q", 5)], "QinQ": [("802.1ad", 6), ("802.1q", 7)]}
OTHER = [("802.1q", 8)]
PRIORITY = 5 << 13


def by_xdp(t, least, send, *packets, **options):
    """Sends; where there is XDP, at least so many packets have to be forwarded by it."""
    before = t.edge.xdp_forwarded() if t.xfwd else 0
    frames = send(*packets, **options)
    if t.xfwd and t.mode == "native" and veths_tell():
        count = t.edge.xdp_forwarded() - before
        t.check(count >= least, f"{count} packets forwarded by XDP, {least} wanted", *frames)
    return frames


for KIND, TAG in TAGS.items():

    @case("V1", f"{KIND}: translated where a rule names it, and the answer has the tag again")
    def tagged(t, tags=TAG):
        f, port = t.f, t.port()
        with Vlan(t, *tags) as vlan:
            t.load(f"dnat in {vlan.name} udp to {f.at(vlan.address, 7000)} -> "
                   f"{f.at(f.client, 7001)}", interfaces=(vlan.interface,))
            for _ in range(2):
                packet = f.udp(vlan.host, vlan.address, port, 7000)
                frame = t.one(by_xdp(t, 1, vlan.send, packet), t.client)
                t.equal(frame, rewritten(packet, dst=f.client, dport=7001), t.client)
                answer = f.udp(f.client, vlan.host, 7001, port)
                vlan.arrived(by_xdp(t, 1, t.exchange, t.client, answer),
                             rewritten(answer, src=vlan.address, sport=7000))
            t.load()

    @case("V1", f"{KIND}: out through masquerade, and back")
    def tagged_out(t, tags=TAG):
        f, port = t.f, t.port()
        with Vlan(t, *tags) as vlan:
            t.load(f"masquerade out {vlan.name} {'ipv6 ' if f.is6 else ''}from {f.innet}",
                   interfaces=(vlan.interface,))
            for flags, least in ("S", 0), ("A", 1):  # the stack forwards the first packet
                packet = f.tcp(f.client, vlan.host, port, 80, flags)
                vlan.arrived(by_xdp(t, least, t.exchange, t.client, packet),
                             rewritten(packet, src=vlan.address))
                answer = f.tcp(vlan.host, vlan.address, 80, port, f"{flags}A"[:2], seq=1, ack=1001)
                frame = t.one(by_xdp(t, 1, vlan.send, answer), t.client)
                t.equal(frame, rewritten(answer, dst=f.client), t.client)
            t.load()

    @case("V1", f"{KIND}: into another VLAN of the same wire, and back")
    def into_another(t, tags=TAG):
        f, port = t.f, t.port()
        with Vlan(t, *tags) as vlan, Vlan(t, *OTHER) as other:
            t.load(f"dnat in {vlan.name} udp to {f.at(vlan.address, 7000)} -> "
                   f"{f.at(other.host, 7001)}", interfaces=(vlan.interface, other.interface))
            for _ in range(2):
                packet = f.udp(vlan.host, vlan.address, port, 7000)
                marked = [(kind, PRIORITY | number) for kind, number in tags]
                other.arrived(by_xdp(t, 1, vlan.send, packet, tags=marked),
                              rewritten(packet, dst=other.host, dport=7001))
                answer = f.udp(other.host, vlan.host, 7001, port)
                vlan.arrived(by_xdp(t, 1, other.send, answer),
                             rewritten(answer, src=vlan.address, sport=7000))
            t.load()

    @case("V1", f"{KIND}: an answer of the edge's own has the tag, too")
    def answered(t, tags=TAG):
        f, port = t.f, t.port()
        with Vlan(t, *tags) as vlan:
            t.load(f"dnat in {vlan.name} udp to {f.at(vlan.address, 7000)} -> "
                   f"{f.at(f.client, 7001)}", interfaces=(vlan.interface,))
            packet = f.udp(vlan.host, vlan.address, port, 7000, ttl=1)
            frame = t.only(vlan.send(packet))
            header = ether(t.server.mac, t.server.link.edge_mac, 0)[:12] + tag_bytes(tags)
            t.check(frame.data.startswith(header), f"not with its tags: {frame}")
            frame.data = frame.data[:12] + frame.data[len(header):]
            frame.ether = Ether(frame.data)
            t.answer(frame, vlan.address, t.server, "ttl", packet)
            t.load()

    @case("V1", f"{KIND}: a datagram as long as the MTU")
    def full(t, tags=TAG):
        f, port = t.f, t.port()
        room = 1500 - f.header - 8
        with Vlan(t, *tags) as vlan:
            t.load(f"dnat in {vlan.name} udp to {f.at(vlan.address, 7000)} -> "
                   f"{f.at(f.client, 7001)}", interfaces=(vlan.interface,))
            for _ in range(2):
                # Beyond the MTU, a packet socket has room for one tag, of 802.1Q, and no other.
                packet = f.udp(vlan.host, vlan.address, port, 7000,
                               bytes(room - (8 if len(tags) > 1 else 0)))
                frame = t.one(by_xdp(t, 1, vlan.send, packet), t.client)
                t.equal(frame, rewritten(packet, dst=f.client, dport=7001), t.client)
                answer = f.udp(f.client, vlan.host, 7001, port, bytes(room))
                vlan.arrived(t.exchange(t.client, answer),
                             rewritten(answer, src=vlan.address, sport=7000))
            t.load()

    @case("V1", f"{KIND}: fragments, the first of them last")
    def in_fragments(t, tags=TAG):
        f, port = t.f, t.port()
        with Vlan(t, *tags) as vlan:
            t.load(f"dnat in {vlan.name} udp to {f.at(vlan.address, 7000)} -> "
                   f"{f.at(f.client, 7001)}", interfaces=(vlan.interface,))
            packet = f.udp(vlan.host, vlan.address, port, 7000, bytes(2000))
            frames = vlan.send(*reversed(fragments(packet)))
            wanted = rewritten(packet, dst=f.client, dport=7001)
            head, payload = reassembled(t, frames, t.client)
            t.check(head[:2] == (vlan.host, f.client) and payload == bytes(wanted)[f.header:],
                    f"wanted {wanted.summary()}, got {head}", payload.hex())
            t.load()

    @case("V1", f"{KIND}: a rule for any interface holds there, in mode tc beside XDP, too")
    def by_tc(t, tags=TAG):
        f, port = t.f, t.port()
        with Vlan(t, *tags) as vlan:
            t.load(f"dnat udp to {f.at(vlan.address, 7000)} -> {f.at(f.client, 7001)}",
                   interfaces=(f"interface {vlan.name} {{ mode tc }}",))
            before = t.edge.xdp_forwarded() if t.xfwd else 0
            packet = f.udp(vlan.host, vlan.address, port, 7000)
            t.equal(t.one(vlan.send(packet), t.client),
                    rewritten(packet, dst=f.client, dport=7001), t.client)
            t.check(not t.xfwd or t.edge.xdp_forwarded() == before, "it was forwarded by XDP")
            t.load()

    @case("V1", f"{KIND}: unharmed where no rule names it")
    def untouched(t, tags=TAG):
        f, port = t.f, t.port()
        with Vlan(t, *tags) as vlan:
            t.load(f"dnat in eth0 udp to :7000 -> {f.at(f.client, 7001)}",
                   f"masquerade out eth0 {'ipv6 ' if f.is6 else ''}from {f.innet}",
                   nft=[f"prerouting iifname eth0 udp dport 7000 dnat {'ip6' if f.is6 else 'ip'} "
                        f"to {f.at(f.client, 7001)}",
                        "postrouting oifname eth0 masquerade"])
            packet = f.udp(vlan.host, f.client, port, 7000)
            t.equal(t.one(vlan.send(packet), t.client), rewritten(packet), t.client)
            answer = f.udp(f.client, vlan.host, 7000, port)
            vlan.arrived(t.exchange(t.client, answer), rewritten(answer))
            t.load()


    @case("V1", f"{KIND}: a frame that rules would cover without its tag comes to the edge's "
          "stack, and leaves it, unharmed")
    def passes(t, tags=TAG):
        f, port = t.f, t.port()
        t.load(f"dnat in eth0 udp to :7000 -> {f.at(f.client, 7001)}",
               f"masquerade out eth0{' ipv6' if f.is6 else ''}",
               nft=["postrouting oifname eth0 masquerade"])
        link, kind = t.server.link, b"\x86\xdd" if f.is6 else b"\x08\x00"
        with packet_socket(t.net.edge, link.interface, 0x0003) as tap:
            header = tag_bytes(tags) + kind
            sent = ether(link.edge_mac, t.server.mac, 0)[:12] + header + \
                bytes(f.udp(f.server, f.edge_out, port, 7000))
            link.send(sent)
            frames = t.net.settle()
            t.check(not frames, "something came out:", *frames)
            t.check(sent in list(iter(lambda: receive(tap), None)), "the stack did not see it")
            left = ether(t.server.mac, link.edge_mac, 0)[:12] + header + \
                bytes(f.udp(f.client, f.server, port, 53))
            tap.send(left)
            frames = t.net.settle()
            t.check([x.data for x in frames] == [left], f"sent: {left.hex()}", *frames)

@case("V1", "a tag that has but a priority: as if there was none, and it goes no further")
def priority_tag(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 7001)}")
    link, kind = t.server.link, b"\x86\xdd" if f.is6 else b"\x08\x00"
    header = ether(link.edge_mac, t.server.mac, 0)[:12] + tag_bytes([("802.1q", PRIORITY)]) + kind
    for ttl in (64, 1):
        packet = f.udp(f.server, f.edge_out, port, 7000, ttl=ttl)
        link.send(header + bytes(packet))
        frame = t.only(t.net.settle())
        if ttl == 1:
            t.answer(frame, f.edge_out, t.server, "ttl", packet)
        else:
            t.equal(t.one([frame], t.client), rewritten(packet, dst=f.client, dport=7001),
                    t.client)


# ---- 6x ----


def headers(proto):
    filler = PadN(optdata=b"\0" * 4)
    return {"hop-by-hop options": IPv6ExtHdrHopByHop(nh=proto, options=[filler]),
            "destination options": IPv6ExtHdrDestOpt(nh=proto, options=[filler]),
            "both": IPv6ExtHdrHopByHop(nh=60, options=[filler]) /
                    IPv6ExtHdrDestOpt(nh=proto, options=[filler]),
            "long options": IPv6ExtHdrDestOpt(nh=proto, options=[PadN(optdata=b"\0" * 100)]),
            "options to skip": IPv6ExtHdrDestOpt(nh=proto,
                                                 options=[HBHOptUnknown(otype=0x1E, optlen=4,
                                                                        optdata=b"abcd")])}


for NAME in headers(17):

    @case("6x", f"{NAME} before UDP and TCP: translated behind them", families=(6,))
    def extension(t, name=NAME):
        f = t.f
        t.masquerade()
        for proto, part in ((17, UDP), (6, TCP)):
            port = t.port()
            header = headers(proto)[name]
            for _ in range(2):
                packet = IPv6(src=f.client, dst=f.server, hlim=64) / header / \
                    part(sport=port, dport=80) / Raw(b"data")
                t.out(packet)
                more = {"flags": "SA"} if part is TCP else {}
                back = IPv6(src=f.server, dst=f.edge_out, hlim=64) / header / \
                    part(sport=80, dport=port, **more) / Raw(b"data")
                t.back(back)


@case("6x", "an atomic fragment: translated", families=(6,))
def atomic_fragment(t):
    f, port = t.f, t.port()
    t.masquerade()
    packet = IPv6(src=f.client, dst=f.server) / IPv6ExtHdrFragment(nh=17, id=77) / \
        UDP(sport=port, dport=53) / Raw(b"data")
    frame = t.one(t.exchange(t.client, packet), t.server)
    wanted = [bytes(rewritten(packet, src=f.edge_out)),  # or reassembled, which it is already
              bytes(rewritten(f.udp(f.client, f.server, port, 53), src=f.edge_out))]
    t.check(frame.data[14:] in wanted, f"wanted {wanted[0].hex()}", frame)


@case("6x", "a routing header that is used up: translated behind it", families=(6,))
def routing_header(t):
    f, port = t.f, t.port()
    t.masquerade()
    packet = IPv6(src=f.client, dst=f.server) / \
        IPv6ExtHdrRouting(nh=17, type=4, segleft=0, reserved=0, addresses=[f.server]) / \
        UDP(sport=port, dport=53) / Raw(b"data")
    t.out(packet)


@case("6x", "a chain of headers without end, or cut short: nothing leaves", families=(6,))
def endless(t):
    f, port = t.f, t.port()
    t.masquerade()
    filler = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
    chain = IPv6(src=f.client, dst=f.server, nh=60)
    for number in range(40):
        step = filler.copy()
        step.nh = 60 if number < 39 else 17
        chain = chain / step
    frames = t.exchange(t.client, chain / UDP(sport=port, dport=53))
    t.check(all(x.layer3().src == f.edge_out for x in t.comes_through(frames, t.server)), *frames)
    for length in (1, 5, 8):
        packet = IPv6(src=f.client, dst=f.server, nh=60) / Raw(bytes(IPv6ExtHdrDestOpt(
            nh=17, options=[PadN(optdata=b"\0" * 12)]))[:length])
        t.blocked(t.client, packet, t.server)


def authenticated(packet):
    """With an authentication header where it has destination options of 24 bytes."""
    data = bytearray(bytes(packet))
    data[6], data[41] = 51, 24 // 4 - 2
    return IPv6(bytes(data))


@case("6x", "an authentication header: translated behind it, under a rule that names the protocol",
      families=(6,))
def authentication(t):
    f, port = t.f, t.port()
    t.load(f"masquerade out eth0 ipv6 udp from {f.innet}")
    header = IPv6ExtHdrDestOpt(nh=17, options=[PadN(optdata=b"\0" * 20)])
    packet = IPv6(src=f.client, dst=f.server) / header / UDP(sport=port, dport=53) / Raw(b"data")
    back = IPv6(src=f.server, dst=f.edge_out) / header / UDP(sport=53, dport=port) / Raw(b"data")
    for _ in range(2):
        t.equal(t.one(t.exchange(t.client, authenticated(packet)), t.server),
                authenticated(rewritten(packet, src=f.edge_out)), t.server)
        t.equal(t.one(t.exchange(t.server, authenticated(back)), t.client),
                authenticated(rewritten(back, dst=f.client)), t.client)


@case("6x", "more headers than are looked past, or longer ones: nothing leaves with the inside "
      "source under a rule that names the protocol", families=(6,))
def unknown_protocol(t):
    f, port = t.f, t.port()
    t.load(f"masquerade out eth0 ipv6 udp from {f.innet}")
    many = [IPv6ExtHdrDestOpt(nh=60, options=[PadN(optdata=b"\0" * 4)])] * 8
    for chain in (many, [IPv6ExtHdrDestOpt(nh=60, options=[PadN(optdata=b"\0" * 250)] * 2)]):
        packet = IPv6(src=f.client, dst=f.server)
        for header in chain:
            packet /= header
        packet /= headers(17)["destination options"] / UDP(sport=port, dport=53) / Raw(b"data")
        for piece in (packet, *fragments(packet, 64)):
            frames = t.exchange(t.client, piece)
            t.check(all(x.layer3().src == f.edge_out for x in t.comes_through(frames, t.server)),
                    *frames)


for WHERE in (("eth0", "eth1", "eth2"), ("eth0",)):

    @case("6x", f"options that are in the fragments themselves, on {' and '.join(WHERE)}: "
          "translated, or held back", families=(6,))
    def options_in_fragments(t, where=WHERE):
        f, port = t.f, t.port()
        t.edge.interfaces = where
        try:
            t.load(f"masquerade out eth0 ipv6 udp from {f.innet}")
            packet = IPv6(src=f.client, dst=f.server, nh=60) / \
                headers(17)["destination options"] / UDP(sport=port, dport=53) / Raw(b"x" * 2500)
            arrives(t, t.client, fragments(packet, ident=port), t.server, packet, src=f.edge_out)
            t.blocked(t.client, fragments(packet, ident=port + 1)[1], t.server)
        finally:
            del t.edge.interfaces


@case("6x", "UDP without a checksum: nothing leaves with the inside source", families=(6,))
def no_checksum(t):
    f, port = t.f, t.port()
    t.masquerade()
    packet = f.udp(f.client, f.server, port, 53)
    packet[UDP].chksum = 0
    t.blocked(t.client, packet, t.server)
    t.out(f.udp(f.client, f.server, port, 53))
    t.blocked(t.client, packet, t.server)
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 7001)}")
    packet = f.udp(f.server, f.edge_out, port, 7000)
    packet[UDP].chksum = 0
    t.blocked(t.server, packet, t.client)


@case("6x", "never fragmented here: packet too big for each, in fragments too", families=(6,))
def never_fragmented(t):
    f, port = t.f, t.port()
    t.load(f"masquerade out eth2 ipv6 from {f.innet}")
    t.forward(t.client, f.udp(f.client, f.narrow, port, 53), t.narrow, src=f.edge_narrow)
    for _ in range(2):
        packet = f.udp(f.client, f.narrow, port, 53, b"x" * 1300)
        t.answer(t.only(t.exchange(t.client, packet)), f.edge_in, t.client, "big", packet,
                 NARROW_MTU)
    whole = bytes(f.udp(f.client, f.narrow, port, 53, b"x" * 2000))[40:]
    first = IPv6(src=f.client, dst=f.narrow) / IPv6ExtHdrFragment(nh=17, id=9, m=1) / \
        Raw(whole[:1400])
    last = IPv6(src=f.client, dst=f.narrow) / IPv6ExtHdrFragment(nh=17, id=9, offset=175) / \
        Raw(whole[1400:])
    frames = t.exchange(t.client, first, last)
    through = t.comes_through(frames, t.narrow)
    t.check(all(x.layer3().src == f.edge_narrow for x in through), *frames)
    t.check(not [x for x in through if x.layer3()[IPv6ExtHdrFragment].offset == 0],
            "the first was cut again", *frames)
    t.check([x for x in frames if x.link is t.client.link], "no error came", *frames)


@case("6x", "forwarding is switched on where a rule needs it", families=(6,))
def forwarding(t):
    f, port = t.f, t.port()
    names = ["ipv6__conf__all__forwarding", *(f"ipv6__conf__eth{i}__forwarding" for i in range(3))]
    sysctl(t.net.edge, **dict.fromkeys(names, 0))
    try:
        t.load()
        t.masquerade()
        packet = f.udp(f.client, f.server, port, 53)
        t.out(packet)
    finally:
        t.load()
        sysctl(t.net.edge, ipv6__conf__all__forwarding=1)


@case("6x", "link-local packets and neighbour discovery are left alone", families=(6,))
def link_local(t):
    f, port = t.f, t.port()
    t.load("masquerade out eth0 ipv6", f"dnat in eth0 ipv6 -> {f.client}",
           nft=["postrouting oifname eth0 meta nfproto ipv6 masquerade"])
    t.blocked(t.client, f.udp("fe80::2", f.server, port, 53), t.server)
    t.blocked(t.server, f.udp("fe80::99", f.edge_out, port, 53), t.client)


@case("6x", "what belongs to one link, but is routed: nothing leaves with the inside source",
      families=(6,))
def off_link(t):
    f = t.f
    t.masquerade()
    for kind in (131, 135, 148, 152):
        for ttl in (1, 2, 3, 64, 255):
            packet = f.ip(f.client, f.server, ttl, nh=58) / ICMPv6Unknown(type=kind) / Raw(b"data")
            t.blocked(t.client, packet, t.server)


# ---- K1 ----


def init(f, src, dst, sport, dport, **fields):
    chunk = SCTPChunkInit(init_tag=0x11223344, a_rwnd=65536, n_out_streams=10, n_in_streams=10,
                          init_tsn=1)
    return f.ip(src, dst, **proto_of(f), **fields) / SCTP(sport=sport, dport=dport, tag=0) / chunk


def proto_of(f):
    return {"nh": 132} if f.is6 else {"proto": 132}


def init_ack(f, src, dst, sport, dport):
    chunk = SCTPChunkInitAck(init_tag=0x55667788, a_rwnd=65536, n_out_streams=10, n_in_streams=10,
                             init_tsn=1)
    return f.ip(src, dst, **proto_of(f)) / SCTP(sport=sport, dport=dport, tag=0x11223344) / chunk


def data(f, src, dst, sport, dport, size, tag=0x55667788):
    return f.ip(src, dst, **proto_of(f)) / SCTP(sport=sport, dport=dport, tag=tag) / \
        SCTPChunkData(data=bytes(i & 0xFF for i in range(size)), beginning=1, ending=1, tsn=1)


@case("K1", "out through masquerade and back, with the port kept and changed")
def sctp_out(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(init(f, f.client2, f.server, port, 80), t.client2, sport=port)
    outside = ports(t.out(init(f, f.client, f.server, port, 80), sport=ANY))[0]
    t.check(outside != port, "two hosts have one port")
    t.back(init_ack(f, f.server, f.edge_out, 80, outside), dport=port)
    for size in (1, 2, 3, 4, 100, 1001, 1400):
        t.out(data(f, f.client, f.server, port, 80, size), sport=outside)
        t.back(data(f, f.server, f.edge_out, 80, outside, size, 0x11223344), dport=port)


@case("K1", "in through a forwarded port and back")
def sctp_in(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 sctp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 7001)}")
    t.forward(t.server, init(f, f.server, f.edge_out, port, 7000), t.client, dst=f.client,
              dport=7001)
    t.forward(t.client, init_ack(f, f.client, f.server, 7001, port), t.server, src=f.edge_out,
              sport=7000)
    for size in (1, 7, 1400):
        t.forward(t.server, data(f, f.server, f.edge_out, port, 7000, size), t.client,
                  dst=f.client, dport=7001)
        t.forward(t.client, data(f, f.client, f.server, 7001, port, size, 0x11223344), t.server,
                  src=f.edge_out, sport=7000)


@case("K1", "a wrong CRC32c is not repaired")
def sctp_wrong(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(init(f, f.client2, f.server, port, 80), t.client2, sport=port)
    outside = ports(t.out(init(f, f.client, f.server, port, 80), sport=ANY))[0]
    t.back(init_ack(f, f.server, f.edge_out, 80, outside), dport=port)
    packet = data(f, f.client, f.server, port, 80, 100)
    wrong = type(packet)(bytes(packet))
    wrong[SCTP].chksum ^= 0x11223344
    for frame in t.comes_through(t.exchange(t.client, wrong), t.server):
        got = frame.layer3()
        t.check(got.src == f.edge_out, f"from {got.src}: {frame}")
        right = bytes(rewritten(packet, src=f.edge_out, sport=outside))
        t.check(frame.data[14:] != right, f"it was repaired: {frame}")
