# SPDX-License-Identifier: GPL-2.0-or-later
"""Mappings and who may use them: M, F."""
from cases import case
from packets import ANY, ports


def hosts(t, number):
    """Addresses of so many inside hosts; they share the client's link-layer address."""
    return [t.f.client[:-1] + format(0x20 + i, "d" if t.f.number == 4 else "x")
            for i in range(number)]


@case("M1", "UDP: one outside port towards every destination")
def udp_one_port(t):
    f, port = t.f, t.port()
    t.masquerade()
    # Another host has the port already, so that the mapping has to be remembered.
    t.out(f.udp(f.client2, f.server, port, 53), sender=t.client2, sport=port)
    seen = {ports(t.out(f.udp(f.client, address, port, dport), receiver=host, sport=ANY))[0]
            for host, address, dport in ((t.server, f.server, 53), (t.server, f.server, 54),
                                         (t.server2, f.server2, 53), (t.far, f.far, 4000))}
    t.check(len(seen) == 1, f"ports seen outside: {sorted(seen)}")


@case("M1", "TCP: one outside port towards every destination")
def tcp_one_port(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.tcp(f.client2, f.server, port, 80), sender=t.client2, sport=port)
    seen = {ports(t.out(f.tcp(f.client, address, port, 80), receiver=host, sport=ANY))[0]
            for host, address in ((t.server, f.server), (t.server2, f.server2), (t.far, f.far))}
    t.check(len(seen) == 1, f"ports seen outside: {sorted(seen)}")


@case("M1", "one outside port also after another host came with the same")
def one_port_in_spite_of_others(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server2, port, 53), receiver=t.server2, sport=port)
    t.out(f.udp(f.client2, f.server, port, 53), sender=t.client2, sport=ANY)
    t.out(f.udp(f.client, f.server, port, 53), sport=port)


@case("M1", "mapping endpoint-dependent: one outside port serves several destinations")
def endpoint_dependent(t):
    f, port = t.f, t.port(8)
    t.load(f"snat out eth0 udp from {f.innet} -> {f.at(f.pool1, '40000-40003')} "
           "mapping endpoint-dependent")
    for number in range(8):
        host = (t.server, t.server2)[number % 2]
        t.forward(t.client, f.udp(f.client, getattr(f, host.name), port + number, 53), host,
                  src=f.pool1, sport=ANY)


@case("M2", "two hosts with one port, to two servers: two outside ports")
def no_overloading(t):
    f, port = t.f, t.port()
    t.masquerade()
    for packet in (f.udp, f.tcp):
        one = t.out(packet(f.client, f.server, port, 53), sport=ANY)
        other = t.out(packet(f.client2, f.server2, port, 53), t.client2, t.server2, sport=ANY)
        t.check(ports(one)[0] != ports(other)[0], f"both were given port {ports(one)[0]}")


@case("M3", "of a pool, a host keeps its address, whatever it sends")
def pool_address_kept(t):
    f, port = t.f, t.port()
    t.load(f"snat out eth0 from {f.innet} -> {f.pool1}-{f.pool4}")
    pool = {f.pool1[:-1] + end for end in ("89ab" if f.is6 else ("8", "9", "10", "11"))}
    used = set()
    for address in hosts(t, 8):
        packets = [(t.server, f.udp(address, f.server, port, 53)),
                   (t.server2, f.udp(address, f.server2, port + 1, 53)),
                   (t.server, f.tcp(address, f.server, port, 80)),
                   (t.far, f.tcp(address, f.far, port + 1, 80)),
                   (t.far, f.echo(address, f.far, port))]
        seen = {t.one(t.exchange(t.client, packet), host).layer3().src for host, packet in packets}
        t.check(len(seen) == 1 and seen <= pool, f"{address} was seen as {sorted(seen)}")
        used |= seen
    t.check(len(used) > 1, f"eight hosts were all given {used}")


@case("M4", "the port is kept while it is free")
def port_kept(t):
    f = t.f
    t.masquerade()
    for port in (t.port(), t.port() + 1, 65535, 1024, 1023, 501, 2):
        t.out(f.udp(f.client, f.server, port, 53), sport=port)
        t.back(f.udp(f.server, f.edge_out, 53, port))


def others_port(t, port):
    """What ten hosts get that all have this port."""
    f, seen = t.f, []
    t.masquerade()
    for address in hosts(t, 10):
        got = t.out(f.udp(address, f.server, port, 53), sport=ANY)
        seen.append(ports(got)[0])
    t.check(len(set(seen)) == len(seen), f"not all different: {seen}")
    return seen


@case("M4", "a port below 1024 stays below")
def low_ports(t):
    seen = others_port(t, 600)
    t.check(max(seen) < 1024, f"for port 600: {seen}")


@case("M4", "a port from 1024 on stays there")
def high_ports(t):
    seen = others_port(t, 1030)
    t.check(min(seen) >= 1024, f"for port 1030: {seen}")


