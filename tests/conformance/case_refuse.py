# SPDX-License-Identifier: GPL-2.0-or-later
"""What is refused, limited or exempt: X, R2."""
import socket

from scapy.layers.inet import TCP

from cases import case
from net import Inside
from packets import ANY, ones_sum, ports, rewritten

# All other verdicts are reasons to drop.
PASSES = {"forwarded", "delivered", "translated", "no_rule", "accepted", "tracked", "done",
          "other_protocol", "other_host", "stray", "to_tc", "partial_checksum", "ttl_stack",
          "mtu_stack", "elsewhere"}


def takes(t, sender, packets, receiver, **changes):
    """Which of the packets arrive, rewritten so: their source ports outside, by position."""
    found = {}
    for place, packet in enumerate(packets):
        frames = t.comes_through(t.exchange(sender, packet), receiver)
        if frames:
            got = t.one(frames, receiver).layer3()
            t.equal(frames[0], rewritten(packet, sport=ports(got)[0], **changes), receiver)
            found[place] = ports(got)[0]
    return found


# ---- X1 ----


@case("X1", "16 ports, 32 flows: 16 work, the others are dropped and counted")
def pool_empty(t):
    f, port = t.f, t.port(32)
    t.load(f"snat out eth0 udp from {f.innet} -> {f.at(f.pool1, '42000-42015')}")
    packets = [f.udp(f.client, f.server, port + i, 53) for i in range(32)]
    found = takes(t, t.client, packets, t.server, src=f.pool1)
    t.check(len(found) == 16 and set(found.values()) == set(range(42000, 42016)),
            f"ports that were given: {found}")
    t.counted("no_port", 16)
    for place, outside in found.items():
        t.back(f.udp(f.server, f.pool1, 53, outside), dport=port + place)
        t.forward(t.client, packets[place], t.server, src=f.pool1, sport=outside)


@case("X1", "16 ports, and 32 hosts with TCP")
def pool_empty_tcp(t):
    f, port = t.f, t.port()
    t.load(f"snat out eth0 tcp from {f.innet} -> {f.at(f.pool1, '42100-42115')}")
    packets = [f.tcp(f.client[:-1] + format(0x20 + i, "d" if not f.is6 else "x"), f.server, port, 80)
               for i in range(32)]
    found = takes(t, t.client, packets, t.server, src=f.pool1)
    t.check(len(found) == 16 and set(found.values()) == set(range(42100, 42116)),
            f"ports that were given: {found}")
    t.counted("no_port", 16)


# ---- X2 ----


def with_sums(packet, header):
    """Bytes of a packet after a change: its IPv4 header's checksum is put right."""
    data = bytearray(packet)
    if data[0] >> 4 == 4:
        data[10:12] = b"\0\0"
        data[10:12] = (0xFFFF ^ ones_sum(bytes(data[:header]))).to_bytes(2, "big")
    return bytes(data)


def patched(packet, changes, cut=None):
    """The packet with other bytes at some places."""
    data = bytearray(bytes(packet)[:cut])
    for at, value in changes.items():
        data[at] = value
    return with_sums(data, 20)


def malformed(f, port, src, dst, dport):
    """Packets of which a header contradicts itself, by what is wrong."""
    h = f.header
    udp, tcp = f.udp(src, dst, port, dport, b"datadata"), f.tcp(src, dst, port, dport)
    length = len(bytes(udp))
    found = {
        "UDP length less than its header": patched(udp, {h + 4: 0, h + 5: 7}),
        "UDP length beyond the packet": patched(udp, {h + 4: 0, h + 5: 17}),
        "UDP header cut short": f.ip(src, dst, **proto(f, 17)) / bytes(udp)[h:h + 6],
        "TCP header cut short": f.ip(src, dst, **proto(f, 6)) / bytes(tcp)[h:h + 12],
        "doff less than 5": patched(tcp, {h + 12: 0x40}),
        "doff beyond the packet": patched(tcp, {h + 12: 0x60}),
        "echo header cut short": f.ip(src, dst, **proto(f, 58 if f.is6 else 1)) /
                                 bytes(f.echo(src, dst, port))[h:h + 4],
    }
    if f.is6:
        found["payload length beyond the frame"] = patched(udp, {4: 0, 5: length - 40 + 1})
        found["no room for the port numbers"] = patched(udp, {4: 0, 5: 2})
    else:
        found["ihl less than 5"] = patched(udp, {0: 0x44})
        found["ihl beyond the packet"] = patched(udp, {0: 0x4F}, 40)
        found["total length beyond the frame"] = patched(udp, {2: 0, 3: length + 1})
        found["total length less than the header"] = patched(udp, {2: 0, 3: 19})
    return found


