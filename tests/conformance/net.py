# SPDX-License-Identifier: GPL-2.0-or-later
"""The topology of the conformance tests: three network namespaces and raw sockets in them.

	 outside ───── eth0 ┐
	                    edge ─ eth1 ───── inside
	 narrow  ───── eth2 ┘
	 (MTU 1280)

Only the edge has a network stack to speak of. The others have no addresses: every host there is
a MAC address of ours, for which the tests send and receive whole frames. Nothing answers unasked.
"""
import ctypes
import fcntl
import functools
import os
import select
import socket
import struct
import subprocess
import time

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 0x10, 0x40
FENCE = 0x88B5  # IEEE 802 local experimental ethertype 1
SLOWER = int(os.environ.get("XFWD_TEST_SLOWER", 1))  # than a real machine, where it is emulated
PATIENCE = 5 * SLOWER  # seconds until a frame that nothing can hold up counts as lost
NARROW_MTU = 1280  # the least for IPv6

libc = ctypes.CDLL(None, use_errno=True)


def run(*words, **options):
    """Runs a command; what it printed is in the exception when it fails."""
    done = subprocess.run(words, stdin=options.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


class Inside:
    """Within this, the thread is in another network namespace."""

    def __init__(self, namespace):
        self.namespace = namespace

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        enter(there)
        os.close(there)

    def __exit__(self, *_):
        enter(self.home)
        os.close(self.home)


def enter(descriptor):
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def sysctl(namespace, **settings):
    """Under net, with __ for each slash of a name."""
    words = [f"net/{name.replace('__', '/')}={value}" for name, value in settings.items()]
    run("ip", "netns", "exec", namespace, "sysctl", "-qw", *words)


class Link:
    """A wire of the edge: our end of it, and a socket on the edge's own."""

    def __init__(self, edge, far, interface):
        self.edge, self.far, self.interface = edge, far, interface
        sysctl(far, ipv6__conf__default__disable_ipv6=1, ipv4__ip_forward=0)
        run("ip", "-n", edge, "link", "add", interface, "type", "veth",
            "peer", "name", "eth0", "netns", far)
        for namespace, name in ((edge, interface), (far, "eth0")):
            run("ip", "netns", "exec", namespace, "ethtool", "-K", name,
                "tx", "off", "gso", "off", "gro", "off")
            run("ip", "-n", namespace, "link", "set", name, "up")
        # All neighbours are known from the start: an unknown one is given up at once, not in 3 s.
        sysctl(edge, **{f"ipv{n}__neigh__{interface}__mcast_solicit": 0 for n in (4, 6)})
        self.edge_mac = self.mac_of(edge, interface)
        self.xdp = pass_all(far)
        self.socket = packet_socket(far, "eth0", 0x0003)
        self.fence = packet_socket(edge, interface, FENCE)

    @staticmethod
    def mac_of(namespace, interface):
        with Inside(namespace):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        name = struct.pack("256s", interface.encode())
        with sock:  # 0x8927: SIOCGIFHWADDR
            return ":".join(f"{b:02x}" for b in fcntl.ioctl(sock, 0x8927, name)[18:24])

    def send(self, frame):
        self.socket.send(bytes(frame))

    def close(self):
        self.socket.close()
        self.fence.close()
        os.close(self.xdp)


def packet_socket(namespace, interface, protocol):
    with Inside(namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
        sock.bind((interface, protocol))
    sock.setblocking(False)
    return sock


@functools.cache
def veths_tell():
    """Does this kernel tell which devices take redirected frames? Before Linux 6.3 none does, and
    XDP leaves what goes to a veth to tc."""
    return subprocess.run(["genl", "ctrl", "get", "name", "netdev"], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def pass_all(namespace):
    """XDP_PASS at our end of a wire: a veth takes frames that XDP redirects only if its peer has
    a program. GRO would do, too, but merges segments."""
    program = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0))
    name = ctypes.create_string_buffer(b"GPL")
    load = struct.pack("=IIQQIIQII", 6, 2, ctypes.addressof(program), ctypes.addressof(name),
                       0, 0, 0, 0, 0)
    with Inside(namespace):
        fd = bpf(5, load)  # BPF_PROG_LOAD, of type XDP
        link = bpf(28, struct.pack("=IIII", fd, socket.if_nametoindex("eth0"), 37, 0))
    os.close(fd)
    return link


def bpf(command, attr):
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    buffer = ctypes.create_string_buffer(attr, 128)
    result = libc.syscall(number, command, buffer, len(attr))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result


def receive(sock):
    """One frame, with the VLAN tag that the kernel took out of it; None when there is none."""
    try:
        data, control, _, _ = sock.recvmsg(65536, 256)
    except BlockingIOError:
        return None
    for level, kind, value in control:
        if (level, kind) != (SOL_PACKET, PACKET_AUXDATA):
            continue
        status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value)
        if status & TP_STATUS_VLAN_VALID:
            tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
            data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


