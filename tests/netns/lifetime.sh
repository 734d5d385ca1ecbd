#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How flows end, what stays when a command is killed, and what happens when the table is full.
. "$(dirname "$0")/lib.sh"

expire() { # in the kernel: no process of ours is running
	topology
	http_server "$OUTSIDE" 80
	serve "$OUTSIDE" udp 0.0.0.0 53
	load <<-END
		set timeout tcp-closing $((2 * SLOWER))s
		set timeout udp $((2 * SLOWER))s
		set timeout icmp $((2 * SLOWER))s
		set timeout unanswered $((2 * SLOWER))s
		masquerade out eth0 from 10.0.0.0/24
	END
	fails ask "$INSIDE" udp 198.51.100.2 54 4321
	fetch "$INSIDE" http://198.51.100.2/
	ask "$INSIDE" udp 198.51.100.2 53 4321
	in_ns "$INSIDE" ping -q -c 1 198.51.100.2
	equal "flows at first" "$(xfwd flows -j | jq -c '[.flows[].proto] | unique')" \
		'["icmp","tcp","udp"]'
	wait_until 15 no_flows
	equal "flows used" "$(xfwd stats -j | jq .flows.used)" 0
	ask "$INSIDE" udp 198.51.100.2 53 4321
}

no_flows() {
	[[ $(flow_count) == 0 ]]
}

outlive_idle_neighbours() { # a flow in use does not expire with the ones beside it
	topology
	serve "$OUTSIDE" udp 0.0.0.0 53
	serve "$OUTSIDE" tcp 0.0.0.0 80
	load <<-END
		set timeout udp $((2 * SLOWER))s
		set timeout tcp $((2 * SLOWER))s
		masquerade out eth0 from 10.0.0.0/24
	END
	streams "$INSIDE" udp 198.51.100.2 53 5
	streams "$INSIDE" tcp 198.51.100.2 80 5
	ask "$INSIDE" udp 198.51.100.2 53 4321 20
	wait_until 15 only_udp_flows 5
	streams_end
}

only_udp_flows() { # COUNT
	[[ $(flow_count proto udp) == "$1" ]]
}

table_full() {
	topology
	serve "$OUTSIDE" udp 0.0.0.0 53
	load <<-END
		set flows 64
		masquerade out eth0 from 10.0.0.0/24
	END
	watch_leaks
	equal "room" "$(xfwd stats -j | jq .flows.max)" 64
	fails ask "$INSIDE" udp 198.51.100.2 53 50000 100 >"$TMP/case/answers"
	local answers
	answers=$(wc -l <"$TMP/case/answers")
	((answers >= 56 && answers <= 64)) || fail "$answers flows worked in a table for 64"
	(($(counter flow_table_full) >= 36)) || fail "the drops were not counted"
	no_leaks
	xfwd flows delete
	ask "$INSIDE" udp 198.51.100.2 53 50000 30
}

# Kills `apply` at moments all over its run, while numbered streams and a bulk transfer go through.
killed() {
	topology
	serve "$INSIDE" tcp 10.0.0.2 2000
	serve "$INSIDE" udp 10.0.0.2 2000
	start "$INSIDE" iperf3 -s
	wait_until 10 listening "$INSIDE" tcp 5201
	local n file=$TMP/case/one other=$TMP/case/other pid
	load <<-END
		dnat in eth0 tcp,udp to :2000 -> 10.0.0.2
		dnat in eth0 tcp to :5201 -> 10.0.0.2
	END
	cp "$TMP/case/xfwd.conf" "$file"
	for n in {3000..4999}; do
		echo "dnat in eth0 tcp to :$n -> 10.0.0.3:80"
	done >>"$file"
	{ cat "$file" && echo "masquerade out eth1 from 192.0.2.0/24"; } >"$other"
	streams "$OUTSIDE" tcp 198.51.100.1 2000 30
	streams "$OUTSIDE" udp 198.51.100.1 2000 30
	# What is on its way must fit a CPU's backlog: a full one drops the others' datagrams, too.
	in_ns "$OUTSIDE" sysctl -q -w net.ipv4.tcp_wmem="4096 16384 131072"
	start "$OUTSIDE" iperf3 -c 198.51.100.1 -t 3600 -b "$((200 / SLOWER))M"
	wait_until 10 eval '(($(flow_count dport 5201) >= 2))'

	for n in $(rounds 30); do
		"$XFWD" -q -n "$EDGE" apply "$file" &
		pid=$!
		sleep_ms $((RANDOM % (100 * SLOWER))) # when to kill: anywhere in its run
		kill -9 "$pid" || true
		wait "$pid" || true
		n=$(rules | wc -l)
		[[ $n == 2 || $n == 2002 || $n == 2003 ]] || fail "half a ruleset: $n rules"
		streams_go_on
		read -r file other <<<"$other $file"
	done
	xfwd apply "$TMP/case/one"
	equal "rules at the end" "$(rules | wc -l)" 2002
	xfwd status -j | jq -e '.interfaces | length > 0'
	streams_end
}

reloaded() { # whole files and single rules, in a hurry
	topology
	serve "$INSIDE" tcp 10.0.0.2 2000
	serve "$INSIDE" udp 10.0.0.2 2000
	load <<<"dnat in eth0 tcp,udp to :2000 -> 10.0.0.2"
	streams "$OUTSIDE" tcp 198.51.100.1 2000 50
	streams "$OUTSIDE" udp 198.51.100.1 2000 50
	local n
	for n in $(rounds 50); do
		xfwd -q apply "$TMP/case/xfwd.conf"
		xfwd -q add "dnat in eth0 tcp to :$((3000 + n)) -> 10.0.0.3:80"
	done
	equal rules "$(rules | wc -l)" 2
	streams_end
}

two_writers() { # each adds its rules; none gets lost
	topology
	load <<<"dnat in eth0 tcp to :2000 -> 10.0.0.2"
	add_many 3000 &
	local one=$!
	add_many 4000 &
	wait "$one"
	wait $!
	equal rules "$(rules | wc -l)" 41
	equal handles "$(xfwd list -j | jq '[.rules[].handle] | unique | length')" 41
}

add_many() { # FIRST-PORT
	local n
	for n in {1..20}; do
		xfwd -q add "dnat in eth0 tcp to :$(($1 + n)) -> 10.0.0.3:80"
	done
}

# All that anybody can open: the namespace, and bpffs where it was mounted so.
locks_of_others() {
	topology
	load <<<"dnat in eth0 tcp to :2000 -> 10.0.0.2"
	local path pids=()
	for path in "/run/netns/$EDGE" /sys/fs/bpf; do
		setpriv --reuid 65534 --regid 65534 --clear-groups flock -F "$path" sleep 60 &
		pids+=($!)
	done
	sleep 0.2
	timeout $((5 * SLOWER)) "$XFWD" -q -n "$EDGE" add "dnat in eth0 tcp to :3000 -> 10.0.0.3"
	timeout $((5 * SLOWER)) "$XFWD" -q -n "$EDGE" down
	kill "${pids[@]}"
	wait "${pids[@]}" || true
}

each_mode "flows expire" expire
once "flows in use live on" outlive_idle_neighbours
each_mode "flow table full" table_full
each_mode "kill -9 of apply under load breaks no stream" killed
every_mode "rapid reloads break no stream" reloaded
once "two writers at once" two_writers
once "who is not root holds up no writer" locks_of_others
finish
