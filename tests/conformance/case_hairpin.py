# SPDX-License-Identifier: GPL-2.0-or-later
"""Inside hosts that use each other's outside addresses: H."""
from cases import case
from packets import ANY, ports


def forwarded(t, proto, outside, inside):
    """A forwarded port for everyone, insiders too, who are seen by the outside address."""
    f = t.f
    ip, family = ("ip6", "ipv6 ") if f.is6 else ("ip", "")
    address, port = outside
    protocol = proto.replace("icmp", "ipv6-icmp") if f.is6 else proto
    match = f" th dport {port}" if port else ""
    target = f.at(inside[0], inside[1]) if inside[1] else inside[0]
    t.load(f"dnat in eth0 {proto} to {f.at(address, port)} -> {target} hairpin",
           f"masquerade out eth0 {family}from {f.innet}",
           nft=[f"prerouting meta l4proto {protocol} {ip} daddr {address}{match} "
                f"dnat {ip} to {target}",
                f"postrouting oifname eth0 {ip} saddr {f.innet} masquerade",
                f"postrouting oifname eth1 {ip} saddr {f.innet} snat {ip} to {f.edge_out}"])


def both_ways(t, packet, reply, port):
    """client speaks to the outside port 7000, which is client2's 7001."""
    f = t.f
    got = t.forward(t.client, packet(f.client, f.edge_out, port, 7000), t.client2,
                    src=f.edge_out, dst=f.client2, sport=ANY, dport=7001)
    seen = ports(got)[0]
    t.forward(t.client2, reply(f.client2, f.edge_out, 7001, seen), t.client,
              src=f.edge_out, dst=f.client, sport=7000, dport=port)
    return seen


@case("H1", "UDP to a forwarded port, seen with the outside source")
def dnat_udp(t):
    f, port = t.f, t.port()
    forwarded(t, "udp", (f.edge_out, 7000), (f.client2, 7001))
    both_ways(t, f.udp, f.udp, port)
    t.forward(t.server, f.udp(f.server, f.edge_out, 53, 7000), t.client2, dst=f.client2, dport=7001)


@case("H1", "TCP to a forwarded port, seen with the outside source")
def dnat_tcp(t):
    f, port = t.f, t.port()
    forwarded(t, "tcp", (f.edge_out, 7000), (f.client2, 7001))

    def syn_ack(*ends):
        return f.tcp(*ends, "SA", seq=7000, ack=1001)

    seen = both_ways(t, f.tcp, syn_ack, port)
    t.forward(t.client, f.tcp(f.client, f.edge_out, port, 7000, "A", seq=1001, ack=7001),
              t.client2, src=f.edge_out, dst=f.client2, sport=seen, dport=7001)


@case("H1", "a host that forwards to itself")
def dnat_self(t):
    f, port = t.f, t.port()
    forwarded(t, "udp", (f.edge_out, 7000), (f.client, 7001))
    got = t.forward(t.client, f.udp(f.client, f.edge_out, port, 7000), t.client,
                    src=f.edge_out, dst=f.client, sport=ANY, dport=7001)
    t.forward(t.client, f.udp(f.client, f.edge_out, 7001, ports(got)[0]), t.client,
              src=f.edge_out, dst=f.client, sport=7000, dport=port)


@case("H1", "echo request to a forwarded address")
def dnat_echo(t):
    f, port = t.f, t.port()
    forwarded(t, "icmp", (f.pool1, None), (f.client2, None))
    got = t.forward(t.client, f.echo(f.client, f.pool1, port), t.client2, src=f.edge_out,
                    dst=f.client2, sport=ANY)
    t.forward(t.client2, f.echo(f.client2, f.edge_out, ports(got)[0], reply=True), t.client,
              src=f.pool1, dst=f.client, sport=port)


@case("H1", "ICMP errors about hairpinned packets")
def hairpin_error(t):
    f, port = t.f, t.port()
    forwarded(t, "udp", (f.edge_out, 7000), (f.client2, 7001))
    sent = f.udp(f.client, f.edge_out, port, 7000)
    seen = t.forward(t.client, sent, t.client2, src=f.edge_out, dst=f.client2, sport=ANY,
                     dport=7001)
    t.translated_error(t.client2, f.error(f.client2, f.edge_out, "port", f.quote(seen, 8, seen)),
                       t.client, f.error(f.edge_out, f.client, "port", f.quote(sent, 8, seen)))


def mapped(t, packet, port):
    """Both hosts have a mapping, because they spoke to the server."""
    f = t.f
    t.masquerade("filtering endpoint-independent")
    t.out(packet(f.client, f.server, port, 53), sport=port)
    t.out(packet(f.client2, f.server, port + 1, 53), sender=t.client2, sport=port + 1)


@case("H1", "UDP between two mappings that the hosts made themselves")
def mapping_udp(t):
    f, port = t.f, t.port()
    mapped(t, f.udp, port)
    t.forward(t.client, f.udp(f.client, f.edge_out, port, port + 1), t.client2,
              src=f.edge_out, dst=f.client2)
    t.forward(t.client2, f.udp(f.client2, f.edge_out, port + 1, port), t.client,
              src=f.edge_out, dst=f.client)


@case("H1", "TCP between two mappings that the hosts made themselves")
def mapping_tcp(t):
    f, port = t.f, t.port()
    mapped(t, f.tcp, port)
    t.forward(t.client, f.tcp(f.client, f.edge_out, port, port + 1), t.client2,
              src=f.edge_out, dst=f.client2)
    t.forward(t.client2, f.tcp(f.client2, f.edge_out, port + 1, port, "SA", seq=7, ack=1001),
              t.client, src=f.edge_out, dst=f.client)


@case("H1", "by default filtering, the other has to send first, as from outside")
def mapping_filtered(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server, port, 53), sport=port)
    t.out(f.udp(f.client2, f.server, port + 1, 53), sender=t.client2, sport=port + 1)
    there = f.udp(f.client, f.edge_out, port, port + 1)
    frames = t.exchange(t.client, there)
    t.check(not [x for x in frames if x.ether.dst == t.client2.mac], "it came through", *frames)
    t.forward(t.client2, f.udp(f.client2, f.edge_out, port + 1, port), t.client,
              src=f.edge_out, dst=f.client)
    t.forward(t.client, there, t.client2, src=f.edge_out, dst=f.client2)
