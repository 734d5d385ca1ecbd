#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Port forwarding to other hosts.
. "$(dirname "$0")/lib.sh"

forward() {
	topology
	http_server "$INSIDE" 8080
	load <<<"dnat in eth0 tcp to 198.51.100.1:80 -> 10.0.0.2:8080"
	watch_leaks
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
	equal "seen source" "$(fetch "$OUTSIDE" http://198.51.100.1/peer)" 198.51.100.2
	no_leaks
	(($(counter forwarded) > 0)) || fail "xfwd forwarded nothing"
}

forward_and_back() { # the server answers to the edge, whatever its own routes say
	topology
	ip -n "$INSIDE" route delete default
	http_server "$INSIDE" 8080
	load <<-END
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		masquerade out eth1 to 10.0.0.2
	END
	watch_leaks
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
	equal "seen source" "$(fetch "$OUTSIDE" http://198.51.100.1/peer)" 10.0.0.1
	no_leaks
}

# client 1.1.1.1 -- router -- eth1 192.168.0.2 edge 2.2.2.2 eth0 -- router -- server 3.3.3.3
two_legs() {
	local client=$ID-client near=$ID-near far=$ID-far server=$ID-server
	namespace "$client" "$near" "$EDGE" "$far" "$server"
	link "$client" eth0 1.1.1.1/24 "$near" eth0 1.1.1.254/24
	link "$near" eth1 192.168.0.1/24 "$EDGE" eth1 192.168.0.2/24
	link "$EDGE" eth0 2.2.2.2/24 "$far" eth0 2.2.2.254/24
	link "$far" eth1 3.3.3.254/24 "$server" eth0 3.3.3.3/24
	in_ns "$near" sysctl -qw net.ipv4.ip_forward=1
	in_ns "$far" sysctl -qw net.ipv4.ip_forward=1
	ip -n "$client" route add default via 1.1.1.254
	ip -n "$EDGE" route add 1.1.1.0/24 via 192.168.0.1
	ip -n "$EDGE" route add default via 2.2.2.254
	ip -n "$server" route add default via 3.3.3.254
	http_server "$server" 80
	head -c 32M /dev/urandom >"$TMP/www/big"
	load <<-END
		dnat in eth1 tcp from 1.1.1.0/24 to 192.168.0.2:1111 -> 3.3.3.3:80
		snat out eth0 tcp to 3.3.3.3:80 -> 2.2.2.2
	END
	mode_is_on eth1
	equal page "$(fetch "$client" http://192.168.0.2:1111/)" server
	equal "seen source" "$(fetch "$client" http://192.168.0.2:1111/peer)" 2.2.2.2
	equal sum "$(fetch "$client" http://192.168.0.2:1111/big | sha256sum)" \
		"$(sha256sum <"$TMP/www/big")"
}

matches() {
	topology
	ip -n "$OUTSIDE" address add 198.51.100.200/24 dev eth0
	http_server "$INSIDE" 8080
	load <<-END
		dnat in eth0 tcp from 198.51.100.0/25:20000-30000 to 198.51.100.1:7000-7010 -> 10.0.0.2:8080
	END
	local url=http://198.51.100.1
	equal "first port" "$(fetch "$OUTSIDE" --local-port 20000 $url:7000/)" inside
	equal "last port" "$(fetch "$OUTSIDE" --local-port 30000 $url:7010/)" inside
	refused "$OUTSIDE" --local-port 20001 $url:6999/
	refused "$OUTSIDE" --local-port 20002 $url:7011/
	refused "$OUTSIDE" --local-port 19999 $url:7000/
	refused "$OUTSIDE" --local-port 30001 $url:7010/
	refused "$OUTSIDE" --local-port 20003 --interface 198.51.100.200 $url:7000/
}

port_shift() {
	topology
	serve "$INSIDE" udp 10.0.0.2 37000-37100
	load <<<"dnat in eth0 udp to :27000-27100 -> 10.0.0.2:37000-37100"
	local port
	for port in 0 1 42 99 100; do
		equal "answer of $port" "$(ask "$OUTSIDE" udp 198.51.100.1 $((27000 + port)) 4321)" \
			"198.51.100.2 4321 $((37000 + port)) hello"
	done
	fails ask "$OUTSIDE" udp 198.51.100.1 27101 4321
}

same_ports() { # a target without a port keeps it
	topology
	serve "$INSIDE" udp 10.0.0.2 27000-27010
	serve "$INSIDE" tcp 10.0.0.2 27000-27010
	load <<<"dnat in eth0 tcp,udp to :27000-27010 -> 10.0.0.2"
	equal UDP "$(ask "$OUTSIDE" udp 198.51.100.1 27003 4321)" "198.51.100.2 4321 27003 hello"
	equal TCP "$(ask "$OUTSIDE" tcp 198.51.100.1 27010 4321)" "198.51.100.2 4321 27010 hello"
}