class Frame:
    """A frame that came out of the edge."""

    def __init__(self, link, data):
        self.link, self.data = link, data
        self.ether = Ether(data)

    def layer3(self):
        return layer3(self.data)

    def __str__(self):
        return f"on {self.link.far.rpartition('-')[2]}: {self.ether.summary()} {self.data.hex()}"


def is_chatter(data):
    """Neighbour discovery, redirects and multicast listener reports of the edge itself, ARP; also
    those of its VLAN interfaces."""
    while data[12:14] in (b"\x81\x00", b"\x88\xa8"):
        data = data[:12] + data[16:]
    kind = data[12:14]
    if kind == b"\x86\xdd" and len(data) > 54:
        at = 54 + (8 if data[20] == 0 else 0)  # hop-by-hop options before a listener report
        icmp = data[20] == 58 or (data[20] == 0 and data[54] == 58)
        return icmp and (at >= len(data) or data[at] in (130, 131, 132, 133, 134, 135, 136, 137, 143))
    return kind == b"\x08\x06"


class Network:
    """The edge with its wires. `settle` returns all that came out since it was last called."""

    def __init__(self, prefix):
        self.prefix, self.edge = prefix, f"{prefix}-edge"
        self.links, self.namespaces, self.number = [], [], 0
        self.ports_seen = set()
        self.namespace(self.edge)
        run("ip", "-n", self.edge, "link", "set", "lo", "up")
        sysctl(self.edge, ipv4__ip_forward=1, ipv6__conf__all__forwarding=1,
               ipv6__conf__default__forwarding=1, ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0,
               ipv4__conf__all__send_redirects=0,
               ipv4__conf__default__send_redirects=0, ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0, ipv4__icmp_msgs_per_sec=1000000,
               ipv6__conf__default__accept_dad=0, ipv6__conf__default__router_solicitations=0,
               ipv6__conf__default__accept_ra=0)

    def namespace(self, name):
        run("ip", "netns", "add", name)
        self.namespaces.append(name)

    def link(self, name, interface, *addresses):
        self.namespace(f"{self.prefix}-{name}")
        link = Link(self.edge, f"{self.prefix}-{name}", interface)
        self.links.append(link)
        for address in addresses:
            extra = ["nodad"] if ":" in address else []
            run("ip", "-n", self.edge, "address", "add", address, "dev", interface, *extra)
        return link

    def neighbour(self, link, address, mac):
        run("ip", "-n", self.edge, "neigh", "replace", address, "lladdr", mac,
            "dev", link.interface, "nud", "permanent")

    def settle(self):
        """The process is on one CPU, on which frames are forwarded in the order they were sent in,
        each to its end before the next. So behind a last frame, there and back, nothing can come."""
        self.number += 1
        mark = struct.pack("!Q", self.number)
        for link in self.links:
            link.send(ether(link.edge_mac, "02:00:00:00:00:01", FENCE) + mark.ljust(46, b"\0"))
        for link in self.links:
            self.wait(link.fence, mark)
        for link in self.links:
            link.fence.send(ether("02:00:00:00:00:01", link.edge_mac, FENCE)
                            + mark.ljust(46, b"\0"))
        return [frame for link in self.links for frame in self.wait(link.socket, mark, link)]

    def wait(self, sock, mark, link=None):
        frames, end = [], time.monotonic() + PATIENCE
        while True:
            data = receive(sock)
            if data is None:
                if not select.select([sock], [], [], max(0, end - time.monotonic()))[0]:
                    raise RuntimeError(f"a frame that closes a measurement was lost ({link and link.far})")
            elif data[12:14] == struct.pack("!H", FENCE):
                if data[14:22] == mark:
                    return frames
            elif link and not is_chatter(data):
                frames.append(Frame(link, data))
                self.ports_seen.update(ports_of(data))

    def close(self):
        for link in self.links:
            link.close()
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], check=False)


def ports_of(data):
    """What may be the ports, or an echo's identifier, of a frame without options or tags."""
    at = 54 if data[12] == 0x86 else 34
    return struct.unpack(f"!{min(3, max(0, len(data) - at) // 2)}H", data[at:at + 6])


def ether(dst, src, kind):
    return bytes.fromhex((dst + src).replace(":", "")) + struct.pack("!H", kind)


def layer3(frame):
    """The IP packet of a frame's bytes, without the padding of Ethernet."""
    data = frame[14:]
    if frame[12:14] == b"\x08\x00":
        return IP(data[:struct.unpack_from("!H", data, 2)[0]])
    return IPv6(data[:40 + struct.unpack_from("!H", data, 4)[0]])
