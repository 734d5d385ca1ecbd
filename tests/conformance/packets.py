# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets as they are sent, and as they are expected: the latter are built anew from the former's
fields, checksums and all, so that nothing of the translation's own arithmetic is trusted."""
import socket
import struct

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest,
                                ICMPv6PacketTooBig, ICMPv6ParamProblem, ICMPv6TimeExceeded, IPv6)
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

ANY = object()
ECHO = (ICMPv6EchoRequest, ICMPv6EchoReply)


class Family:
    """What is different between IPv4 and IPv6."""

    def __init__(self, number):
        self.number = number
        self.name = f"IPv{number}"
        self.is6 = number == 6
        self.header = 40 if self.is6 else 20
        self.addresses = ADDRESSES[number]

    def __getattr__(self, name):
        try:
            return self.addresses[name]
        except KeyError:
            raise AttributeError(name) from None

    def ip(self, src, dst, ttl=64, tos=0, **fields):
        if self.is6:
            return IPv6(src=src, dst=dst, hlim=ttl, tc=tos, **fields)
        return IP(src=src, dst=dst, ttl=ttl, tos=tos, **{"id": 0x4321, "flags": "DF", **fields})

    def udp(self, src, dst, sport, dport, data=b"data", **fields):
        return self.ip(src, dst, **fields) / UDP(sport=sport, dport=dport) / Raw(data)

    def tcp(self, src, dst, sport, dport, flags="S", data=b"", seq=1000, ack=0, options=(), **fields):
        segment = TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack,
                      options=list(options))
        packet = self.ip(src, dst, **fields) / segment
        return packet / Raw(data) if data else packet

    def echo(self, src, dst, ident, data=b"ping data", seq=1, reply=False, **fields):
        if self.is6:
            kind = ICMPv6EchoReply if reply else ICMPv6EchoRequest
            return self.ip(src, dst, **fields) / kind(id=ident, seq=seq, data=data)
        icmp = ICMP(type=0 if reply else 8, id=ident, seq=seq)
        return self.ip(src, dst, **fields) / icmp / Raw(data)

    def error(self, src, dst, what, quoted, mtu=0, **fields):
        """An ICMP error; `quoted` is bytes."""
        if self.is6:
            icmp = {"port": ICMPv6DestUnreach(code=4), "host": ICMPv6DestUnreach(code=3),
                    "admin": ICMPv6DestUnreach(code=1), "ttl": ICMPv6TimeExceeded(code=0),
                    "big": ICMPv6PacketTooBig(mtu=mtu),
                    "parameter": ICMPv6ParamProblem(code=0, ptr=6)}[what]
            return self.ip(src, dst, **fields) / icmp / Raw(quoted)
        icmp = {"port": ICMP(type=3, code=3), "host": ICMP(type=3, code=1),
                "admin": ICMP(type=3, code=13), "ttl": ICMP(type=11, code=0),
                "big": ICMP(type=3, code=4, nexthopmtu=mtu),
                "parameter": ICMP(type=12, code=0, ptr=8)}[what]
        return self.ip(src, dst, **{"flags": 0, **fields}) / icmp / Raw(quoted)

    def quote(self, packet, octets=None, aged_as=None):
        """A packet as an error quotes it: its header and so many octets of what follows, with as
        many hops left as another had."""
        packet = packet.copy()
        set_ttl(packet, ttl_of(aged_as) if aged_as else 1)
        fresh(packet)
        whole = bytes(packet)
        return whole if octets is None else whole[:self.header + octets]

    def at(self, address, port=None):
        """As rules write it."""
        if port is None:
            return address
        return f"[{address}]:{port}" if self.is6 and address else f"{address}:{port}"


def set_ttl(packet, ttl):
    setattr(packet, "hlim" if isinstance(packet, IPv6) else "ttl", ttl)


def ttl_of(packet):
    return packet.hlim if isinstance(packet, IPv6) else packet.ttl


