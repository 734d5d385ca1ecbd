# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to forward that are compared: each sets up an edge and says how frames are counted there.

RULES port forwards: of public port 16384 + i % 16384 on public address i / 16384, to the target
of the same number at port 40960 + i % 16384; and a masquerade behind 10.0.0.1. "One rule" is one
rule with a range of 64 ports where the peer has such ranges, else 64 rules.
"""
import functools
import os
import re
import shutil
import subprocess
import tempfile

from hosts import BenchError

ONE_RULE = 64  # ports
PER_ADDRESS = 16384
TCP_PORT = 5201


def rule_ports(rules):
    """Public address and port, target address and port of every forwarded port."""
    for i in range(max(rules, ONE_RULE)):
        at, port = divmod(i, PER_ADDRESS)
        yield f"198.51.100.{1 + at}", 16384 + port, f"10.0.0.{2 + at}", 40960 + port


def rules_for(flows):
    """Forwarded ports that so many flows need so that each may keep its source port."""
    return max(ONE_RULE, 1 << ((flows - 1) // PER_ADDRESS).bit_length())


def table_size(flows):
    """`set flows` for a measurement with so many."""
    return max(flows, 1000000) if flows > 50000 else 131072


class Peer:
    """Nothing forwards: the frames reach the edge's eth0 and end there."""
    name = "nothing"
    kind = "translated"
    counter = "xdp"
    forward = "none"
    gro = True
    serves_at = "server"  # where the TCP rows' service is
    conntrack = False
    needs = ()

    def missing(self):
        return [n for n in self.needs if not find(n)]

    def set_up(self, hosts, rules, flows=1000):
        """Ready for the generator's UDP frames."""
        if self.gro:
            hosts.gro()

    def check(self, hosts, flows):
        """After the measurement: that it forwarded by what it is named for."""

    def set_up_tcp(self, hosts):
        """TCP to port 5201 of the edge goes to the server's."""

    def frames(self, hosts, rules, flows, size=60, **more):
        return hosts.frames(flows=flows, rules=max(rules, ONE_RULE), size=size, kind=self.kind,
                            count=self.counter, forward=self.forward, **more)


class Generator(Peer):
    """Nothing but the generator: counted where the edge would begin."""
    name = "generator"
    kind = "routed"
    gro = False

    def frames(self, hosts, rules, flows, size=60, **more):
        hosts.server, server = hosts.edge, hosts.server
        try:
            return super().frames(hosts, rules, flows, size, **more)
        finally:
            hosts.server = server


class Ceiling(Peer):
    name = "ceiling"
    forward = "static"
    gro = False


class Lookup(Peer):
    """The ceiling, with one lookup in a table of xfwd's size: what memory costs."""
    name = "one lookup"
    forward = "lookup"
    gro = False

    def frames(self, hosts, rules, flows, size=60, **more):
        return super().frames(hosts, rules, flows, size, table=table_size(flows), **more)


class Direct(Peer):
    """No edge at all: the service is where the client's link ends, and nothing is forwarded."""
    name = "no edge"
    serves_at = "edge"


class Routing(Peer):
    name = "routing"
    kind = "routed"
    address = "10.0.0.2"


class Xfwd(Peer):
    settings = ""

    def __init__(self, mode, service=True, mapping="endpoint-dependent"):
        self.mode = mode
        self.service = service
        self.mapping = mapping  # as the kernel's, but in a row of its own: one address has room
        self.name = f"xfwd {mode}" if service else f"xfwd {mode} alone"
        if mapping != "endpoint-dependent":
            self.name = "xfwd mappings"
        self.gro = mode in ("tc", "auto")

    def configuration(self, rules, flows):
        lines = [f"set flows {flows}", "set timeout unanswered 2h", "set timeout udp 2h"]
        lines += [f"interface {i} {{ mode {self.mode} }}" for i in ("eth0", "eth1")]
        if rules == 1:
            lines.append("dnat in eth0 udp to 198.51.100.1:16384-16447 -> 10.0.0.2:40960-41023")
        else:
            lines += [f"dnat in eth0 udp to {a}:{p} -> {t}:{q}" for a, p, t, q in rule_ports(rules)]
        return "\n".join(lines + [f"masquerade out eth1 to 10.0.0.0/24 mapping {self.mapping}", ""])

    def set_up(self, hosts, rules, flows=1000):
        super().set_up(hosts, rules)
        self.load(hosts, self.configuration(rules, table_size(flows)))

    def load(self, hosts, configuration):
        if self.service:
            hosts.service(configuration)
        else:
            hosts.command("apply", "-", input=configuration)

    def set_up_tcp(self, hosts):
        self.load(hosts, "\n".join(
            [f"interface {i} {{ mode {self.mode} }}" for i in ("eth0", "eth1")] +
            ["dnat in eth0 tcp to 198.51.100.1:5201 -> 10.0.0.2:5201",
             "masquerade out eth1 to 10.0.0.2", ""]))


