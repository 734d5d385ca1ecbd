# SPDX-License-Identifier: GPL-2.0-or-later
"""What xfwd should reach. Each goal compares two contenders of one row, or one with a bound."""
import statistics

# For CI, the part of a goal below which it fails. Times depend on the machine and on what else it
# does, ratios much less so: of times the best turn counts, and may be five times its goal.
SHARE = 0.5
SHARE_TIME = 0.2
TIMES = ("s", "ms", "µs", "ns")


class Goal:
    """`of` divided by `to` has to be at least (or at most) `bound`; without `to`, `of` itself. Where
    the goal is out of reach, `now` is what it has come to: half of that is a loss, for CI."""

    def __init__(self, row, of, to, bound, least=True, now=None):
        self.row, self.of, self.to, self.bound, self.least = row, of, to, bound, least
        self.now = now or bound

    def value(self, rows):
        """None: not measured."""
        values = rows[self.row]["values"] if self.row in rows else {}
        if not values.get(self.of) or (self.to and not values.get(self.to)):
            return None
        return statistics.median(self.turns(rows))

    def score(self, rows):
        """1: just reached; more: better."""
        value = self.value(rows)
        if value is None:
            return None
        return value / self.bound if self.least else self.bound / value

    def far_below(self, rows):
        """Too far for CI, as text; None: near enough, or not measured."""
        score, least = self.score(rows), SHARE
        if score is None:
            return None
        if not self.to and rows[self.row]["unit"] in TIMES:
            score, least = self.bound / min(self.turns(rows)), SHARE_TIME
        if score >= least * self.now / self.bound:
            return None
        return f"{self.row}: {self.of}{f' / {self.to}' if self.to else ''}: {score:.0%} of its goal"

    def turns(self, rows):
        """Of each turn by itself, in which one contender came shortly after the other."""
        values = rows[self.row]["values"]
        if not self.to:
            return values[self.of]
        return [a / b for a, b in zip(values[self.of], values[self.to]) if b]


def established(flows):
    return f"established.{flows}"


N, TC, AUTO = "xfwd native", "xfwd tc", "xfwd auto"

GOALS = [
    Goal(established(1000), N, "ceiling", 0.88),
    Goal(established(50000), N, "ceiling", 0.82),
    Goal(established(500000), N, "ceiling", 0.50),
    Goal(established(1000), N, "nft map", 5),
    Goal(established(50000), N, "nft map", 5),
    Goal(established(500000), N, "nft map", 4),
    Goal(established(50000), N, "one lookup", 0.9),
    Goal(established(500000), N, "one lookup", 0.9),
    Goal("new.1", N, "nft map", 4, now=2.2),
    Goal("mapping", "xfwd mappings", "nft map", 3),
    Goal("rules.established", "100k rules", "1 rule", 0.97),
    Goal("rules.new", "100k rules", "1 rule", 0.90),
    Goal("load.100000", "xfwd apply", None, 0.35, least=False),
    Goal("load.100000.add", "xfwd add", None, 10, least=False),
    Goal(established(1000), TC, "iptables", 1.5),
    Goal("tcp.bulk.1", AUTO, "iptables", 1.15),
    Goal("tcp.bulk.4", AUTO, "iptables", 1.15),
    Goal("tcp.bulk.1", AUTO, "nginx", 2),
    Goal("tcp.bulk.1", AUTO, "haproxy", 2),
    Goal("tcp.connections", AUTO, "iptables", 1.2),
    Goal("tcp.connections", AUTO, "nginx", 1.5),
    Goal("tcp.answers.p99", AUTO, "routing", 1.0, least=False),
    Goal("memory", "xfwd", None, 320, least=False),
    Goal("uncovered.tcp", "with xfwd", "without", 0.97),
    Goal("uncovered.udp", "with xfwd", "without", 0.97),
    Goal("first", "xfwd add", None, 150, least=False),
    Goal("sweep", "xfwd", None, 1, least=False),
    Goal("sweep.slice", "longest", None, 200, least=False),
    Goal("full", "filled", None, 99),
    Goal("cpus", N, None, 1.8),
    Goal("program", N, None, 55, least=False),
    Goal("program.32k", N, None, 90, least=False),
    Goal("program.32k", N, "one lookup", 1.25, least=False),
]

# Without the service that keeps next hops the routing table is asked for every packet.
GOALS.insert(6, Goal(established(1000), "xfwd native alone", "nft map", 3))


def far_below(rows):
    return [text for text in (goal.far_below(rows) for goal in GOALS) if text]