first_rule_wins() {
	topology
	http_server "$EDGE" 80
	http_server "$INSIDE" 8080
	load <<-END
		accept in eth0 tcp from 198.51.100.128/25 to :80
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		redirect in eth0 tcp to :80 -> :9
	END
	ip -n "$OUTSIDE" address add 198.51.100.200/24 dev eth0
	equal "page of the second" "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
	equal "page of the first" \
		"$(fetch "$OUTSIDE" --interface 198.51.100.200 http://198.51.100.1/)" edge
	xfwd insert 1 'redirect in eth0 tcp to :80 -> :80'
	equal "after insert" "$(fetch "$OUTSIDE" http://198.51.100.1/)" edge
	equal rules "$(rules | wc -l)" 4
}

dropped() {
	topology
	serve "$EDGE" udp 0.0.0.0 5000
	serve "$EDGE" udp 0.0.0.0 5001
	load <<<"drop in eth0 udp from 198.51.100.0/24 to :5000"
	fails ask "$OUTSIDE" udp 198.51.100.1 5000
	ask "$OUTSIDE" udp 198.51.100.1 5001
	(($(counter dropped_by_rule) > 0)) || fail "the drop was not counted"
}

echo_request() {
	topology
	in_ns "$EDGE" sysctl -qw net.ipv4.icmp_echo_ignore_all=1
	fails in_ns "$OUTSIDE" ping -q -c 1 -W 1 198.51.100.1
	load <<<"dnat in eth0 icmp to 198.51.100.1 -> 10.0.0.2"
	watch_leaks
	in_ns "$OUTSIDE" ping -q -c 20 -i 0.01 -W 2 198.51.100.1
	in_ns "$OUTSIDE" ping -q -c 20 -i 0.01 -W 2 -s 1400 198.51.100.1
	no_leaks
}

many_at_once() {
	topology
	http_server "$INSIDE" 8080
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080"
	fetch "$OUTSIDE" -Z --parallel-max 50 'http://198.51.100.1/?[1-500]' >"$TMP/case/pages"
	equal pages "$(grep -c '^inside$' "$TMP/case/pages")" 500
}

nonlinear() { # of the frame, no IP header is in the linear part
	topology 9000
	local mac options
	mac=$(in_ns "$EDGE" cat /sys/class/net/eth0/address)
	serve "$INSIDE" udp 10.0.0.2 5000
	load <<<"dnat in eth0 udp to 198.51.100.1:4000 -> 10.0.0.2:5000"
	for options in 0 4 20 40; do
		equal "answer, $options bytes of options" "$(in_ns "$OUTSIDE" "$PEER" long \
			eth0 "$mac" 198.51.100.2 198.51.100.1 4000 "$options" |
			awk '{ print $1, $3, $4 }')" "198.51.100.2 5000 hello"
	done
}

rule_counters() {
	topology
	http_server "$INSIDE" 8080
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080 name web"
	fetch "$OUTSIDE" http://198.51.100.1/ http://198.51.100.1/
	fetch "$OUTSIDE" http://198.51.100.1/
	local rule
	rule=$(xfwd list -j | jq -c '.rules[0]')
	equal "flows of the rule" "$(jq .flows <<<"$rule")" 2
	equal "name of the rule" "$(jq -r .name <<<"$rule")" web
	jq -e '.packets > 10 and .bytes > 600' <<<"$rule"
	equal "flows listed" "$(flow_count rule "$(jq .handle <<<"$rule")")" 2
	equal "a flow's ends" "$(xfwd flows -j | jq -c '.flows[0] |
		[.proto, .orig.dst, .orig.dport, .reply.src, .reply.sport, .reply.dst]')" \
		'["tcp","198.51.100.1",80,"10.0.0.2",8080,"198.51.100.2"]'
	xfwd zero
	equal "after zero" "$(xfwd list -j | jq -c '.rules[0] | [.packets, .bytes]')" "[0,0]"
	xfwd flows delete proto tcp
	equal "after deletion" "$(flow_count)" 0
}

every_mode "dnat to the server behind" forward
every_mode "dnat and masquerade back" forward_and_back
each_mode "proxy with two legs, routers on both sides" two_legs
each_mode "source and destination prefixes and port ranges" matches
each_mode "a range of ports shifted" port_shift
each_mode "a range of ports kept, TCP and UDP in one rule" same_ports
once "the first rule that matches wins" first_rule_wins
each_mode "drop" dropped
every_mode "ping through dnat" echo_request
once "frames of several pieces, with options" nonlinear
each_mode "500 connections, 50 at once" many_at_once
once "counters and flows of a rule" rule_counters
finish