MASQUERADE = """ chain out { type nat hook postrouting priority srcnat;
  oifname eth1 ip daddr 10.0.0.0/24 masquerade
 }"""


class Nft(Peer):
    conntrack = True
    needs = ("nft",)

    def __init__(self, plain=False):
        self.plain = plain
        self.name = "nft plain" if plain else "nft map"

    def rules_text(self, protocol, ports):
        yield "table ip nat {"
        if not self.plain:
            yield " map forwards { type ipv4_addr . inet_service : ipv4_addr . inet_service;"
            yield "  elements = { " + ", ".join(f"{a} . {p} : {t} . {q}" for a, p, t, q in ports) + " }"
            yield " }"
        yield " chain in { type nat hook prerouting priority dstnat;"
        if self.plain:
            for a, p, t, q in ports:
                yield f"  iifname eth0 ip daddr {a} {protocol} dport {p} dnat to {t}:{q}"
        else:
            yield f"  iifname eth0 dnat ip to ip daddr . {protocol} dport map @forwards"
        yield " }"
        yield MASQUERADE
        yield "}"

    def set_up(self, hosts, rules, flows=1000):
        super().set_up(hosts, rules)
        hosts.in_ns(hosts.edge, ["nft", "-f", "-"],
                    input="\n".join(self.rules_text("udp", list(rule_ports(rules)))))
        hosts.conntrack_patience()

    def set_up_tcp(self, hosts):
        hosts.in_ns(hosts.edge, ["nft", "-f", "-"], input="\n".join(
            self.rules_text("tcp", [("198.51.100.1", 5201, "10.0.0.2", 5201)])))


class Flowtable(Nft):
    """The nft map, but what conntrack has seen before goes past the stack."""

    def __init__(self):
        super().__init__()
        self.name = "nft flowtable"

    def missing(self):
        probe = "\n".join(self.shortcut_text("lo"))
        return super().missing() or ([] if works("nft -c -f -", probe) else
                                     ["flowtables in this kernel"])

    def shortcut_text(self, devices):
        yield "table ip shortcut {"
        yield f" flowtable known {{ hook ingress priority filter; devices = {{ {devices} }}; }}"
        yield " chain forward { type filter hook forward priority filter;"
        yield "  counter flow add @known"
        yield " }"
        yield "}"

    def rules_text(self, protocol, ports):
        yield from super().rules_text(protocol, ports)
        yield from self.shortcut_text("eth0, eth1")

    def set_up(self, hosts, rules, flows=1000):
        super().set_up(hosts, rules, flows)
        hosts.sysctl(hosts.edge, "net.netfilter.nf_flowtable_udp_timeout=7200")

    def check(self, hosts, flows):
        """Of each flow one packet makes conntrack's entry, the next one the flowtable's."""
        shown = hosts.in_ns(hosts.edge, ["nft", "list", "chain", "ip", "shortcut", "forward"])
        passed = int(re.search(r"packets (\d+)", shown)[1])
        if passed > 2 * flows:
            raise BenchError(f"{self.name}: {passed} frames of {flows} flows went through the stack")


class Ipvs(Peer):
    """Each port is a service with one server, and netfilter hides the client. Its table of connections
    has the size that the module was loaded with."""
    name = "ipvs"
    conntrack = True
    needs = ("ipvsadm", "nft")

    def missing(self):
        return super().missing() or ([] if works("ipvsadm -L") else ["IPVS in this kernel"])

    def services(self, hosts, kind, ports):
        hosts.in_ns(hosts.edge, ["nft", f"table ip nat {{\n{MASQUERADE}\n}}"])
        hosts.sysctl(hosts.edge, "net.ipv4.vs.conntrack=1")
        hosts.in_ns(hosts.edge, ["ipvsadm", "-R"], input="".join(
            f"-A -{kind} {a}:{p} -s rr\n-a -{kind} {a}:{p} -r {t}:{q} -m\n" for a, p, t, q in ports))

    def set_up(self, hosts, rules, flows=1000):
        super().set_up(hosts, rules)
        self.services(hosts, "u", rule_ports(rules))
        hosts.in_ns(hosts.edge, ["ipvsadm", "--set", "0", "0", "7200"])
        hosts.conntrack_patience()

    def set_up_tcp(self, hosts):
        self.services(hosts, "t", [("198.51.100.1", TCP_PORT, "10.0.0.2", TCP_PORT)])


