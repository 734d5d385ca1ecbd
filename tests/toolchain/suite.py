#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds xfwd with other compilers, each from nothing into build/toolchain/NAME, and tests what they
make: not a word from the compiler, the command starts, the unit tests pass (not with --bpf), the
verifier takes the programs, and no chain of calls needs more stack than there is.

Speaks TAP. With --readme the results also become the table in README.md.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "tests"))
import readme  # noqa: E402

FOLDER = "build/toolchain"
SYSROOT = os.path.join(TOP, FOLDER, "arm64-sysroot")
PROGRAMS = ("xdp_wire", "xdp_virtual", "xdp_generic", "tc_ingress", "tc_egress")
UNIT = [f"tests/unit/{os.path.basename(path)[:-2]}"
        for path in sorted(glob.glob(os.path.join(TOP, "tests/unit/*_test.c")))]
LOAD = "tests/prog/load_test"
VERIFIED = re.compile(r"# (\w+): (\d+) instructions verified")
DEPTH = re.compile(r"# (\d+): ")

# The checks, as they are reported.
BUILDS = "builds without a warning"
STARTS = "the command starts"
RUNS = "the unit tests pass"
FITS = "no chain of calls takes more than 512 bytes of stack"
LOADS = "the verifier takes the programs"


class Toolchain(NamedTuple):
    clang: str = "clang-14"
    cc: str = "gcc"
    cflags: str = "-O2 -g"
    sysroot: str = ""
    run: tuple = ()  # what runs the programs, where this machine cannot

    def missing(self):
        commands = [self.clang, self.cc, *self.run[:1]]
        found = [command for command in commands if not shutil.which(command)]
        if self.sysroot and not os.path.isdir(self.sysroot):
            found.append(self.sysroot)
        return found


TOOLCHAINS = {
    "clang-14": Toolchain(),
    "clang-16": Toolchain(clang="clang-16"),
    "clang-19": Toolchain(clang="clang-19"),
    "user-clang-14": Toolchain(cc="clang-14"),
    "user-clang-19": Toolchain(clang="clang-19", cc="clang-19"),
    "user-O0": Toolchain(cflags="-O0 -g"),
    "user-O3": Toolchain(cflags="-O3 -g"),
    "arm64": Toolchain(cc="aarch64-linux-gnu-gcc", sysroot=SYSROOT,
                       run=("qemu-aarch64", "-L", SYSROOT)),
}


class Result:
    """What came of one toolchain, and what the table says of it."""

    def __init__(self, name):
        self.name = name
        self.tool = TOOLCHAINS[name]
        self.folder = os.path.join(FOLDER, name)
        self.said = {}

    def path(self, name):
        return os.path.join(self.folder, name)

    def note(self, check, good, said, output):
        """Of what a check put out, its remarks are shown, and where it failed everything."""
        self.said[check] = said if good else "fail"
        for line in output.splitlines():
            if line.startswith("#"):
                print(line)
            elif not good:
                print(f"# {line}")
        report(good, f"{self.name}: {check}")


reported = []


def report(good, text):
    reported.append(good)
    print(f"{'ok' if good else 'not ok'} {len(reported)} - {text}", flush=True)


def run(*command):
    # A make above is no affair of this one's.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=TOP, env=dict(env, CMOCKA_MESSAGE_OUTPUT="TAP"), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)


def build(result, units):
    tool = result.tool
    shutil.rmtree(os.path.join(TOP, result.folder), ignore_errors=True)
    cc = f"{tool.cc} --sysroot={tool.sysroot}" if tool.sysroot else tool.cc
    made = run("make", f"-j{os.cpu_count()}", f"BUILD={result.folder}", f"CC={cc}",
               f"CLANG={tool.clang}", f"CFLAGS={tool.cflags}", "all", *(["unit"] if units else []),
               result.path(LOAD))
    result.note(BUILDS, not made.returncode and not made.stderr, "none", made.stderr)
    return not made.returncode


def test_starts(result):
    ran = run(*result.tool.run, result.path("xfwd"), "version")
    result.note(STARTS, not ran.returncode, "yes", ran.stdout + ran.stderr)


def test_units(result):
    ran = [run(*result.tool.run, result.path(name)) for name in UNIT]
    output = "".join(test.stdout + test.stderr for test in ran)
    count = len(re.findall(r"^ok \d", output, re.M))
    good = count > 0 and not any(test.returncode for test in ran)
    result.note(RUNS, good, f"{count} passed", output)


def test_stack(result):
    ran = run("tests/cli/stack.py", result.path("bpf/xfwd.bpf.o"))
    depths = [int(depth) for depth in DEPTH.findall(ran.stdout)]
    result.note(FITS, depths and not ran.returncode, f"{max(depths, default=0)} bytes",
                ran.stdout + ran.stderr)


def test_load(result):
    ran = run(result.path(LOAD))
    verified = dict(VERIFIED.findall(ran.stdout))
    result.note(LOADS, not ran.returncode and set(verified) == set(PROGRAMS),
                [verified.get(program) for program in PROGRAMS], ran.stdout + ran.stderr)


def test(name, units):
    result = Result(name)
    if missing := result.tool.missing():
        report(True, f"{name} # SKIP there is no {missing[0]}: `make toolchain-test` gets it")
        return None
    if build(result, units):
        test_starts(result)
        if units:
            test_units(result)
        test_stack(result)
        if os.geteuid() == 0 and not result.tool.run:
            test_load(result)
    return result


def version(command):
    said = run(command, "--version").stdout
    return f"{re.sub('-[0-9]+$', '', command)} {re.search(r'[0-9]+[.][0-9.]+', said)[0]}"


def row(result):
    tool, said = result.tool, result.said
    user = version(tool.cc) + (f", `{tool.cflags}`" if tool.cflags != Toolchain().cflags else "")
    verified = said.get(LOADS, "-")
    cells = [version(tool.clang), user, *(said.get(check, "-") for check in (BUILDS, RUNS, FITS)),
             *(verified if isinstance(verified, list) else [verified] * len(PROGRAMS))]
    return "| " + " | ".join(cells) + " |"


def table(results):
    head = ["`bpf/`", "`user/`", "warnings", "unit tests", "stack",
            *(f"`{program}`" for program in PROGRAMS)]
    kernel = re.match(r"\d+\.\d+", os.uname().release)[0]
    return "\n".join([f"Instructions verified, by Linux {kernel}, in each program:", "",
                      "| " + " | ".join(head) + " |", "|---" * len(head) + "|",
                      *(row(result) for result in results)])


def main():
    parser = argparse.ArgumentParser(description="Test what other compilers make of xfwd.")
    parser.add_argument("--readme", action="store_true", help="test all, and write the table")
    parser.add_argument("--bpf", action="store_true",
                        help="without the unit tests, which no compiler of bpf/ has a part in")
    parser.add_argument("name", nargs="*", help=", ".join(TOOLCHAINS))
    args = parser.parse_args()
    if unknown := set(args.name) - set(TOOLCHAINS):
        parser.error(f"no toolchain {', '.join(sorted(unknown))}")
    if (args.name or args.bpf) and args.readme:
        parser.error("the table is of all toolchains, and all tests")
    results = [result for name in args.name or TOOLCHAINS if (result := test(name, not args.bpf))]
    print(f"1..{len(reported)}")
    if args.readme:
        readme.rewrite("toolchains", "make toolchain-test", lambda _: table(results))
    sys.exit(0 if all(reported) else 1)


main()
