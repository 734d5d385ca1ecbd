# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of the table, and the list that every case enters itself into.

A row: its id, what is expected, and what Linux netfilter (nft, kernel 6.18, default settings) was
measured to do.
"""

ROWS = {
    "M1": ("one inside address and port has one outside, whatever it sends to "
           "(RFC 4787 R1, 5382 R1)", "only while no clash"),
    "M2": ("two inside hosts never share one outside address and port (RFC 4787 R3, 5382 R7)",
           "fails"),
    "M3": ("a host keeps its address of a pool (RFC 4787 R2, 6888 R2)",
           "when asked to (`persistent`)"),
    "M4": ("ports below 1024 stay there, parity is kept, and the port itself while it is free "
           "(RFC 4787 R3a, R4)", "partly"),
    "M5": ("a new port cannot be guessed, and is not used again at once (RFC 6888 R8, R15)", "no"),
    "F1": ("who may send to a mapping: address-and-port-, address-dependent, "
           "endpoint-independent filtering (RFC 4787 R8)", "first only"),
    "T1": ("UDP lives 120 s or more, refreshed from inside (RFC 4787 R5, R6)", "unreplied 30 s"),
    "T2": ("TCP lives 2 h 4 min established, 4 min opening and closing; RST is translated "
           "(RFC 5382 R5, 7857 2.2)", "syn 120 s, RST 10 s"),
    "T3": ("ICMP queries live 60 s or more (RFC 5508 R2)", "30 s"),
    "S1": ("simultaneous open, repeated SYN, half close, the same connection again (RFC 5382 R2)",
           "partly"),
    "S2": ("an RST that is out of window ends nothing", "yes"),
    "S3": ("a SYN from outside that nobody asked for is met with silence (RFC 5382 R4)", "RST"),
    "H1": ("hairpin: inside hosts reach each other by their outside addresses, and see them "
           "(RFC 4787 R9a, 5382 R8, 5508 R7)", "with a rule"),
    "I1": ("ICMP errors are translated, outside and within, both ways (RFC 5508 R3-R5)", "yes"),
    "I2": ("an ICMP error that is broken or about nothing known is dropped, and none changes a "
           "mapping (RFC 4787 R12, 5508 R6)", "from outside; lets unknown ones out"),
    "I3": ("two hosts with one echo identifier get two, and each its own replies", "yes"),
    "W1": ("several ways ahead: what leaves by one has its address, also when the route changes; a "
           "source may come by any of them", "yes; at a change, one packet is lost"),
    "P1": ("DF and a smaller MTU ahead: an error with that MTU (RFC 4787 R13)", "yes"),
    "P2": ("no DF: fragmented, and every fragment translated", "yes"),
    "P3": ("fragments in and out of order are translated, and a flood of them is bounded "
           "(RFC 4787 R14)", "yes; after a flood, none for 30 s"),
    "C1": ("UDP without a checksum stays so, a checksum of 0 is sent as 0xffff, a received 0xffff "
           "is valid", "yes"),
    "C2": ("the IPv4 header's checksum is never 0xffff (RFC 1624)", "yes"),
    "C3": ("a wrong checksum is neither repaired nor let out with the inside source",
           "leaks the inside source"),
    "L1": ("one hop less, once; at 1: time exceeded, and no inside address is shown", "yes"),
    "L2": ("DSCP, ECN, DF, id, IPv4 options, padding survive", "yes"),
    "X1": ("no port left: those that have one work, the others are dropped and counted", "yes"),
    "X2": ("malformed packets and martian sources are dropped and counted, none leaves untranslated",
           "forwards bad L4 untranslated"),
    "X3": ("limits for each source: flows, and new flows a second (RFC 6888 R4, R5)",
           "none by default"),
    "X4": ("nobody takes over the services and connections of the router itself", "vulnerable"),
    "R1": ("first packets of one connection on all CPUs at once make one mapping",
           "yes; two with `random`"),
    "R2": ("destinations can be exempted (RFC 6888 R6)", "yes"),
    "G1": ("bulk TCP with checksum and segmentation offload, MTU 1500 and 9000: correct, and fast",
           "yes"),
    "V1": ("VLAN and QinQ frames are translated where a rule names the VLAN, and pass unharmed "
           "elsewhere", "yes"),
    "6x": ("IPv6: never fragmented here, extension headers, no UDP without a checksum", "mostly"),
    "K1": ("SCTP: ports, and a right CRC32c", "yes"),
}

ALL = []


class Failure(Exception):
    """What was expected did not happen."""


class Skip(Exception):
    """What the case needs is not there."""


class Case:
    def __init__(self, row, title, families, function):
        self.row, self.title, self.families, self.function = row, title, families, function


def case(row, title, families=(4, 6)):
    """Enters a function into the list."""
    assert row in ROWS, row

    def enter(function):
        ALL.append(Case(row, title, families, function))
        return function

    return enter
