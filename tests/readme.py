# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables in README.md that tests write: each lies between two lines that name it."""
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
README = os.path.join(TOP, "README.md")


def rewrite(name, command, table):
    """`command` is what the first line says makes it; `table` gets the text of now, and gives the new."""
    begin, end = f"<!-- {name}: made by {command} -->", f"<!-- end of {name} -->"
    with open(README) as file:
        text = file.read()
    before, found, rest = text.partition(begin)
    inside, ends, after = rest.partition(end)
    if not found or not ends:
        sys.exit(f"README.md has no lines {begin} and {end}")
    with open(README, "w") as file:
        file.write(f"{before}{begin}\n{table(inside)}\n{end}{after}")
