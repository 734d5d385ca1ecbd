# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about the command and its memory: loading rules, adding one, the first packet, bytes a flow."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from hosts import PINS, PROGRAMS, BenchError, Hosts, run
from peers import Iptables, Nft, Xfwd, find, rule_ports

MANY = 100000
FLOW_MAPS = ("flows4", "halves4")
FLOW_MAPS6 = ("flows6",)


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

def bpftool(*words):
    return json.loads(run([find("bpftool") or "bpftool", "-j", "map"] + list(words)))


def map_bytes(hosts, name):
    """What the kernel says that it takes; of a map of maps, what those take that are in it."""
    pin = ["pinned", f"{PINS}/{hosts.edge}/maps/{name}"]
    shown = bpftool("show", *pin)
    if shown["type"] == "array_of_maps":
        inner = [int.from_bytes((int(byte, 16) for byte in entry["value"]), sys.byteorder)
                 for entry in bpftool("dump", *pin) if isinstance(entry["value"], list)]
        return sum(int(bpftool("show", "id", str(i))["bytes_memlock"]) for i in inner)
    return int(shown["bytes_memlock"])


def memory(bench, row, title, flows=131072):
    """The tables that grow with `set flows`, which there are of both address families."""
    with Hosts(bench.xfwd) as hosts:
        Xfwd("tc").set_up(hosts, 1)
        run([bench.xfwd, "-n", hosts.edge, "add", "redirect in eth0 ipv6 udp to :9 -> :9"])
        each = {name: map_bytes(hosts, name) / flows for name in FLOW_MAPS + FLOW_MAPS6}
    bench.add(row, title, "bytes", {"xfwd": [sum(each[name] for name in FLOW_MAPS)],
                                    "xfwd, IPv6": [sum(each[name] for name in FLOW_MAPS6)],
                                    "conntrack": [384.0]},
              note=", ".join(f"{name} {size:.0f}" for name, size in each.items()) +
              "; conntrack: one object of its slab, without its hash table")


def program_on(bench, service):
    """What testrun.c says, with a service that lets flows keep their next hops or without."""
    with Hosts(bench.xfwd) as hosts:
        edge, client = hosts.edge, hosts.client
        run(f"ip -n {edge} address add 203.0.113.9/24 dev eth1")
        for address in ("203.0.113.1", "203.0.113.3"):
            run(f"ip -n {edge} neigh replace {address} lladdr 02:00:00:00:00:01 dev eth1")
        for i in (0, 2):
            run(f"ip -n {client} link add idle{i} type veth peer name idle{i + 1}")
        frames = Xfwd("native").frames(hosts, 1, 1)
        text = ("set timeout unanswered 2h\ninterface eth0 { mode native }\n"
                "interface eth1 { mode native }\n" + run([f"{PROGRAMS}/testrun", "rules"]))
        if service:
            hosts.service(text)
        else:
            hosts.command("apply", "-", input=text)
        got = json.loads(run([f"{PROGRAMS}/testrun", edge, client,
                              f"{PINS}/{edge}/programs/xdp_virtual", str(bench.cpu)]))
        frames.close()
        return got


def program(bench, row, title):
    """Two rows: flows that the nearest caches hold, and a cycle through 32768."""
    got, alone = program_on(bench, True), program_on(bench, False)
    note = (f"the harness's own {statistics.median(got['harness']):.0f} ns are taken off; the mean of "
            "4000 packets or of one in each flow, 31 times in turn")
    bench.add(row, title, "ns", {"ceiling": got["ceiling"], "one lookup": got["lookup"],
                                 "xfwd native": got["xfwd"], "xfwd native alone": alone["xfwd"]},
              note=note)
    bench.add(f"{row}.32k", "one packet in the XDP program, among 32768 flows", "ns",
              {"one lookup": got["lookup_many"], "xfwd native": got["xfwd_many"],
               "xfwd native alone": alone["xfwd_many"]}, note=note)
