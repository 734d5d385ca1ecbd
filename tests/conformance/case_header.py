# SPDX-License-Identifier: GPL-2.0-or-later
"""Headers and checksums: C, L."""
from cases import case


@case("L1", "one hop less, once")
def one_hop(t):
    f = t.f
    t.masquerade()
    t.out(f.udp(f.client, f.server, 5000, 53, ttl=2))
    t.forward(t.server, f.udp(f.server, f.edge_out, 53, 5000, ttl=255), t.client, dst=f.client)


@case("C1", "UDP without a checksum stays so", families=(4,))
def udp_checksum_zero(t):
    f = t.f
    t.masquerade()
    packet = f.udp(f.client, f.server, 5000, 53)
    packet["UDP"].chksum = 0
    t.out(packet)
