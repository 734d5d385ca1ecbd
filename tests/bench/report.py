# SPDX-License-Identifier: GPL-2.0-or-later
"""The measurements as text, Markdown, JSON and plots."""
import json
import os
import platform
import statistics
import subprocess

from goals import GOALS
from peers import find

PLOTS = (("established", "Frames of known flows, 60 bytes", "Mpps",
          lambda row: row.startswith("established.") and row.count(".") == 1),
         ("sizes", "Frames of known flows, by size", "Mpps", lambda row: row.startswith("size.")),
         ("new", "New flows a second", "million/s", lambda row: row.startswith("new.")),
         ("tcp", "Bulk TCP", "Gbit/s", lambda row: row.startswith("tcp.bulk.")))


def number(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def goal_lines(rows):
    """One for each goal: what, ratio, the spread over the turns, the goal, how it stands."""
    for goal in GOALS:
        value = goal.value(rows)
        what = f"{rows[goal.row]['title'] if goal.row in rows else goal.row}: {goal.of}"
        what += f" / {goal.to}" if goal.to else ""
        bound = f"{'≥' if goal.least else '≤'} {goal.bound:g}"
        if not goal.to:
            bound += f" {rows[goal.row]['unit']}" if value is not None else ""
        if value is None:
            yield what, "–", "", bound, "not measured"
        else:
            turns = goal.turns(rows)
            yield (what, number(value), f"{number(min(turns))} – {number(max(turns))}", bound,
                   "reached" if goal.score(rows) >= 1 else f"{goal.score(rows):.0%}")


def row_lines(rows):
    for row in rows.values():
        for label, values in row["values"].items():
            yield (row["title"], label, number(statistics.median(values)),
                   f"{number(min(values))} – {number(max(values))}", row["unit"])


def table(header, lines, markdown):
    lines = [list(header)] + [list(line) for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text = []
    for i, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths)]
        text.append("| " + " | ".join(cells) + " |" if markdown else "  ".join(cells).rstrip())
        if markdown and not i:
            text.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def machine():
    model = "?"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return f"{os.cpu_count()} × {model}, Linux {platform.release()}"


def goals_text(rows, markdown=False):
    """On a terminal only what was measured."""
    lines = [line for line in goal_lines(rows) if markdown or line[1] != "–"]
    return table(("what", "ratio", "least – most", "goal", "state"), lines, markdown)


def rows_text(rows, markdown=False):
    return table(("measurement", "contender", "median", "least – most", "unit"), row_lines(rows),
                 markdown)


def write(bench, directory):
    os.makedirs(directory, exist_ok=True)
    rows = bench.rows
    with open(os.path.join(directory, "report.json"), "w") as file:
        json.dump({"machine": machine(), "options": bench.options(), "rows": rows,
                   "skipped": bench.skipped,
                   "goals": [dict(zip(("what", "ratio", "spread", "goal", "state"), line))
                             for line in goal_lines(rows)]}, file, indent=1, ensure_ascii=False)
        file.write("\n")
    plots = plot_all(rows, directory, bench)
    with open(os.path.join(directory, "report.md"), "w") as file:
        file.write(f"# xfwd: benchmark\n\n{machine()}; load average at the start: "
                   f"{bench.load:.1f}. All contenders of a row ran in turn, "
                   f"{bench.repeats} times or more. Ratios are medians of the turns' own ratios; a "
                   "speed alone says something about this machine only.\n\n## Ratios and goals\n\n"
                   f"{goals_text(rows, True)}\n\n## Measurements\n\n{rows_text(rows, True)}\n")
        notes = [f"- {row['title']}: {row['note']}" for row in rows.values() if row["note"]]
        notes += [f"- Not measured: {text}" for text in bench.skipped]
        if notes:
            file.write("\n" + "\n".join(notes) + "\n")
        for name in plots:
            file.write(f"\n![{name}]({name}.svg)\n")


# ---- plots ----

def plot_all(rows, directory, bench):
    if not find("gnuplot"):
        bench.skip("plots: no gnuplot")
        return []
    made = []
    for name, title, unit, chosen in PLOTS:
        picked = {key: row for key, row in rows.items() if chosen(key)}
        if picked and plot(name, title, unit, picked, directory):
            made.append(name)
    return made


def plot(name, title, unit, rows, directory):
    labels = []
    for row in rows.values():
        labels += [label for label in row["values"] if label not in labels]
    data = ["row " + " ".join(f'"{label}"' for label in labels)]
    for row in rows.values():
        medians = [statistics.median(row["values"][label]) if row["values"].get(label) else "NaN"
                   for label in labels]
        data.append(f'"{row["short"]}" ' + " ".join(map(str, medians)))
    script = ["$data << END", *data, "END", f'set title "{title}"', f'set ylabel "{unit}"',
              "set style data histogram", "set style histogram cluster gap 1",
              "set style fill solid 0.9 noborder", "set boxwidth 0.9", "set grid ytics",
              "set yrange [0:*]", "set key outside right top", "set border 3", "set tics nomirror"]
    for kind, terminal in (("svg", "svg size 900,420 font 'sans,12'"),
                           ("png", "pngcairo size 900,420 font 'sans,10'")):
        script += [f"set terminal {terminal}", f"set output '{directory}/{name}.{kind}'",
                   f"plot for [i=2:{len(labels) + 1}] $data using i:xtic(1) title columnheader(i)"]
    done = subprocess.run([find("gnuplot")], input="\n".join(script) + "\n", text=True, check=False)
    return done.returncode == 0
