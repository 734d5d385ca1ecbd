# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of each test program under each kernel: build/vm/KERNEL.json.

A result holds for what was tested. It counts no more when that has changed since: the command (with
the programs for the kernel in it), the test program, or what lies beside it for its use.
"""
import functools
import glob
import hashlib
import json
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
OUT = os.path.join(TOP, "build/vm")
REFUSED = ("5.10",)  # lacks what xfwd needs, and has to say so
REFUSAL = ("tests/vm/least.sh",)
# What a change can break under another kernel, and is tested in minutes.
CI_TESTS = ("tests/vm/least", "tests/vm/wire", "tests/vm/compilers", "prog/load_test",
            "prog/rewrite_test", "tests/conformance/")
QUICK_TESTS = (*CI_TESTS, "unit/")
# They build, which tells nothing of a kernel.
ELSEWHERE = ("tests/cli/source.sh", "tests/toolchain/clang.sh")
QUICK_ROWS = "V1"  # of the conformance tests
# Where that lies which tests use, if not only in their own folder.
USED = {"tests/vm": ("tests/netns", "tests/bench", "build/bench"),
        "tests/fuzz": ("tests/fuzz", "build/fuzz")}
UNUSED = (".c", ".h", ".o", ".d", ".mk", ".md")


@functools.cache
def programs(*patterns):
    listed = subprocess.run([f"{TOP}/tests/run", "--list", *patterns], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.split()
    return [program for program in listed if program not in ELSEWHERE]


def part(rows, families="", wire_modes=""):
    """Which cases are run of the programs whose paths contain this, where it is not all of them."""
    return {"/conformance/": f"{rows} {families}".strip(), "/wire.sh": wire_modes}


def key(program, part):
    """A program, and the part of it that is run."""
    return " ".join([program, *(cases for place, cases in part.items() if place in program)]).strip()


@functools.cache
def digest(path):
    with open(os.path.join(TOP, path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def used(program):
    folder = os.path.dirname(program)
    for place in USED.get(folder, (folder.removeprefix("build/"),)):
        for path in glob.glob(f"{place}/**", root_dir=TOP, recursive=True):
            if os.path.isfile(os.path.join(TOP, path)) and not path.endswith(UNUSED) \
                    and "__pycache__" not in path and path not in (*programs(), *ELSEWHERE):
                yield path


@functools.cache
def fingerprint(program):
    files = ["build/xfwd", program, *sorted(used(program))]
    text = "".join(f"{path} {digest(path)}\n" for path in files)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Results:
    def __init__(self, kernel):
        self.kernel, self.path = kernel, os.path.join(OUT, f"{kernel}.json")
        self.release, self.features, self.of = "", {}, {}
        if os.path.exists(self.path):
            with open(self.path) as file:
                self.__dict__.update(json.load(file))

    def save(self):
        content = {name: self.__dict__[name] for name in ("release", "features", "of")}
        with open(f"{self.path}.new", "w") as file:
            json.dump(content, file, indent=1)
        os.rename(f"{self.path}.new", self.path)

    def forget(self, keys):
        self.of = {key: result for key, result in self.of.items() if key not in keys}

    def is_of(self, release):
        """What another build of the kernel did tells nothing of this one."""
        if self.release != release:
            self.release, self.features, self.of = release, {}, {}

    def add(self, key, counts, seconds):
        passed, failed, skipped = counts
        self.of[key] = {"passed": passed, "failed": failed, "skipped": skipped, "seconds": seconds,
                        "fingerprint": fingerprint(key.split()[0])}
        self.save()

    def known(self, keys):
        """Results that hold still. All fingerprints are taken now, before anything may change."""
        now = {key: fingerprint(key.split()[0]) for key in keys}
        return {key: self.of[key] for key in keys
                if key in self.of and self.of[key]["fingerprint"] == now[key]}

    def left(self, keys):
        """What has not run, or failed."""
        known = self.known(keys)
        return [key for key in keys if key not in known or known[key]["failed"]]

    def counts(self, keys):
        return [sum(result[word] for result in self.known(keys).values())
                for word in ("passed", "failed", "skipped")]