def proto(f, number):
    return {"nh": number} if f.is6 else {"proto": number}


def bad_flags(f, port, src, dst, dport):
    """Segments that no connection has, with right checksums."""
    return {name: f.tcp(src, dst, port, dport, flags, ack=0)
            for name, flags in (("no flags", ""), ("FIN, PSH, URG", "FPU"), ("SYN and FIN", "SF"),
                                ("SYN and RST", "SR"), ("all flags", "FSRPAU"), ("FIN", "F"))}


def none_passes(t, sender, packets, receiver):
    wrong = [f"{name}: {frame}" for name, packet in packets.items()
             for frame in t.comes_through(t.exchange(sender, packet), receiver)]
    if wrong:
        t.fail(*wrong)


def dropped(t, number, *verdicts):
    counted = t.edge.counted()
    if counted is not None:
        got = sum(value for name, value in counted.items()
                  if (name in verdicts if verdicts else name not in PASSES))
        t.check(got >= number, f"{number} packets counted as {verdicts or 'dropped'} wanted, got "
                f"{counted}")


@case("X2", "malformed, out through masquerade: dropped, and counted as that")
def malformed_out(t):
    f, port = t.f, t.port()
    t.masquerade()
    packets = malformed(f, port, f.client, f.server, 53)
    none_passes(t, t.client, packets, t.server)
    # What contradicts itself as an IP packet the kernel may drop before.
    dropped(t, 7, "malformed")


@case("X2", "malformed, in a known flow")
def malformed_known(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server, port, 53))
    t.out(f.tcp(f.client, f.server, port, 53))
    none_passes(t, t.client, malformed(f, port, f.client, f.server, 53), t.server)
    dropped(t, 6, "malformed")
    none_passes(t, t.server, malformed(f, 53, f.server, f.edge_out, port), t.client)
    t.back(f.udp(f.server, f.edge_out, 53, port))


@case("X2", "malformed, in through a forwarded port: dropped, and counted as that")
def malformed_in(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 to {f.edge_out} -> {f.client}")
    none_passes(t, t.server, malformed(f, port, f.server, f.edge_out, 7000), t.client)
    dropped(t, 7, "malformed")


@case("X2", "TCP flags that no connection has: no flow, nothing passes, all counted")
def flags(t):
    f, port = t.f, t.port()
    t.masquerade()
    packets = bad_flags(f, port, f.client, f.server, 80)
    none_passes(t, t.client, packets, t.server)
    dropped(t, len(packets))
    t.check(not (t.edge.flows("proto", "tcp") or []), f"flows: {t.edge.flows()}")
    t.load(f"dnat in eth0 tcp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 7001)}")
    packets = bad_flags(f, port, f.server, f.edge_out, 7000)
    none_passes(t, t.server, packets, t.client)
    t.check(not (t.edge.flows("proto", "tcp") or []), f"flows: {t.edge.flows()}")


@case("X2", "martian sources from inside: dropped, and counted")
def martians_out(t):
    f, port = t.f, t.port()
    t.load(f"masquerade out eth0{' ipv6' if f.is6 else ''}")
    sources = ["::", "::1", "ff02::1", "ff0e::1", f.edge_out, f.edge_in] \
        if f.is6 else ["127.0.0.1", "127.1.2.3", "0.0.0.0", "224.0.0.1", "255.255.255.255",
                       "10.0.0.255", f.edge_out, f.edge_in]
    none_passes(t, t.client, {src: f.udp(src, f.server, port, 53) for src in sources}, t.server)
    # The stack drops some by itself before; where there was any rule of policy routing, one more.
    dropped(t, len(sources) - (2 if t.f.is6 else 4))


@case("X2", "martian and forged sources from outside: dropped, and counted")
def martians_in(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 7001)}",
           f"masquerade out eth0 {'ipv6 ' if f.is6 else ''}from {f.innet}")
    sources = ["::", "::1", "ff02::1", f.edge_out, f.edge_in, f.client, f.client2, f.inner] \
        if f.is6 else ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", f.edge_out,
                       f.edge_in, f.client, f.client2, f.inner]
    none_passes(t, t.server, {src: f.udp(src, f.edge_out, port, 7000) for src in sources}, t.client)
    dropped(t, len(sources) - 2)
    t.forward(t.server, f.udp(f.server, f.edge_out, port, 7000), t.client, dst=f.client, dport=7001)


