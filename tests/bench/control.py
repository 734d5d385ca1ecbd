# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about the command and its memory: loading rules, adding one, the first packet, bytes a flow."""
import json
import os
import subprocess
import tempfile
import time

from hosts import PINS, PROGRAMS, BenchError, Hosts, run
from peers import Iptables, Nft, Xfwd, find, rule_ports

MANY = 100000


def took(command, **kwargs):
    began = time.monotonic()
    run(command, **kwargs)
    return time.monotonic() - began


def iptables_text(rules):
    lines = [f"-A PREROUTING -i eth0 -p udp -d {a} --dport {p} -j DNAT --to-destination {t}:{q}"
             for a, p, t, q in rule_ports(rules)]
    return "*nat\n" + "\n".join(lines) + "\nCOMMIT\n"


def load(bench, row, title, rules=MANY):
    """From a file into an edge that has none; then one more rule."""
    one_more = "dnat in eth0 udp to 198.51.100.1:9 -> 10.0.0.2:9"
    times = {"xfwd apply": [], "nft -f (map)": [], "iptables-restore": []}
    adds = {"xfwd add": []}
    with tempfile.TemporaryDirectory(prefix="xb-", dir="/tmp") as directory:
        files = {"xfwd": Xfwd("tc").configuration(rules, 131072),
                 "nft": "\n".join(Nft().rules_text("udp", list(rule_ports(rules)))),
                 "iptables": iptables_text(rules)}
        for name, text in files.items():
            with open(os.path.join(directory, name), "w") as file:
                file.write(text)
        for _ in range(bench.repeats):
            load_each(bench, directory, times, adds, one_more)
    bench.add(row, title, "s", {k: v for k, v in times.items() if v})
    bench.add(f"{row}.add", f"one more rule beside {rules}", "ms", adds)


def load_each(bench, directory, times, adds, one_more):
    with Hosts(bench.xfwd) as hosts:
        xfwd = [bench.xfwd, "-n", hosts.edge]
        times["xfwd apply"].append(took(xfwd + ["apply", f"{directory}/xfwd"]))
        adds["xfwd add"].append(took(xfwd + ["add", one_more]) * 1000)
        if not bench.quick or not (bench.args.ci or times["nft -f (map)"]):
            inside = ["ip", "netns", "exec", hosts.server]
            if not Nft().missing():
                times["nft -f (map)"].append(took(inside + ["nft", "-f", f"{directory}/nft"]))
            if not Iptables().missing():
                command = find("iptables-legacy-restore") or "iptables-restore"
                times["iptables-restore"].append(took(inside + [command, f"{directory}/iptables"]))


# ---- the first packet ----

SENDER = """import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    s.sendto(b'x', ('198.51.100.1', 16384))
    time.sleep(0.0005)
"""
RECEIVER = """import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.0.0.2', 40960))
print('ready', flush=True)
s.recvfrom(100)
print(time.monotonic(), flush=True)
"""


def first_packet(bench, row, title):
    values = {"xfwd add": []}
    for _ in range(bench.repeats):
        with Hosts(bench.xfwd) as hosts:
            values["xfwd add"].append(first_packet_once(hosts))
    bench.add(row, title, "ms", values)


def first_packet_once(hosts):
    """From the start of the command to a packet at the server's socket, sent every half ms."""
    receiver = subprocess.Popen(["ip", "netns", "exec", hosts.server, "/usr/bin/python3", "-c",
                                 RECEIVER], stdout=subprocess.PIPE, text=True)
    hosts.processes.append(receiver)
    receiver.stdout.readline()
    hosts.start(hosts.client, ["/usr/bin/python3", "-c", SENDER])
    time.sleep(0.3)
    if receiver.poll() is not None:
        raise BenchError("a packet arrived before there was a rule")
    began = time.monotonic()
    hosts.command("add", "dnat in eth0 udp to 198.51.100.1:16384 -> 10.0.0.2:40960")
    return (float(receiver.stdout.readline()) - began) * 1000


# ---- memory, and the program alone ----

def memory(bench, row, title, flows=131072):
    """What the kernel says the tables take that grow with `set flows`."""
    def bytes_of(hosts, name):
        shown = run([find("bpftool") or "bpftool", "map", "show", "pinned", f"{PINS}/{hosts.edge}/maps/{name}", "-j"])
        return int(json.loads(shown)["bytes_memlock"])

    with Hosts(bench.xfwd) as hosts:
        Xfwd("tc").set_up(hosts, 1)
        each = {name: bytes_of(hosts, name) / flows for name in ("flows4", "sweep_queue4")}
    bench.add(row, title, "bytes", {"xfwd": [sum(each.values())], "conntrack": [384.0]},
              note=", ".join(f"{name} {size:.0f}" for name, size in each.items()) +
              "; conntrack: one object of its slab, without its hash table")


def program(bench, row, title):
    """See testrun.c: two flows that lead into each other."""
    with Hosts(bench.xfwd) as hosts:
        edge = hosts.edge
        run(f"ip -n {edge} address add 203.0.113.9/24 dev eth1")
        for address in ("203.0.113.1", "203.0.113.3"):
            run(f"ip -n {edge} neigh replace {address} lladdr 02:00:00:00:00:01 dev eth1")
        frames = Xfwd("native").frames(hosts, 1, 1)
        hosts.command("apply", "-", input="""
            interface eth0 { mode native }
            interface eth1 { mode native }
            dnat in eth0 udp to 203.0.113.1:1000 -> 203.0.113.3:2000
            dnat in eth0 udp to 203.0.113.3:2000 -> 203.0.113.1:1000
            snat out eth1 from 198.18.0.1 to 203.0.113.3 -> 203.0.113.2
            snat out eth1 from 203.0.113.2 to 203.0.113.1 -> 198.18.0.1
        """)
        got = json.loads(run([f"{PROGRAMS}/testrun", edge,
                              f"{PINS}/{edge}/programs/xdp_virtual"]))
        frames.close()
    bench.add(row, title, "ns", {"ceiling": [got["ceiling"]], "xfwd native": [got["xfwd"]]},
              note=f"the harness's own {got['harness']:.0f} ns are taken off; medians of 7")