class Iptables(Peer):
    name = "iptables"
    conntrack = True
    needs = ("iptables-restore",)

    def restore(self, hosts, rules):
        text = "*nat\n" + "\n".join(rules) + "\n-A POSTROUTING -o eth1 -d 10.0.0.0/24 -j MASQUERADE\nCOMMIT\n"
        command = find("iptables-legacy-restore") or "iptables-restore"
        hosts.in_ns(hosts.edge, [command], input=text)

    def set_up(self, hosts, rules, flows=1000):
        super().set_up(hosts, rules)
        start = "-A PREROUTING -i eth0 -p udp"
        if rules == 1:
            lines = [f"{start} -d 198.51.100.1 --dport 16384:16447 -j DNAT "
                     "--to-destination 10.0.0.2:40960-41023/16384"]
        else:
            lines = [f"{start} -d {a} --dport {p} -j DNAT --to-destination {t}:{q}"
                     for a, p, t, q in rule_ports(rules)]
        self.restore(hosts, lines)
        hosts.conntrack_patience()

    def set_up_tcp(self, hosts):
        self.restore(hosts, ["-A PREROUTING -i eth0 -p tcp -d 198.51.100.1 --dport 5201 "
                             "-j DNAT --to-destination 10.0.0.2:5201"])


class Proxy(Peer):
    """Ends each connection and opens another one: TCP only."""

    def run(self, hosts, configuration, *command):
        directory = tempfile.mkdtemp(prefix="xb-", dir="/tmp")
        path = os.path.join(directory, "conf")
        with open(path, "w") as file:
            file.write(configuration.replace("DIR", directory))
        hosts.directories.append(directory)
        hosts.start(hosts.edge, [w.replace("CONF", path) for w in command])
        hosts.wait_listening(hosts.edge, TCP_PORT)


class Nginx(Proxy):
    name = "nginx"
    needs = ("nginx",)
    modules = "/usr/lib/nginx/modules/ngx_stream_module.so"

    def missing(self):
        return super().missing() or ([] if os.path.exists(self.modules) else [self.modules])

    def set_up_tcp(self, hosts):
        self.run(hosts, f"load_module {self.modules};\n"
                 "daemon off; worker_processes 2; pid DIR/pid; error_log stderr crit;\n"
                 "events { worker_connections 4096; }\n"
                 "stream { server { listen 198.51.100.1:5201 backlog=16384 reuseport;\n"
                 "tcp_nodelay on; proxy_pass 10.0.0.2:5201; } }\n",
                 "nginx", "-e", "stderr", "-c", "CONF")


class Haproxy(Proxy):
    name = "haproxy"
    needs = ("haproxy",)

    def set_up_tcp(self, hosts):
        self.run(hosts, "global\n maxconn 4000\n nbthread 2\ndefaults\n mode tcp\n"
                 " timeout connect 5s\n timeout client 1m\n timeout server 1m\n"
                 "listen l\n bind 198.51.100.1:5201 backlog 4096\n server s 10.0.0.2:5201\n",
                 "haproxy", "-db", "-q", "-f", "CONF")


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@functools.cache
def works(command, text=""):
    """Tried in a network namespace of its own: at most the kernel loads its modules for it."""
    return not subprocess.run(["unshare", "--net", *command.split()], input=text, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode


def all_peers():
    peers = [Xfwd("native"), Xfwd("native", service=False), Xfwd("tc"), Xfwd("auto"),
             Xfwd("native", mapping="endpoint-independent"), Generator(), Ceiling(), Lookup(),
             Direct(), Routing(), Nft(), Nft(plain=True), Flowtable(), Ipvs(), Iptables(), Nginx(), Haproxy()]
    return {peer.name: peer for peer in peers}