@case("X2", "set source-check off: a source that is routed elsewhere is taken")
def source_check_off(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 7001)}",
           sets=("source-check off",))
    t.forward(t.server, f.udp(f.narrow, f.edge_out, port, 7000), t.client, dst=f.client, dport=7001)


@case("X2", "destinations that are not to be forwarded to")
def martian_destinations(t):
    f, port = t.f, t.port()
    t.load(f"masquerade out eth0{' ipv6' if f.is6 else ''}")
    destinations = ["::1", "ff02::5", "fe80::1234"] if f.is6 else \
        ["127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255"]
    none_passes(t, t.client, {dst: f.udp(f.client, dst, port, 53) for dst in destinations}, t.server)


# ---- X3 ----


@case("X3", "limit flows: what one source may have; others are not touched")
def limit_flows(t):
    f, port = t.f, t.port(110)
    t.masquerade("limit flows 4")
    packets = [f.udp(f.client, f.server, port + i, 53) for i in range(10)]
    found = takes(t, t.client, packets, t.server, src=f.edge_out)
    t.check(list(found) == [0, 1, 2, 3], f"flows that were let through: {list(found)}")
    for i in range(4):
        t.out(packets[i])
        t.back(f.udp(f.server, f.edge_out, 53, port + i))
    t.out(f.udp(f.client2, f.server, port + 100, 53), t.client2)


@case("X3", "limit flows: those that have ended do not count")
def limit_flows_ended(t):
    f, port = t.f, t.port(6)
    t.masquerade("limit flows 2", sets=("timeout unanswered 1s", "timeout udp 1s"))
    packets = [f.udp(f.client, f.server, port + i, 53) for i in range(6)]
    t.check(len(takes(t, t.client, packets[:3], t.server, src=f.edge_out)) == 2, "not 2 at first")
    t.all_flows_end()
    t.check(len(takes(t, t.client, packets[3:], t.server, src=f.edge_out)) == 2, "not 2 then")


@case("X3", "limit rate: what one source may begin in a second; others are not touched")
def limit_rate(t):
    f, port = t.f, t.port(110)
    t.masquerade("limit rate 5/s")
    packets = [f.udp(f.client, f.server, port + i, 53) for i in range(40)]
    found = takes(t, t.client, packets, t.server, src=f.edge_out)
    t.check(0 in found and 5 <= len(found) <= 12, f"flows that were let through: {list(found)}")
    t.out(f.udp(f.client2, f.server, port + 100, 53), t.client2)
    t.out(packets[0])


@case("X3", "limit flows of a forwarded port, for each outside source")
def limit_dnat(t):
    f, port = t.f, t.port(6)
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, 7000)} -> {f.at(f.client, 7001)} limit flows 3")
    for host, address in ((t.server, f.server), (t.server2, f.server2)):
        packets = [f.udp(address, f.edge_out, port + i, 7000) for i in range(6)]
        found = [i for i, packet in enumerate(packets)
                 if t.comes_through(t.exchange(host, packet), t.client)]
        t.check(found == [0, 1, 2], f"flows of {address} that were let through: {found}")


# ---- X4 ----


