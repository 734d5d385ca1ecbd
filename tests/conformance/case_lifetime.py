# SPDX-License-Identifier: GPL-2.0-or-later
"""How long connections live, and what TCP does with them: T, S."""
from cases import case
from packets import ANY, ports

SLACK = 5000  # ms between a packet and our look at its flow


def left(t, proto):
    """Milliseconds until the only flow of this protocol expires."""
    flows = t.flows("proto", proto)
    t.check(len(flows) == 1, f"one flow wanted: {flows}")
    return flows[0]["expires_ms"]


def lives(t, proto, seconds, at_most=None):
    got = left(t, proto)
    t.check(seconds * 1000 - SLACK <= got, f"expires in {got} ms; {seconds} s or more wanted")
    t.check(not at_most or got <= at_most * 1000, f"expires in {got} ms; {at_most} s at most wanted")


def handshake(t, port, server_port=80, first=1000):
    f = t.f
    got = t.out(f.tcp(f.client, f.server, port, server_port, seq=first), sport=ANY)
    outside = ports(got)[0]
    t.back(f.tcp(f.server, f.edge_out, server_port, outside, "SA", seq=7000, ack=first + 1),
           dport=port)
    t.out(f.tcp(f.client, f.server, port, server_port, "A", seq=first + 1, ack=7001),
          sport=outside)
    return outside


def data(t, port, first=1001):
    """Some data each way, of an established connection whose port is kept."""
    f = t.f
    t.out(f.tcp(f.client, f.server, port, 80, "PA", b"question", seq=first, ack=7001), sport=port)
    t.back(f.tcp(f.server, f.edge_out, 80, port, "PA", b"answer", seq=7001, ack=first + 8))
    t.out(f.tcp(f.client, f.server, port, 80, "A", seq=first + 8, ack=7007), sport=port)


@case("T1", "unanswered UDP lives two minutes")
def udp_unanswered(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server, port, 53))
    lives(t, "udp", 120)


@case("T1", "answered UDP lives five minutes")
def udp_answered(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server, port, 53))
    t.back(f.udp(f.server, f.edge_out, 53, port))
    t.out(f.udp(f.client, f.server, port, 53))
    lives(t, "udp", 300 if t.xfwd else 120)


@case("T1", "a packet from inside refreshes it")
def udp_refreshed(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.udp(f.client, f.server, port, 53))
    t.back(f.udp(f.server, f.edge_out, 53, port))
    before = left(t, "udp")
    t.until("the flow has aged", lambda: left(t, "udp") < before - 30)
    aged = left(t, "udp")
    t.out(f.udp(f.client, f.server, port, 53))
    t.check(left(t, "udp") > aged, "it was not refreshed")


@case("T1", "then it ends: nothing comes in any more")
def udp_ends(t):
    f, port = t.f, t.port()
    t.masquerade(sets=("timeout udp 1s", "timeout unanswered 1s"))
    t.out(f.udp(f.client, f.server, port, 53))
    t.back(f.udp(f.server, f.edge_out, 53, port))
    t.all_flows_end()
    t.blocked(t.server, f.udp(f.server, f.edge_out, 53, port), t.client)


@case("T2", "opening: four minutes; established: 2 h 4 min")
def tcp_lives(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.tcp(f.client, f.server, port, 80))
    lives(t, "tcp", 240)
    t.back(f.tcp(f.server, f.edge_out, 80, port, "SA", seq=7000, ack=1001))
    lives(t, "tcp", 240)
    t.out(f.tcp(f.client, f.server, port, 80, "A", seq=1001, ack=7001))
    lives(t, "tcp", 7440)


@case("T2", "closed by both sides: four minutes")
def tcp_closing(t):
    f, port = t.f, t.port()
    t.masquerade()
    handshake(t, port)
    t.out(f.tcp(f.client, f.server, port, 80, "FA", seq=1001, ack=7001))
    t.back(f.tcp(f.server, f.edge_out, 80, port, "FA", seq=7001, ack=1002))
    t.out(f.tcp(f.client, f.server, port, 80, "A", seq=1002, ack=7002))
    lives(t, "tcp", 240, at_most=300)


@case("T2", "RST from inside is translated; four minutes left")
def reset_out(t):
    f, port = t.f, t.port()
    t.masquerade()
    handshake(t, port)
    t.out(f.tcp(f.client, f.server, port, 80, "R", seq=1001))
    lives(t, "tcp", 240, at_most=300)
    # What was on its way is still translated.
    t.back(f.tcp(f.server, f.edge_out, 80, port, "PA", b"late", seq=7001, ack=1001))


@case("T2", "RST from outside is translated; four minutes left")
def reset_in(t):
    f, port = t.f, t.port()
    t.masquerade()
    handshake(t, port)
    t.back(f.tcp(f.server, f.edge_out, 80, port, "RA", seq=7001, ack=1001))
    lives(t, "tcp", 240, at_most=300)
    t.out(f.tcp(f.client, f.server, port, 80, "A", seq=1001, ack=7001))


