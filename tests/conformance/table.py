#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the conformance tests, and writes what came of them into README.md, row by row."""
import os
import re
import subprocess
import sys

from cases import ROWS

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "tests"))
import readme  # noqa: E402

RESULT = re.compile(r"(ok|FAIL|skip) +[\d.]+s +conformance/(\w+) (\w+) IPv([46]): ")
COLUMNS = [(mode, family) for mode in ("native", "tc") for family in "46"]


def run():
    """(row, mode, family) -> results, and the runner's exit status."""
    found = {}
    process = subprocess.Popen([os.path.join(TOP, "tests/run"), "conformance"], text=True,
                               stdout=subprocess.PIPE)
    for line in process.stdout:
        print(line, end="", flush=True)
        if match := RESULT.match(line):
            found.setdefault(match.groups()[1:], []).append(match[1])
    return found, process.wait()


def cell(results):
    """Skipped cases neither pass nor fail; a row of which nothing ran was not tested."""
    ran = [result for result in results if result != "skip"]
    if not ran:
        return "skipped" if results else "-"
    failed, skipped = ran.count("FAIL"), len(results) - len(ran)
    text = f"fail ({failed} of {len(ran)})" if failed else "pass"
    return f"{text}; {skipped} skipped" if skipped else text


def table(found):
    head = " | ".join(f"{mode} IPv{family}" for mode, family in COLUMNS)
    lines = [f"| id | behaviour | {head} | netfilter |", "|---" * (len(COLUMNS) + 3) + "|"]
    for row, (behaviour, netfilter) in ROWS.items():
        cells = " | ".join(cell(found.get((row, *column), [])) for column in COLUMNS)
        lines.append(f"| {row} | {behaviour} | {cells} | {netfilter} |")
    return "\n".join(lines)


def main():
    found, status = run()
    if not found:
        sys.exit("no results")
    readme.rewrite("conformance", "make conformance", lambda _: table(found))
    sys.exit(status)


if __name__ == "__main__":
    main()
