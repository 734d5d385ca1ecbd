# SPDX-License-Identifier: GPL-2.0-or-later
"""What translates on the edge: xfwd, or, to see how the kernel's own NAT behaves, nft."""
import json
import os
import re
import socket
import struct

from net import Inside, run

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
XFWD = os.environ.get("XFWD", os.path.join(TOP, "build/xfwd"))
NETLINK_NETFILTER = 12
INTERFACES = ("eth0", "eth1", "eth2")


class XfwdEdge:
    against = "xfwd"
    interfaces = INTERFACES

    def __init__(self, namespace, mode):
        self.namespace, self.mode = namespace, mode

    def command(self, *words, **options):
        return run(XFWD, "-q", "-n", self.namespace, *words, **options)

    def load(self, rules, sets=(), interfaces=(), nft=None):
        """Makes these the only rules, and leaves no connection of the case before."""
        del nft
        lines = [f"set {text}" for text in sets]
        lines += [f"interface {name} {{ mode {self.mode} }}" for name in self.interfaces]
        lines += interfaces
        self.command("apply", "-", stdin=None, input="\n".join([*lines, *rules, ""]))
        self.command("flows", "delete")
        self.before = self.counters()

    def counters(self):
        total = {}
        for hook in json.loads(self.command("-j", "stats"))["stats"].values():
            for name, value in hook.items():
                total[name] = total.get(name, 0) + value["packets"]
        return total

    def counted(self):
        """Packets by what became of them, since the rules were loaded."""
        return {name: value - self.before.get(name, 0)
                for name, value in self.counters().items() if value != self.before.get(name, 0)}

    def xdp_forwarded(self):
        hooks = json.loads(self.command("-j", "stats"))["stats"]
        return hooks["xdp_ingress"]["forwarded"]["packets"]

    def flows(self, *filters):
        return json.loads(self.command("-j", "flows", *map(str, filters)))["flows"]

    def let_flows_end(self):
        """By themselves."""

    def close(self):
        if os.path.exists(f"/sys/fs/bpf/xfwd/netns/{self.namespace}"):
            self.command("down")


HOOKS = {"prerouting": "nat hook prerouting priority dstnat",
         "postrouting": "nat hook postrouting priority srcnat",
         "mangle": "filter hook forward priority mangle"}
SELECTOR = re.compile(
    r"(?P<action>dnat|redirect|accept|drop|snat|masquerade|static)"
    r"(?: (?P<stage>in|out) (?P<interface>\S+))?(?: (?P<family>ipv4|ipv6))?"
    r"(?: (?P<proto>(?:tcp|udp|sctp|icmp)(?:,[a-z]+)*))?(?: from (?P<src>\S+))?(?: to (?P<dst>\S+))?"
    r"(?: -> (?P<target>\S+))?(?P<options>(?: .*)?)$")
TIMEOUTS = {"udp": "udp_timeout_stream", "unanswered": "udp_timeout", "icmp": "icmp_timeout",
            "tcp": "tcp_timeout_established", "tcp-opening": "tcp_timeout_syn_sent",
            "tcp-closing": "tcp_timeout_close"}


class NftEdge:
    """The same rules in nft's words, as far as it has them."""
    against = "nft"
    interfaces = INTERFACES

    def __init__(self, namespace, _):
        self.namespace = namespace
        self.defaults = {name: self.timeout(name) for name in TIMEOUTS.values()}

    def timeout(self, name, value=None):
        name = f"net/netfilter/nf_conntrack_{name}"
        command = f"{name}={value}" if value else name
        return run("ip", "netns", "exec", self.namespace, "sysctl", "-n", command).strip()

    def load(self, rules, sets=(), interfaces=(), nft=None):
        del interfaces
        for name, value in self.defaults.items():
            self.timeout(name, value)
        for text in sets:
            if match := re.match(r"timeout (\S+) (\d+)s", text):
                self.timeout(TIMEOUTS[match[1]], match[2])
        chains = {"prerouting": [], "postrouting": [], "mangle": []}
        for rule in rules if nft is None else nft:
            chain, text = self.translate(rule) if nft is None else rule.split(" ", 1)
            chains[chain].append(text)
        script = "table inet nat\ndelete table inet nat\ntable inet nat {\n"
        for chain, texts in chains.items():
            script += f"chain {chain} {{ type {HOOKS[chain]};\n"
            script += "\n".join(texts) + "\n}\n"
        run("ip", "netns", "exec", self.namespace, "nft", "-f", "-", stdin=None,
            input=script + "}\n")
        flush_conntrack(self.namespace)

    def translate(self, rule):
        word = SELECTOR.match(rule)
        if not word:
            raise ValueError(f"no nft for: {rule}")
        out = word["action"] in ("snat", "masquerade") or word["stage"] == "out"
        parts = [f"{'oif' if out else 'iif'}name {word['interface']}"] if word["interface"] else []
        ends = f"{word['src']} {word['dst']} {word['target']}"
        six = word["family"] == "ipv6" or "[" in ends or ends.count(":") > 2
        ip = "ip6" if six else "ip"
        if word["action"] == "masquerade" or word["family"]:
            parts.append(f"meta nfproto ipv{6 if six else 4}")
        if word["proto"]:
            names = word["proto"].replace("icmp", "ipv6-icmp" if six else "icmp")
            parts.append(f"meta l4proto {{ {names} }}")
        for end, name in ((word["src"], "s"), (word["dst"], "d")):
            address, port = split(end)
            parts += [f"{ip} {name}addr {address}"] if address else []
            parts += [f"th {name}port {port}"] if port else []
        address, port = split(word["target"])
        target = ("" if not address else f"[{address}]" if six and port else address) + \
            (f":{port}" if port else "")
        random = " random" if "random" in word["options"] else ""
        parts.append({"accept": "accept", "drop": "drop", "masquerade": f"masquerade{random}",
                      "redirect": f"redirect to {target}", "dnat": f"dnat {ip} to {target}",
                      "snat": f"snat {ip} to {target}{random}"}[word["action"]])
        return "postrouting" if out else "prerouting", " ".join(parts)

    def counted(self):
        return None

    def flows(self, *filters):
        """Of conntrack; the only filter is `proto`."""
        with Inside(self.namespace), open("/proc/thread-self/net/nf_conntrack") as file:
            lines = file.read().splitlines()
        found = []
        for line in lines:
            words = line.split()
            if filters and words[2] != filters[1]:
                continue
            state = words[5].lower() if "=" not in words[5] else \
                "unanswered" if "[UNREPLIED]" in line else "answered"
            found.append({"proto": words[2], "state": state, "expires_ms": int(words[4]) * 1000})
        return found

    def let_flows_end(self):
        flush_conntrack(self.namespace)

    def close(self):
        pass


def flush_conntrack(namespace):
    with Inside(namespace):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    with sock:  # IPCTNL_MSG_CT_DELETE of every flow; NLM_F_REQUEST | NLM_F_ACK
        sock.send(struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 5, 1, 0, 0, 0, 0))
        error = struct.unpack_from("=i", sock.recv(4096), 16)[0]
    if error:
        raise OSError(-error, "cannot flush conntrack")


def split(end):
    """Address and port of one end in a rule's words."""
    if not end:
        return None, None
    if end.startswith("["):
        address, _, port = end[1:].partition("]")
        return address, port[1:] or None
    if end.count(":") > 1:
        return end, None
    address, _, port = end.partition(":")
    return address or None, port or None