@case("T2", "RST about a connection through dnat is translated both ways")
def reset_dnat(t):
    f, port = t.f, t.port()
    t.load(f"dnat in eth0 tcp to {f.at(f.edge_out, 80)} -> {f.at(f.client, 8080)}")
    t.forward(t.server, f.tcp(f.server, f.edge_out, port, 80), t.client, dst=f.client, dport=8080)
    t.forward(t.client, f.tcp(f.client, f.server, 8080, port, "RA", seq=0, ack=1001), t.server,
              src=f.edge_out, sport=80)


@case("T3", "an echo's identifier lives one minute")
def icmp_lives(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.echo(f.client, f.server, port))
    lives(t, "icmpv6" if f.is6 else "icmp", 60)
    t.back(f.echo(f.server, f.edge_out, port, reply=True))
    lives(t, "icmpv6" if f.is6 else "icmp", 60)


@case("S1", "simultaneous open")
def simultaneous_open(t):
    f, port = t.f, t.port()
    t.masquerade()
    t.out(f.tcp(f.client, f.server, port, 80))
    t.back(f.tcp(f.server, f.edge_out, 80, port, "S", seq=7000))
    t.out(f.tcp(f.client, f.server, port, 80, "SA", seq=1000, ack=7001))
    t.back(f.tcp(f.server, f.edge_out, 80, port, "SA", seq=7000, ack=1001))
    data(t, port)
    lives(t, "tcp", 7440)


@case("S1", "a repeated SYN, and a repeated answer to it")
def repeated_syn(t):
    f, port = t.f, t.port()
    t.masquerade()
    outside = ports(t.out(f.tcp(f.client2, f.server, port, 80), t.client2, sport=ANY))[0]
    mapped = ports(t.out(f.tcp(f.client, f.server, port, 80), sport=ANY))[0]
    t.check(mapped != outside, "two hosts have one port")
    for _ in range(3):
        t.out(f.tcp(f.client, f.server, port, 80), sport=mapped)
    for _ in range(3):
        t.back(f.tcp(f.server, f.edge_out, 80, mapped, "SA", seq=7000, ack=1001), dport=port)
    t.check(len(t.flows("proto", "tcp")) == 2, f"two flows wanted: {t.flows()}")


@case("S1", "half close: the other side goes on, as long as it likes")
def half_close(t):
    f, port = t.f, t.port()
    t.masquerade()
    handshake(t, port)
    t.out(f.tcp(f.client, f.server, port, 80, "FA", seq=1001, ack=7001))
    for number in range(3):
        t.back(f.tcp(f.server, f.edge_out, 80, port, "PA", b"more", seq=7001 + 4 * number,
                     ack=1002))
        t.out(f.tcp(f.client, f.server, port, 80, "A", seq=1002, ack=7005 + 4 * number))
    lives(t, "tcp", 7440 if t.xfwd else 60)


@case("S1", "the same connection again, after FIN and after RST")
def reopened(t):
    f, port = t.f, t.port()
    t.masquerade()
    handshake(t, port)
    t.out(f.tcp(f.client, f.server, port, 80, "FA", seq=1001, ack=7001))
    t.back(f.tcp(f.server, f.edge_out, 80, port, "FA", seq=7001, ack=1002))
    t.out(f.tcp(f.client, f.server, port, 80, "A", seq=1002, ack=7002))
    handshake(t, port, first=500000)
    data(t, port, first=500001)
    lives(t, "tcp", 7440)
    t.out(f.tcp(f.client, f.server, port, 80, "R", seq=500009))
    handshake(t, port, first=900000)
    data(t, port, first=900001)
    lives(t, "tcp", 7440)


@case("S2", "an RST that is out of window ends nothing")
def forged_reset(t):
    f, port = t.f, t.port()
    t.masquerade()
    handshake(t, port)
    data(t, port)
    t.exchange(t.server, f.tcp(f.server, f.edge_out, 80, port, "R", seq=2000000000))
    t.out(f.tcp(f.client, f.server, port, 80, "PA", b"question", seq=1009, ack=7007))
    t.back(f.tcp(f.server, f.edge_out, 80, port, "PA", b"answer", seq=7007, ack=1017))
    t.out(f.tcp(f.client, f.server, port, 80, "A", seq=1017, ack=7013))
    lives(t, "tcp", 7440)


@case("S3", "a SYN to a port that is mapped, from a stranger: silence")
def stranger(t):
    f, port = t.f, t.port()
    t.masquerade()
    handshake(t, port)
    t.silent(t.server2, f.tcp(f.server2, f.edge_out, 4444, port))
    t.silent(t.server, f.tcp(f.server, f.edge_out, 4444, port))
    data(t, port)


@case("S3", "a SYN to an address of the pool: silence, mapped or not")
def stranger_to_pool(t):
    f, port = t.f, t.port()
    t.load(f"snat out eth0 from {f.innet} -> {f.pool1}")
    t.net.neighbour(t.server.link, f.pool1, t.router.mac)  # would show that it is passed on
    t.silent(t.server, f.tcp(f.server, f.pool1, 4444, port))
    t.forward(t.client, f.tcp(f.client, f.server, port, 80), t.server, src=f.pool1)
    t.silent(t.server2, f.tcp(f.server2, f.pool1, 4444, port))
