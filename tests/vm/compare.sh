#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The benchmark with this kernel's flowtables and IPVS: each contender's frames must all arrive, and
# right. Its ratios are those of an emulated machine, indications, and no goal is set for them.
. "$(dirname "$0")/../netns/lib.sh"

PEERS="xfwd native,xfwd tc,nft map,nft flowtable,ipvs,routing"
ROW=established.1000
exec 3>&1

# Before Linux 6.5 packets may wait for ksoftirqd, which the generator would starve: it gives way, and
# while other tests have the processors there is room for all that a turn sends.
every_contender() {
	((SLOWER > 1)) || skip "for the kernels of the virtual machine: make vm-test"
	sysctl -qw net.core.netdev_max_backlog=100000
	chrt --idle 0 "$HERE/../../scripts/bench" --no-install --only $ROW --flows 1000 --peers "$PEERS" \
		--repeats 3 --duration 0.2 --output "$TMP/case"
	equal "not measured" "$(values --arg peers "$PEERS" '($peers / ",") - keys | join(", ")')" ""
	equal "nothing forwarded" "$(values 'map_values(select(min <= 0)) | keys | join(", ")')" ""
	ratios >&3
}

values() { # JQ-ARGUMENT...: of a map from contenders to what each turn measured
	jq -r ".rows[\"$ROW\"].values // {} | ${*: -1}" "${@:1:$#-1}" "$TMP/case/report.json"
}

ratios() { # the median of the turns' own
	values '. as $of | ("xfwd native", "xfwd tc") as $us
		| [keys[] | select(startswith("xfwd") | not) as $them
			| [$of[$us], $of[$them]] | transpose | map(.[0] / .[1])
			| "\(sort | .[length / 2 | floor] * 100 | round / 100) times \($them)"]
		| "# note: 1000 flows: \($us): \(join(", "))"'
}

once "frames arrive right by xfwd, nft, a flowtable, IPVS, routing" every_contender
finish