def service(t, kind, address, port):
    """A socket of the edge itself."""
    with Inside(t.net.edge):
        sock = socket.socket(socket.AF_INET6 if t.f.is6 else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    sock.settimeout(2)
    return sock


@case("X4", "an inside host does not get the port of a UDP service of the edge")
def shadow_udp(t):
    f = t.f
    for address in (f.edge_out, f.any):
        port = t.port()
        t.masquerade()
        with service(t, socket.SOCK_DGRAM, address, port) as sock:
            outside = ports(t.out(f.udp(f.client, f.server, port, 4000), sport=ANY))[0]
            t.check(outside != port, f"it was given port {port}, bound to {address}")
            t.blocked(t.server, f.udp(f.server, f.edge_out, 4000, port, b"for the edge"), t.client)
            t.check(sock.recv(100) == b"for the edge", "the edge did not get it")


@case("X4", "an inside host does not get the port of a TCP service of the edge")
def shadow_tcp(t):
    f = t.f
    for address in (f.edge_out, f.any):
        port = t.port()
        t.masquerade()
        with service(t, socket.SOCK_STREAM, address, port):
            outside = ports(t.out(f.tcp(f.client, f.server, port, 4000), sport=ANY))[0]
            t.check(outside != port, f"it was given port {port}, bound to {address}")
            frame = t.one(t.exchange(t.server, f.tcp(f.server, f.edge_out, 4000, port)), t.server)
            t.check(frame.layer3()[TCP].flags == "SA", f"the edge should have answered: {frame}")


@case("X4", "a conversation of the edge itself is not taken over")
def shadow_client(t):
    f, port = t.f, t.port()
    t.masquerade()
    with service(t, socket.SOCK_DGRAM, f.edge_out, port) as sock:
        sock.connect((f.server, 4000))
        sock.send(b"question")
        t.net.settle()
        outside = ports(t.out(f.udp(f.client, f.server, port, 4000), sport=ANY))[0]
        t.check(outside != port, f"it was given port {port}")
        t.blocked(t.server, f.udp(f.server, f.edge_out, 4000, port, b"answer"), t.client)
        t.check(sock.recv(100) == b"answer", "the edge did not get the answer")


@case("X4", "an inside host does not get a port that a dnat rule forwards")
def shadow_dnat(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 udp to {f.at(f.edge_out, port)} -> {f.at(f.client2, 7001)}",
           f"masquerade out eth0 {'ipv6 ' if f.is6 else ''}from {f.innet}")
    outside = ports(t.out(f.udp(f.client, f.server, port, 4000), sport=ANY))[0]
    t.check(outside != port, f"it was given port {port}")
    t.forward(t.server, f.udp(f.server, f.edge_out, 4000, port), t.client2, dst=f.client2,
              dport=7001)


@case("X4", "the edge's own pings are not taken over by one of identifier 0 from inside")
def shadow_echo(t):
    f = t.f
    t.masquerade()
    outside = ports(t.out(f.echo(f.client, f.server, 0), sport=ANY))[0]
    for ident in (0, 5):
        frame = t.one(t.exchange(t.server, f.echo(f.server, f.edge_out, ident)), t.server)
        got = frame.layer3()
        t.check((got.src, got.dst, ports(got)[0]) == (f.edge_out, f.server, ident), str(frame))
    frame = t.one(t.exchange(t.server, f.echo(f.server, f.edge_out, outside, reply=True)), t.client)
    t.equal(frame, rewritten(f.echo(f.server, f.client, 0, reply=True)), t.client)


# ---- R2 ----


@case("R2", "an exempted destination sees the inside address; others do not")
def exempted(t):
    f, port = t.f, t.port()
    family = "ipv6 " if f.is6 else ""
    t.load(f"accept out eth0 {family}to {f.server2}", f"masquerade out eth0 {family}from {f.innet}",
           nft=[f"postrouting oifname eth0 {'ip6' if f.is6 else 'ip'} daddr {f.server2} accept",
                "postrouting oifname eth0 masquerade"])
    for packet in (f.udp, f.tcp):
        t.forward(t.client, packet(f.client, f.server2, port, 80), t.server2)
        t.out(packet(f.client, f.server, port, 80), sport=ANY)
    t.forward(t.client, f.echo(f.client, f.server2, port), t.server2)
    t.forward(t.server2, f.udp(f.server2, f.client, 80, port), t.client)
    t.forward(t.server2, f.tcp(f.server2, f.client, 80, port, "SA", seq=1, ack=1001), t.client)
    t.forward(t.server2, f.echo(f.server2, f.client, port, reply=True), t.client)
