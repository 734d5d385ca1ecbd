#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Hosts on the inside go out: masquerade and snat.
. "$(dirname "$0")/lib.sh"

masquerade() {
	load <<<"masquerade out eth0 from 10.0.0.0/24"
	watch_leaks
}

tcp_out() {
	topology
	http_server "$OUTSIDE" 80
	head -c 32M /dev/urandom >"$TMP/www/big"
	masquerade
	equal page "$(fetch "$INSIDE" http://198.51.100.2/)" outside
	equal "seen source" "$(fetch "$INSIDE" http://198.51.100.2/peer)" 198.51.100.1
	equal sum "$(fetch "$INSIDE" http://198.51.100.2/big | sha256sum)" \
		"$(sha256sum <"$TMP/www/big")"
	no_leaks
}

udp_out() {
	topology
	serve "$OUTSIDE" udp 0.0.0.0 53
	masquerade
	equal "port kept while free" "$(ask "$INSIDE" udp 198.51.100.2 53 4321)" \
		"198.51.100.1 4321 53 hello"
	no_leaks
}

with_netcat() {
	topology
	start "$OUTSIDE" socat UDP4-RECVFROM:5000,fork EXEC:cat
	start "$OUTSIDE" socat TCP4-LISTEN:5001,fork,reuseaddr EXEC:cat
	wait_until 10 listening "$OUTSIDE" udp 5000
	wait_until 10 listening "$OUTSIDE" tcp 5001
	masquerade
	equal UDP "$(echo across | in_ns "$INSIDE" socat -t 3 - UDP4:198.51.100.2:5000)" across
	equal TCP "$(echo across | in_ns "$INSIDE" nc -N -w 5 198.51.100.2 5001)" across
}

two_inside_hosts() { # with the same port: two ports outside, each with its own answers
	topology
	ip -n "$INSIDE" address add 10.0.0.3/24 dev eth0
	serve "$OUTSIDE" udp 0.0.0.0 53
	masquerade
	local one two
	one=$(echo x | in_ns "$INSIDE" nc -u -W 1 -w 5 -s 10.0.0.2 -p 4321 198.51.100.2 53)
	two=$(echo x | in_ns "$INSIDE" nc -u -W 1 -w 5 -s 10.0.0.3 -p 4321 198.51.100.2 53)
	equal "first answer" "$one" "198.51.100.1 4321 53 x"
	contains "$two" "198.51.100.1 "
	[[ $one != "$two" ]] || fail "both hosts were given one port"
	no_leaks
}

ping_out() {
	topology
	masquerade
	in_ns "$INSIDE" ping -q -c 20 -i 0.01 -W 2 198.51.100.2
	in_ns "$INSIDE" ping -q -c 20 -i 0.01 -W 2 -s 1400 198.51.100.2
	no_leaks
}

many_at_once() {
	topology
	http_server "$OUTSIDE" 80
	masquerade
	fetch "$INSIDE" -Z --parallel-max 50 'http://198.51.100.2/?[1-500]' >"$TMP/case/pages"
	equal pages "$(grep -c '^outside$' "$TMP/case/pages")" 500
	no_leaks
}

edge_itself_goes_out() { # its own connections keep working beside a masquerade that covers them
	topology
	http_server "$OUTSIDE" 80
	head -c 32M /dev/urandom >"$TMP/www/big"
	load <<<"masquerade out eth0"
	equal "seen source" "$(fetch "$EDGE" http://198.51.100.2/peer)" 198.51.100.1
	equal sum "$(fetch "$EDGE" http://198.51.100.2/big | sha256sum)" \
		"$(sha256sum <"$TMP/www/big")"
	in_ns "$EDGE" ping -q -c 3 -i 0.01 -W 2 198.51.100.2
}

exempted() {
	topology
	ip -n "$OUTSIDE" route add 10.0.0.0/24 via 198.51.100.1
	ip -n "$OUTSIDE" address add 198.51.100.3/24 dev eth0
	http_server "$OUTSIDE" 80
	load <<-END
		accept out eth0 to 198.51.100.3
		masquerade out eth0 from 10.0.0.0/24
	END
	equal "source at the exempted" "$(fetch "$INSIDE" http://198.51.100.3/peer)" 10.0.0.2
	equal "source at another" "$(fetch "$INSIDE" http://198.51.100.2/peer)" 198.51.100.1
}

