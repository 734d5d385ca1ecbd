#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes what came of the tests under each kernel into README.md."""
import glob
import json
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "tests"))
import readme  # noqa: E402

FEATURES = ("loads", "tc by", "native XDP on veth", "XDP at MTU 9000",
            "devices tell what they take", "VLAN devices")


# What was run, and how the table calls it.
SCOPES = {"all": "all", "quick": "the quick ones", "refusal": "that it says so"}


def results():
    for path in glob.glob(os.path.join(TOP, "build/vm/*.json")):
        with open(path) as file:
            one = json.load(file)
        if one["scope"] in SCOPES:
            yield one


def counts(one):
    text = f"{SCOPES[one['scope']]}: {one['passed']} passed"
    for word in ("failed", "skipped"):
        text += f", {one[word]} {word}" if one[word] else ""
    return text


def row(one):
    cells = [one["release"], *(one["features"].get(name, "-") for name in FEATURES), counts(one)]
    return f"| {' | '.join(cells)} |"


def version(line):
    return [int(number) for number in re.findall(r"\d+", line)[:2]]


def table(inside):
    """Kernels that were not tested this time keep their rows."""
    old = [line for line in inside.splitlines() if re.match(r"\| \d", line)]
    rows = {tuple(version(line)): line for line in [*old, *map(row, results())]}
    head = ["kernel", *FEATURES, "tests"]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|",
                      *(rows[key] for key in sorted(rows))])


if __name__ == "__main__":
    readme.rewrite("kernels", "make vm-test", table)
