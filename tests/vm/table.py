#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes what came of the tests under each kernel into README.md."""
import glob
import os
import re
import sys

sys.dont_write_bytecode = True
import results  # noqa: E402

sys.path.insert(0, os.path.join(results.TOP, "tests"))
import readme  # noqa: E402

FEATURES = ("loads", "tc by", "native XDP on veth", "XDP at MTU 9000",
            "devices tell what they take", "VLAN devices")


def selections(kernel):
    """Which of the tests there can be results of, and how the table calls them."""
    if kernel in results.REFUSED:
        return {"that it says so": results.programs(*results.REFUSAL)}
    quick = [results.key(program, results.part(results.QUICK_ROWS))
             for program in results.programs(*results.QUICK_TESTS)]
    return {"all": results.programs(), "the quick ones": quick}


def counts(one, name, keys):
    """What of the selection has run with this state of the files, if anything has."""
    ran = len(one.known(keys))
    if ran < len(keys):
        name = f"{ran} of the {len(keys)} programs"
    passed, failed, skipped = one.counts(keys)
    text = f"{name}: {passed} passed"
    for word, count in (("failed", failed), ("skipped", skipped)):
        text += f", {count} {word}" if count else ""
    return text


def cell(one):
    """The whole, or else what is there of it."""
    texts = []
    for name, keys in selections(one.kernel).items():
        ran = len(one.known(keys))
        if ran == len(keys):
            return "; ".join([counts(one, name, keys), *texts])
        if ran and name == "all":
            texts.append(counts(one, name, keys))
    return "; ".join(texts)


def row(one):
    cells = [one.release, *(one.features.get(name, "-") for name in FEATURES), cell(one)]
    return f"| {' | '.join(cells)} |"


def version(line):
    return [int(number) for number in re.findall(r"\d+", line)[:2]]


def rows():
    for path in glob.glob(os.path.join(results.OUT, "*.json")):
        one = results.Results(os.path.basename(path).removesuffix(".json"))
        if cell(one):
            yield row(one)


def table(inside):
    """Kernels that were not tested in this state of the files keep their rows."""
    old = [line for line in inside.splitlines() if re.match(r"\| \d", line)]
    lines = {tuple(version(line)): line for line in [*old, *rows()]}
    head = ["kernel", *FEATURES, "tests"]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|",
                      *(lines[key] for key in sorted(lines))])


if __name__ == "__main__":
    readme.rewrite("kernels", "make vm-test", table)