to_an_address() {
	topology
	ip -n "$EDGE" address add 198.51.100.10/24 dev eth0
	serve "$OUTSIDE" tcp 0.0.0.0 80
	serve "$OUTSIDE" udp 0.0.0.0 53
	load <<-END
		snat out eth0 tcp from 10.0.0.0/24 -> 198.51.100.10:40000-40099
		snat out eth0 udp from 10.0.0.0/24 -> 198.51.100.10
	END
	watch_leaks
	local addr port rest
	read -r addr port rest <<<"$(ask "$INSIDE" tcp 198.51.100.2 80 50000)"
	equal "TCP source" "$addr" 198.51.100.10
	((port >= 40000 && port <= 40099)) || fail "source port $port is outside of the range"
	equal rest "$rest" "80 hello"
	equal UDP "$(ask "$INSIDE" udp 198.51.100.2 53 4321)" "198.51.100.10 4321 53 hello"
	no_leaks
}

ports_used_up() { # 16 ports for 32 flows: 16 work, 16 are dropped and counted, none leaks
	topology
	serve "$OUTSIDE" udp 0.0.0.0 53
	load <<<"snat out eth0 udp from 10.0.0.0/24 -> 198.51.100.1:40000-40015"
	watch_leaks
	fails ask "$INSIDE" udp 198.51.100.2 53 50000 32 >"$TMP/case/answers"
	equal answers "$(wc -l <"$TMP/case/answers")" 16
	equal "their ports" "$(cut -d ' ' -f 2 "$TMP/case/answers" | sort -u | wc -l)" 16
	(($(counter no_port) >= 16)) || fail "the drops were not counted"
	no_leaks
}

stray_segments_stay() { # no flow from a segment without SYN, and nothing leaves untranslated
	topology
	masquerade
	in_ns "$INSIDE" /usr/bin/python3 - <<-'END'
		from scapy.all import IP, TCP, send
		for flags in "A", "PA", "FA", "R", "RA", "SA":
		    send(IP(dst="198.51.100.2") / TCP(sport=4000, dport=80, flags=flags), verbose=0)
	END
	wait_until 5 test_stray_counted
	equal flows "$(flow_count)" 0
	no_leaks
}

test_stray_counted() {
	(($(counter stray_dropped) >= 6))
}

# What it sends itself leaves a bridge with an address of that, and its port with the same one.
own_through_bridge() {
	topology
	ip -n "$EDGE" address flush dev eth0
	ip -n "$EDGE" link add br0 type bridge
	ip -n "$EDGE" link set eth0 master br0
	ip -n "$EDGE" link set br0 up
	ip -n "$EDGE" address add 198.51.100.1/24 dev br0
	serve "$OUTSIDE" udp 0.0.0.0 53
	xfwd -q apply - <<<"interface br0
		interface eth0
		masquerade limit rate 5/s"
	in_ns "$EDGE" /usr/bin/python3 - <<-'END'
		import socket
		with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
		    one.settimeout(10)
		    one.bind(("", 4321))
		    for number in range(20):
		        one.sendto(b"%d" % number, ("198.51.100.2", 53))
		        answer = one.recv(100).split()
		        assert answer[:2] + answer[3:] == [b"198.51.100.1", b"4321", b"%d" % number], answer
	END
	equal "flows of 20 packets" "$(flow_count)" 1
}

every_mode "TCP out, small and large" tcp_out
every_mode "UDP out" udp_out
each_mode "netcat and socat" with_netcat
each_mode "two inside hosts with one source port" two_inside_hosts
each_mode "ping out" ping_out
each_mode "500 connections, 50 at once" many_at_once
each_mode "the edge's own connections" edge_itself_goes_out
once "the edge's own through a bridge that is attached with its port" own_through_bridge
each_mode "accept before masquerade exempts a destination" exempted
each_mode "snat to an address and to a range of ports" to_an_address
each_mode "ports used up" ports_used_up
each_mode "stray TCP segments do not get out" stray_segments_stay
finish