@case("M4", "an even port stays even, an odd one odd")
def parity(t):
    for port in (t.port(), t.port() + 1):
        seen = others_port(t, port)
        t.check(all(p % 2 == port % 2 for p in seen), f"for port {port}: {seen}")


@case("M5", "new ports cannot be guessed")
def unpredictable(t):
    f, port = t.f, t.port()
    t.masquerade()
    seen = []
    for address in hosts(t, 41):
        seen.append(ports(t.out(f.udp(address, f.server, port, 53), sport=ANY))[0])
    seen = seen[1:]  # the first kept its own
    steps = [b - a for a, b in zip(seen, seen[1:])]
    t.check(len(set(steps)) > len(steps) / 2, f"regular steps: {seen}")
    t.check(max(seen) - min(seen) > 20000, f"all near each other: {seen}")
    t.check(0.2 < sum(step > 0 for step in steps) / len(steps) < 0.8, f"one direction: {seen}")


@case("M5", "a port whose mapping has ended is not given to another host at once")
def no_quick_reuse(t):
    f, port, half = t.f, t.port(24), 24
    t.load(f"snat out eth0 udp from {f.innet} -> {f.at(f.pool1, '41000-41063')}",
           sets=("timeout udp 1s", "timeout unanswered 1s"))

    def take(address, first):
        return {ports(t.forward(t.client, f.udp(address, f.server, first + i, 53), t.server,
                                src=f.pool1, sport=ANY))[0] for i in range(half)}

    used = take(f.client, port)
    t.all_flows_end()
    again = used & take(f.client2, port)
    t.check(not again, f"of {half} ports, {len(again)} were given away again")


@case("M5", "but it is, where there is no other")
def reuse_if_needed(t):
    f, port = t.f, t.port(4)
    t.load(f"snat out eth0 udp from {f.innet} -> {f.at(f.pool1, '41100-41103')}",
           sets=("timeout udp 1s", "timeout unanswered 1s"))
    for address in (f.client, f.client2):
        used = {ports(t.forward(t.client, f.udp(address, f.server, port + i, 53), t.server,
                                src=f.pool1, sport=ANY))[0] for i in range(4)}
        t.check(len(used) == 4, f"{address} was given {used}")
        t.all_flows_end()


@case("F1", "by default, only whom the inside host sent to may answer, from that port")
def filtering_default(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server, port, 53), sport=port)
    t.back(f.udp(f.server, f.edge_out, 53, port))
    t.blocked(t.server, f.udp(f.server, f.edge_out, 54, port), t.client)
    t.blocked(t.server2, f.udp(f.server2, f.edge_out, 53, port), t.client)
    t.back(f.udp(f.server, f.edge_out, 53, port))


@case("F1", "address-dependent: any port of an address that was sent to")
def filtering_address(t):
    f, port = t.f, t.port()
    t.masquerade("filtering address-dependent")
    t.out(f.udp(f.client, f.server, port, 53), sport=port)
    got = t.back(f.udp(f.server, f.edge_out, 54, port))
    t.out(f.udp(f.client, f.server, port, ports(got)[0]), sport=port)
    t.blocked(t.server2, f.udp(f.server2, f.edge_out, 53, port), t.client)
    t.out(f.udp(f.client, f.server2, port, 53), receiver=t.server2, sport=port)
    t.back(f.udp(f.server2, f.edge_out, 99, port), sender=t.server2)


@case("F1", "endpoint-independent: anyone, and the answers have the same outside port")
def filtering_none(t):
    f, port = t.f, t.port()
    t.masquerade("filtering endpoint-independent")
    taken = t.out(f.udp(f.client2, f.server, port, 53), sender=t.client2, sport=port)
    mapped = ports(t.out(f.udp(f.client, f.server, port, 53), sport=ANY))[0]
    t.check(mapped != ports(taken)[0], "two hosts have one port")
    for host, address in ((t.server2, f.server2), (t.far, f.far)):
        t.back(f.udp(address, f.edge_out, 1111, mapped), sender=host, dport=port)
        t.out(f.udp(f.client, address, port, 1111), receiver=host, sport=mapped)
    t.back(f.udp(f.far, f.edge_out, 2222, port), t.far, t.client2)
    t.blocked(t.far, f.udp(f.far, f.edge_out, 1111, mapped ^ 1), t.client)


@case("F1", "endpoint-independent: TCP connections from outside")
def filtering_none_tcp(t):
    f, port = t.f, t.port()
    t.masquerade("filtering endpoint-independent")
    t.out(f.tcp(f.client, f.server, port, 80), sport=port)
    t.back(f.tcp(f.server2, f.edge_out, 2222, port), sender=t.server2)
    t.out(f.tcp(f.client, f.server2, port, 2222, "SA", ack=1001), receiver=t.server2, sport=port)
    t.back(f.tcp(f.server2, f.edge_out, 2222, port, "A", seq=1001, ack=1001), sender=t.server2)
