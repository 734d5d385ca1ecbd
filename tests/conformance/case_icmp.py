# SPDX-License-Identifier: GPL-2.0-or-later
"""ICMP errors: I."""
from cases import case


@case("I1", "port unreachable from the server about UDP, 8 bytes quoted")
def port_unreachable(t):
    f = t.f
    t.masquerade()
    sent = f.udp(f.client, f.server, 5000, 53)
    seen = t.out(sent)
    t.one(t.exchange(t.server, f.error(f.server, f.edge_out, "port", f.quote(seen, 8))), t.client)
