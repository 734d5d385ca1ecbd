# SPDX-License-Identifier: GPL-2.0-or-later
"""Mappings and who may use them: M, F."""
from cases import case
from packets import ANY, ports


@case("M1", "one outside port towards every destination")
def one_port_for_all(t):
    f = t.f
    t.masquerade()
    # Another host has the port already, so that the mapping has to be remembered.
    t.out(f.udp(f.client2, f.server, 5000, 53), sender=t.client2, sport=5000)
    seen = set()
    for host, address, port in ((t.server, f.server, 53), (t.server, f.server, 54),
                                (t.server2, f.server2, 53), (t.far, f.far, 4000)):
        got = t.out(f.udp(f.client, address, 5000, port), receiver=host, sport=ANY)
        seen.add(ports(got)[0])
    t.check(len(seen) == 1, f"ports seen outside: {sorted(seen)}")


@case("F1", "by default, only whom the inside host sent to may answer, from that port")
def filtering_default(t):
    f = t.f
    t.masquerade()
    t.out(f.udp(f.client, f.server, 5001, 53), sport=5001)
    t.forward(t.server, f.udp(f.server, f.edge_out, 53, 5001), t.client, dst=f.client)
    t.exchange(t.server, f.udp(f.server, f.edge_out, 54, 5001))
    for host, address, port in ((t.server, f.server, 54), (t.server2, f.server2, 53)):
        frames = t.exchange(host, f.udp(address, f.edge_out, port, 5001))
        t.check(not [x for x in frames if x.link is t.client.link], "it came through", *frames)
