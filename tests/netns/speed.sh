#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# iperf3 through forwarded ports and through masquerade, MTU 1500 and 9000. No figure is asked for,
# but data must flow all the time and UDP must arrive.
. "$(dirname "$0")/lib.sh"

through_dnat() { # MTU
	topology "$1"
	start "$INSIDE" iperf3 -s
	wait_until 10 listening "$INSIDE" tcp 5201
	load <<<"dnat in eth0 tcp,udp to :5201 -> 10.0.0.2"
	measure "$OUTSIDE" 198.51.100.1 "$1"
}

through_masquerade() { # MTU
	topology "$1"
	start "$OUTSIDE" iperf3 -s
	wait_until 10 listening "$OUTSIDE" tcp 5201
	load <<<"masquerade out eth0 from 10.0.0.0/24"
	measure "$INSIDE" 198.51.100.2 "$1"
}

measure() { # NS SERVER MTU
	local out=$TMP/case/iperf.json args
	for args in "" "-R" "-P 4"; do
		iperf "$1" -c "$2" -t 1 $args >"$out"
		jq -e '.end.sum_received.bits_per_second > 1e7' "$out"
		jq -e '.intervals | all(.sum.bytes > 0)' "$out"
	done
	for args in "" "-R"; do
		iperf "$1" -c "$2" -t 1 -u -b 10M -l $(($3 - 28)) $args >"$out"
		jq -e '.end.sum | .packets > 50 and .lost_percent < 20' "$out"
	done
}

iperf() { # NS ARGUMENT...
	ip netns exec "$1" timeout $((60 * SLOWER)) iperf3 -J --connect-timeout 5000 "${@:2}"
}

mtu_1500_dnat() { through_dnat 1500; }
mtu_9000_dnat() { through_dnat 9000; }
mtu_1500_masquerade() { through_masquerade 1500; }
mtu_9000_masquerade() { through_masquerade 9000; }

each_mode "iperf3 through dnat, MTU 1500" mtu_1500_dnat
every_mode "iperf3 through dnat, MTU 9000" mtu_9000_dnat
each_mode "iperf3 through masquerade, MTU 1500" mtu_1500_masquerade
each_mode "iperf3 through masquerade, MTU 9000" mtu_9000_masquerade
finish
