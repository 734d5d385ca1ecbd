# SPDX-License-Identifier: GPL-2.0-or-later
"""Three hosts made of network namespaces: client, edge, server; and what runs in them.

    client eth0 ──────────── eth0 edge eth1 ──────────── eth0 server
    198.51.100.200     198.51.100.1    10.0.0.1        10.0.0.2, ...

Everything made is taken away again by close(), and by close_all() at the end or on a signal.
"""
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
PROGRAMS = os.path.join(TOP, "build/bench")
PINS = "/sys/fs/bpf/xfwd/netns"
ADDRESSES = 7  # of the edge and of the server: 16384 forwarded ports each
MACS = {"client eth0": "02:00:00:00:00:02", "edge eth0": "02:00:00:00:00:01",
        "edge eth1": "02:00:00:00:00:03", "server eth0": "02:00:00:00:00:04"}
SLOWER = int(os.environ.get("XFWD_TEST_SLOWER", 1))  # than a real machine, where it is emulated

open_hosts = []


class BenchError(Exception):
    pass


def run(command, **kwargs):
    """Runs it and returns what it printed; an error says the command and its own words."""
    if isinstance(command, str):
        command = command.split()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=None if "input" in kwargs else subprocess.DEVNULL, **kwargs)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stdout.strip()[-2000:]}")
    return done.stdout