def layer4(packet):
    for kind in (TCP, UDP, SCTP, *ECHO, ICMP):
        if kind in packet:
            return packet[kind]
    return None


def ports(packet):
    """Source and destination port; of an echo, its identifier twice."""
    part = layer4(packet)
    if isinstance(part, (ICMP, *ECHO)):
        return part.id, part.id
    return part.sport, part.dport


def rewritten(packet, src=None, dst=None, sport=None, dport=None, ttl=None):
    """The packet with other addresses, ports (of an echo: its identifier) and one hop less."""
    packet = packet.copy()
    packet.src = src or packet.src
    packet.dst = dst or packet.dst
    set_ttl(packet, ttl_of(packet) - 1 if ttl is None else ttl)
    part = layer4(packet)
    if isinstance(part, (ICMP, *ECHO)):
        if sport or dport:
            part.id = sport or dport
    elif part is not None and (sport or dport):
        part.sport = sport or part.sport
        part.dport = dport or part.dport
    fresh(packet)
    return packet


def aged(packet):
    """One hop less, and nothing else."""
    packet = packet.copy()
    set_ttl(packet, ttl_of(packet) - 1)
    return packet


def fresh(packet):
    """Makes scapy compute the checksums that it computed before; those that were set stay."""
    if isinstance(packet, IP):
        packet.chksum = None


def ones_sum(data):
    """Of ones' complement; all ones where a checksum over the data is right."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def broken(data):
    """Which of a packet's checksums are wrong; for one without extension headers and fragments."""
    found = []
    if data[0] >> 4 == 6:
        start, proto, ends = 40, data[6], data[8:40]
    else:
        start, proto, ends = (data[0] & 15) * 4, data[9], data[12:20]
        if ones_sum(data[:start]) != 0xFFFF:
            found.append("IPv4 header checksum")
    part = data[start:]
    pseudo = ends + struct.pack("!II", len(part), proto)
    if proto == socket.IPPROTO_UDP and part[6:8] == b"\0\0":
        found += ["UDP checksum is missing"] if data[0] >> 4 == 6 else []
    elif proto in (socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMPV6):
        found += ["checksum"] if ones_sum(pseudo + part) != 0xFFFF else []
    elif proto == socket.IPPROTO_ICMP:
        found += ["ICMP checksum"] if ones_sum(part) != 0xFFFF else []
    return found


def readable(data):
    kind = IPv6 if data[:1] and data[0] >> 4 == 6 else IP
    try:
        return f"{kind(data).summary()}\n        {data.hex()}"
    except Exception:  # whatever scapy cannot read is shown as it is
        return data.hex()


ADDRESSES = {
    4: {
        "edge_out": "198.51.100.1", "server": "198.51.100.2", "server2": "198.51.100.3",
        "far": "203.0.113.2", "router": "198.51.100.254", "outnet": "198.51.100.0/24",
        "pool1": "198.51.100.8", "pool4": "198.51.100.11", "edge_in": "10.0.0.1",
        "client": "10.0.0.2", "client2": "10.0.0.3", "inner": "10.1.0.2",
        "inner_router": "10.0.0.254", "innet": "10.0.0.0/8", "edge_narrow": "192.0.2.1",
        "narrow": "192.0.2.2", "any": "0.0.0.0",
    },
    6: {
        "edge_out": "2001:db8:51::1", "server": "2001:db8:51::2", "server2": "2001:db8:51::3",
        "far": "2001:db8:113::2", "router": "2001:db8:51::254", "outnet": "2001:db8:51::/64",
        "pool1": "2001:db8:51::8", "pool4": "2001:db8:51::b", "edge_in": "fd00:a::1",
        "client": "fd00:a::2", "client2": "fd00:a::3", "inner": "fd00:a:1::2",
        "inner_router": "fd00:a::254", "innet": "fd00:a::/32", "edge_narrow": "2001:db8:2::1",
        "narrow": "2001:db8:2::2", "any": "::",
    },
}
