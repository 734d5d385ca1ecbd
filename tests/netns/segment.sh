#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What TCP is told of the largest segment.
. "$(dirname "$0")/lib.sh"

without_timestamps() { # whose twelve bytes would count
	in_ns "$OUTSIDE" sysctl -qw net.ipv4.tcp_timestamps=0
	in_ns "$INSIDE" sysctl -qw net.ipv4.tcp_timestamps=0
}

segments() { # NS: the size that its connection sends
	in_ns "$1" ss -Htni state established | grep -om 1 '\bmss:[0-9]*'
}

both_send() { # SIZE
	equal "outside's segments" "$(segments "$OUTSIDE")" "mss:$1"
	equal "inside's segments" "$(segments "$INSIDE")" "mss:$1"
}

fixed() {
	topology
	without_timestamps
	serve "$INSIDE" tcp 10.0.0.2 8080
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080 mss 1000"
	streams "$OUTSIDE" tcp 198.51.100.1 80 1
	both_send 1000
	streams_end
}

automatic() {
	topology
	without_timestamps
	ip -n "$EDGE" link set eth0 mtu 1400
	serve "$OUTSIDE" tcp 198.51.100.2 8080
	load <<<"masquerade out eth0 mss auto"
	streams "$INSIDE" tcp 198.51.100.2 8080 1
	both_send 1360
	streams_end
}

route() { # the MTU of a route counts, as it does where packets are forwarded: when it is locked
	topology
	without_timestamps
	ip -n "$EDGE" route add 198.51.100.2 dev eth0 mtu lock 1300
	serve "$INSIDE" tcp 10.0.0.2 8080
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080 mss auto"
	streams "$OUTSIDE" tcp 198.51.100.1 80 1
	both_send 1260
	streams_end
}

ipv6() {
	topology6
	without_timestamps
	ip -n "$EDGE" link set eth1 mtu 1400
	serve "$INSIDE" tcp 2001:db8:2::2 8080
	load <<<"dnat in eth0 tcp to [2001:db8:1::1]:80 -> [2001:db8:2::2]:8080 mss auto"
	streams "$OUTSIDE" tcp 2001:db8:1::1 80 1
	both_send 1340
	streams_end
}

bulk() {
	topology
	http_server "$INSIDE" 8080
	head -c 32M /dev/urandom >"$TMP/www/big"
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080 mss 700"
	equal sum "$(fetch "$OUTSIDE" http://198.51.100.1/big | sha256sum)" \
		"$(sha256sum <"$TMP/www/big")"
}

# The sender leaves the checksums to the device, which leaves them to the stack: what it is told of its
# packets has none to be put in later.
told() {
	topology6
	mkdir -p "$TMP/www"
	head -c 100K /dev/urandom >"$TMP/www/big"
	ip -n "$EDGE" link set eth0 mtu 1300
	in_ns "$EDGE" ethtool -K eth1 tx off >/dev/null
	http_server "$INSIDE" 8080 "[::]"
	http_server "$INSIDE" 8080
	load <<-END
		interface eth1 { mode tc }
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		dnat in eth0 tcp to [2001:db8:1::1]:80 -> [2001:db8:2::2]:8080
	END
	local host
	for host in 198.51.100.1 "[2001:db8:1::1]"; do
		equal "sum from $host" "$(fetch "$OUTSIDE" "http://$host/big" | sha256sum)" \
			"$(sha256sum <"$TMP/www/big")"
	done
	(($(counter too_big) >= 2))
	equal "wrong checksums" "$(in_ns "$INSIDE" nstat -asz IcmpInCsumErrors Icmp6InCsumErrors |
		grep -c "InCsumErrors *0 ")" 2
}

once "a way with a smaller MTU" told
every_mode "segments of a number of bytes, both ways" fixed
each_mode "segments that the interface's MTU leaves" automatic
once "segments that a route's MTU leaves" route
each_mode "segments that IPv6 leaves" ipv6
each_mode "32 MiB in small segments" bulk
finish