def wait_until(what, condition, seconds=10):
    end = time.monotonic() + seconds * SLOWER
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Hosts:
    def __init__(self, xfwd, queues=1):
        self.xfwd = xfwd
        self.queues = queues  # of every link end, each way
        self.id = f"xb-{secrets.token_hex(3)}"
        self.client, self.edge, self.server = (f"{self.id}-{h}" for h in ("client", "edge", "server"))
        self.processes = []
        self.directories = []
        open_hosts.append(self)
        for ns in self.namespaces():
            run(f"ip netns add {ns}")
        self.links()
        self.addresses()
        self.sysctls()

    def namespaces(self):
        return self.client, self.edge, self.server

    def links(self):
        queues = f"numtxqueues {self.queues} numrxqueues {self.queues}"
        for left, device, right, peer in (("client", "eth0", "edge", "eth0"),
                                          ("edge", "eth1", "server", "eth0")):
            a, b = getattr(self, left), getattr(self, right)
            run(f"ip -n {a} link add {device} {queues} address {MACS[f'{left} {device}']} type veth "
                f"peer name {peer} {queues} address {MACS[f'{right} {peer}']} netns {b}")
        for host, device in (m.split() for m in MACS):
            run(f"ip -n {getattr(self, host)} link set {device} up")
        for ns in self.namespaces():
            run(f"ip -n {ns} link set lo up")

    def addresses(self):
        """Neighbours are permanent: no question about them comes in between."""
        def batch(ns, lines):
            run(["ip", "-n", ns, "-batch", "-"], input="\n".join(lines))
        public = [f"198.51.100.{1 + i}" for i in range(ADDRESSES)]
        target = [f"10.0.0.{2 + i}" for i in range(ADDRESSES)]
        batch(self.client, ["address add 198.51.100.200/24 dev eth0"] +
              [f"neigh replace {a} lladdr {MACS['edge eth0']} dev eth0" for a in public] +
              ["route add default via 198.51.100.1"])
        batch(self.edge, [f"address add {a}/24 dev eth0" for a in public] +
              ["address add 10.0.0.1/24 dev eth1",
               f"neigh replace 198.51.100.200 lladdr {MACS['client eth0']} dev eth0",
               "route add 198.18.0.0/15 via 198.51.100.200"] +
              [f"neigh replace {a} lladdr {MACS['server eth0']} dev eth1" for a in target])
        batch(self.server, [f"address add {a}/24 dev eth0" for a in target] +
              [f"neigh replace 10.0.0.1 lladdr {MACS['edge eth1']} dev eth0",
               "route add default via 10.0.0.1"])

    def sysctls(self):
        self.sysctl(self.edge, "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.eth0.rp_filter=0", "net.ipv4.conf.eth1.rp_filter=0")
        for ns in self.namespaces():
            self.sysctl(ns, "net.ipv4.ip_local_port_range=10000 65000",
                        "net.ipv4.tcp_max_syn_backlog=65535", "net.core.somaxconn=65535",
                        # Some send at a pace that they reckon (BBR): then that is what is measured.
                        "net.ipv4.tcp_congestion_control=reno")

    def sysctl(self, ns, *settings):
        run(["ip", "netns", "exec", ns, "sysctl", "-qw", *settings])

    def conntrack_patience(self):
        """Flows of a first pass stay for the whole measurement."""
        self.sysctl(self.edge, "net.netfilter.nf_conntrack_udp_timeout=7200",
                    "net.netfilter.nf_conntrack_udp_timeout_stream=7200")

    def gro(self, on=True):
        """A veth end takes redirected frames if it has an XDP program or GRO."""
        run(f"ip netns exec {self.edge} ethtool -K eth0 gro {'on' if on else 'off'}")

    def start(self, ns, command, **kwargs):
        process = subprocess.Popen(["ip", "netns", "exec", ns, *command],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **kwargs)
        self.processes.append(process)
        return process

    def in_ns(self, ns, command, **kwargs):
        return run(["ip", "netns", "exec", ns, *command], **kwargs)

    def wait_listening(self, ns, port):
        wait_until(f"port {port} of {ns}",
                   lambda: self.in_ns(ns, ["ss", "-Hltn", f"sport = :{port}"]))

    def command(self, *words, **kwargs):
        return run([self.xfwd, "-n", self.edge, *words], **kwargs)

    def service(self, configuration):
        """`xfwd run`, which keeps next hops true."""
        directory = tempfile.mkdtemp(prefix="xb-")
        self.directories.append(directory)
        path = os.path.join(directory, "xfwd.conf")
        with open(path, "w") as file:
            file.write(configuration)
        process = subprocess.Popen([self.xfwd, "-q", "-n", self.edge, "run", path],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.processes.append(process)
        wait_until("xfwd run", lambda: json.loads(self.command("status", "-j")).get("rules"), 20)

    def frames(self, **options):
        process = Frames(self, options)
        self.processes.append(process.process)
        return process

    def close(self):
        if self not in open_hosts:
            return
        open_hosts.remove(self)
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if os.path.exists(f"{PINS}/{self.edge}"):
            subprocess.run([self.xfwd, "-q", "-n", self.edge, "down"], check=False)
        for ns in self.namespaces():
            if os.path.exists(f"/run/netns/{ns}"):
                subprocess.run(["ip", "netns", "delete", ns], check=False)
        for directory in self.directories:
            shutil.rmtree(directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Frames:
    """The generator and counter at these hosts; see frames.c for what it understands."""

    def __init__(self, hosts, options):
        words = [f"--{name}={value}" for name, value in options.items()]
        self.flows = int(options["flows"])
        self.process = subprocess.Popen(
            [f"{PROGRAMS}/frames", "--client", hosts.client, "--edge", hosts.edge,
             "--server", hosts.server, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def tell(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("the generator ended; its words are above")
        return json.loads(line)

    def ask(self, words):
        self.tell(words)
        return self.answer()

    def send(self, count, check=False, first=0, step=1):
        return self.ask(f"send {count} {step} {int(check)} {first}")

    def go_round(self):
        """One frame of each flow, in the order in which they are timed."""
        return self.send(self.flows, step=stride(self.flows))

    def time(self, seconds):
        """In an order unlike that in which the flows were made: no cache guesses it."""
        return self.ask(f"time {int(seconds * 1000)} {stride(self.flows)}")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def stride(flows):
    """Near the golden section of the flows, and without a common divisor: all get their turn."""
    step = max(1, int(flows * 0.6180339887))
    while step > 1 and not coprime(step, flows):
        step -= 1
    return step if flows > 1 else 0


def coprime(a, b):
    while b:
        a, b = b, a % b
    return a == 1


def close_all():
    for hosts in list(open_hosts):
        hosts.close()
