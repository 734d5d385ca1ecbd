#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The hosts of the tests: a server that says who asks, and clients that check what it says.

serve PROTO ADDR PORT[-PORT]
    Answers each line or datagram with "PEER PEER-PORT OWN-PORT LINE".
ask PROTO ADDR PORT [SOURCE-PORT [COUNT]]
    Asks once from each of COUNT source ports and prints the answers. Succeeds when all came.
long INTERFACE MAC SOURCE ADDR PORT OPTIONS
    Asks with a frame of 5000 bytes, its IPv4 header with so many bytes of options, and prints the
    answer without what fills it. Of such a frame, only the link-layer header is in an skb's linear part.
stream PROTO ADDR PORT COUNT FILE
    Keeps COUNT numbered streams going until it is terminated, with the least number that all have
    reached in FILE. Fails when an answer is late or wrong, or when the server begins to see
    another address or port.
tcx INTERFACE
    Prints how many programs hang at the interface's tcx hooks.
tcx_egress attach|detach INTERFACE PIN
    Puts a pinned program there, or takes it away.
frame INTERFACE PORT COUNT
    Prints the next datagrams to that port, as the device hands them up, and whom it takes them to be
    for. Of IPv4's, what makes two alike differ is left out.
"""
import ctypes
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time

KIND = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
SLOWER = int(os.environ.get("XFWD_TEST_SLOWER", 1))  # than a real machine, where it is emulated
PATIENCE = 10 * SLOWER  # seconds a stream waits for an answer
PACE = 0.02 * SLOWER  # seconds between a stream's messages
SO_RCVBUFFORCE = 33
# Of the usual 208 KiB each datagram that an XDP program has seen takes a page, so that fifty overran it.
RECEIVE_BUFFER = 4 << 20


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def serve(proto, addr, ports):
    first, _, last = ports.partition("-")
    ready = selectors.DefaultSelector()
    for port in range(int(first), int(last or first) + 1):
        sock = socket.socket(family(addr), KIND[proto])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((addr, port))
        if proto == "tcp":
            sock.listen(1024)
        else:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        ready.register(sock, selectors.EVENT_READ, accept if proto == "tcp" else datagram)
    while True:
        for key, _ in ready.select():
            key.data(key.fileobj, ready)


def answer(sock, peer, line):
    return b"%s %d %d %s\n" % (peer[0].encode(), peer[1], sock.getsockname()[1], line.strip())


def datagram(sock, _):
    data, peer = sock.recvfrom(65536)
    sock.sendto(answer(sock, peer, data), peer)


def accept(listener, ready):
    sock, _ = listener.accept()
    ready.register(sock, selectors.EVENT_READ, segment)


def segment(sock, ready):
    """Lines are short and come one at a time, so a segment holds whole ones."""
    try:
        data = sock.recv(65536)
        for line in data.splitlines():
            sock.sendall(answer(sock, sock.getpeername(), line))
    except OSError:
        data = b""
    if not data:
        ready.unregister(sock)
        sock.close()


def connect(proto, addr, port, source=0, patience=3.0 * SLOWER):
    sock = socket.socket(family(addr), KIND[proto])
    sock.settimeout(patience)
    if source:  # with it, the kernel may choose a UDP port that another socket of ours has
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", source))
    sock.connect((addr, port))
    return sock


def ask(proto, addr, port, source="0", count="1"):
    answers = []

    def one(source):
        try:
            with connect(proto, addr, int(port), source) as sock:
                sock.send(b"hello\n")
                answers.append(sock.recv(65536).decode())
        except OSError as error:
            sys.stderr.write(f"from port {source}: {error}\n")

    threads = [threading.Thread(target=one, args=(int(source) and int(source) + i,))
               for i in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("".join(answers), end="")
    return 0 if len(answers) == int(count) else 1


def header4(length, options, source, addr):
    header = struct.pack("!BBHHHBBH4s4s", 0x45 + options // 4, 0, length, 0, 0, 64, 17, 0,
                         socket.inet_aton(source), socket.inet_aton(addr)) + b"\1" * options
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xffff) + (total >> 16)
    return header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + header[12:]


def long(interface, mac, source, addr, port, options):
    line, options = b"hello".ljust(5000, b"."), int(options)
    with connect("udp", addr, int(port)) as sock, \
            socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as wire:
        udp = struct.pack("!HHHH", sock.getsockname()[1], int(port), 8 + len(line), 0)
        wire.sendto(header4(28 + options + len(line), options, source, addr) + udp + line,
                    (interface, 0x0800, 0, 0, bytes.fromhex(mac.replace(":", ""))))
        print(sock.recv(65536).decode().rstrip(".\n"))
    return 0


def stream(proto, addr, port, count, path):
    reached, broken = [0] * int(count), []

    def one(index):
        seen = None
        try:
            with connect(proto, addr, int(port), patience=PATIENCE) as sock:
                while not broken:
                    sock.send(b"%d\n" % reached[index])
                    *peer, number = sock.recv(65536).split()
                    seen = seen or peer
                    if peer != seen or int(number) != reached[index]:
                        raise ValueError(f"was {seen}, is {peer}, number {number}")
                    reached[index] += 1
                    time.sleep(PACE)
        except (OSError, ValueError) as error:
            broken.append(f"stream {index} at {reached[index]}: {error!r}")

    for index in range(int(count)):
        threading.Thread(target=one, args=(index,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1 if broken else 0))
    while not broken:
        with open(path + ".new", "w") as file:
            print(min(reached), file=file)
        os.rename(path + ".new", path)
        time.sleep(0.05 * SLOWER)
    print("\n".join(broken), file=sys.stderr)
    return 1


def bpf(command, *words):
    """bpf(2) for tcx, which no tool of Debian 12 knows: what it returned, and the words after it."""
    attr = ctypes.create_string_buffer(struct.pack(*words), 64)
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    return ctypes.CDLL(None, use_errno=True).syscall(number, command, attr, 64), attr


def tcx(interface):
    index, found = socket.if_nametoindex(interface), 0
    for hook in (46, 47):  # BPF_TCX_INGRESS, BPF_TCX_EGRESS
        done, attr = bpf(16, "IIIIQI", index, hook, 0, 0, 0, 0)  # BPF_PROG_QUERY
        if done == 0:
            found += struct.unpack_from("I", attr, 24)[0]
    print(found)
    return 0


def tcx_egress(what, interface, pin):
    path = ctypes.create_string_buffer(pin.encode())
    program = bpf(7, "QII", ctypes.addressof(path), 0, 0)[0]  # BPF_OBJ_GET
    command = {"attach": 8, "detach": 9}[what]  # BPF_PROG_ATTACH, BPF_PROG_DETACH
    index = socket.if_nametoindex(interface)
    return 1 if bpf(command, "IIIII", index, program, 47, 0, 0)[0] else 0


def frame(interface, port, count):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((interface, 0))
    print("ready", flush=True)
    left = int(count)
    while left:
        data, (_, _, kind, _, _) = sock.recvfrom(65536)
        at = {0x0800: 34, 0x86dd: 54}.get(int.from_bytes(data[12:14], "big"), 0)
        if at and kind != socket.PACKET_OUTGOING and data[at + 2:at + 4] == int(port).to_bytes(2, "big"):
            print(kind, (anonymous(data) if at == 34 else data).hex(), flush=True)
            left -= 1
    return 0


def anonymous(data):
    """An IPv4 frame without its identification, which no two have, and its checksum, if that is right."""
    total = sum(struct.unpack("!10H", data[14:34]))
    if total % 0xffff:
        return data
    return data[:18] + bytes(2) + data[20:24] + bytes(2) + data[26:]


def main():
    commands = {"serve": serve, "ask": ask, "long": long, "stream": stream, "tcx": tcx,
                "tcx_egress": tcx_egress, "frame": frame}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]))


main()
