#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""No chain of calls in the programs takes more than 512 bytes of stack, counted as kernels before 6.8
do: each function's own, rounded up to 32. Later ones round up to 16, and would not notice.

An argument names an object other than build/bpf/xfwd.bpf.o."""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
OBJECT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "build/bpf/xfwd.bpf.o")
PROGRAMS = ("xdp_wire", "xdp_virtual", "xdp_generic", "tc_ingress", "tc_egress", "sweep_start",
            "sweep_tick")
LIMIT = 512


def read_functions():
    """Each function's own stack, and what it calls."""
    text = subprocess.run(["llvm-objdump", "-dr", "--no-show-raw-insn", OBJECT], check=True,
                          capture_output=True, text=True).stdout
    own, calls, name = {}, {}, None
    for line in text.splitlines():
        if begin := re.match(r"[0-9a-f]+ <(?!LBB)([^>]+)>:", line):
            name = begin[1]
            own[name], calls[name] = 0, set()
        for offset in re.findall(r"r10 - (0x[0-9a-f]+|\d+)|r\d+ \+= -(0x[0-9a-f]+|\d+)", line):
            depth = int(offset[0] or offset[1], 0)
            if depth <= LIMIT:
                own[name] = max(own[name], depth)
        if called := re.search(r"R_BPF_64_32\s+(\w+)", line):
            calls[name].add(called[1])
    return own, calls


def deepest(name, own, calls):
    depth, chain = max((deepest(c, own, calls) for c in calls[name] if c in own), default=(0, []))
    return depth + (max(own[name], 1) + 31) // 32 * 32, [f"{name} {own[name]}"] + chain


own, calls = read_functions()
failed = 0
print(f"1..{len(PROGRAMS)}")
for number, program in enumerate(PROGRAMS, 1):
    depth, chain = deepest(program, own, calls)
    print(f"# {depth}: {', '.join(chain)}")
    failed += depth > LIMIT
    print(f"{'not ' if depth > LIMIT else ''}ok {number} - the stack of {program}")
sys.exit(1 if failed else 0)
