#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# IPv6 from end to end: what the other files do over IPv4.
. "$(dirname "$0")/lib.sh"

big_file() {
	mkdir -p "$TMP/www"
	head -c 32M /dev/urandom >"$TMP/www/big"
}

same_file() { # NS URL
	equal sum "$(fetch "$1" "$2" | sha256sum)" "$(sha256sum <"$TMP/www/big")"
}

redirect() {
	topology6
	big_file
	http_server "$EDGE" 8080 "[::]"
	serve "$EDGE" udp :: 5353
	load <<-END
		redirect in eth0 tcp to :80 -> :8080
		redirect in eth0 ipv6 udp to :53 -> :5353
	END
	equal page "$(fetch "$OUTSIDE" "http://[2001:db8:1::1]/")" edge
	equal "seen source" "$(fetch "$OUTSIDE" "http://[2001:db8:1::1]/peer")" 2001:db8:1::2
	same_file "$OUTSIDE" "http://[2001:db8:1::1]/big"
	equal UDP "$(ask "$OUTSIDE" udp 2001:db8:1::1 53 4321)" "2001:db8:1::2 4321 5353 hello"
	xfwd delete 'redirect in eth0 tcp to :80 -> :8080'
	refused "$OUTSIDE" "http://[2001:db8:1::1]/"
}

both_families() { # one rule, and one counter
	topology6
	http_server "$EDGE" 8080
	http_server "$EDGE" 8081 "[::]"
	load <<<"redirect in eth0 tcp to :80-81 -> :8080-8081"
	equal IPv4 "$(fetch "$OUTSIDE" http://198.51.100.1/)" edge
	equal IPv6 "$(fetch "$OUTSIDE" "http://[2001:db8:1::1]:81/")" edge
	equal "flows of the rule" "$(xfwd list -j | jq '.rules[0].flows')" 2
}

# IPv6's flow table is made for the first rule that is not for IPv4 alone.
other_family_later() {
	topology6
	serve "$EDGE" udp 0.0.0.0 5353
	serve "$EDGE" udp :: 5354
	load <<<"redirect in eth0 ipv4 udp to :53 -> :5353"
	equal "tables of IPv6" "$(tables6)" 0
	equal "IPv6 flows" "$(xfwd flows -j | jq '.flows | length')" 0
	xfwd add "redirect in eth0 ipv6 udp to :54 -> :5354"
	equal "tables of IPv6, later" "$(tables6)" 1
	equal IPv4 "$(ask "$OUTSIDE" udp 198.51.100.1 53 4321)" "198.51.100.2 4321 5353 hello"
	equal IPv6 "$(ask "$OUTSIDE" udp 2001:db8:1::1 54 4321 100 | wc -l)" 100
	xfwd down
	load <<<"redirect in eth0 ipv6 udp to :54 -> :5354"
	equal "tables of IPv6, at once" "$(tables6)" 1
	equal "IPv6 again" "$(ask "$OUTSIDE" udp 2001:db8:1::1 54 4321)" \
		"2001:db8:1::2 4321 5354 hello"
}

tables6() { # how many
	bpftool -j map dump pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/flows6" |
		jq '[.[] | select(.value | type == "array")] | length'
}

forward() {
	topology6
	big_file
	http_server "$INSIDE" 8080 "[::]"
	serve "$INSIDE" udp :: 37000-37100
	load <<-END
		dnat in eth0 tcp to [2001:db8:1::1]:80 -> [2001:db8:2::2]:8080
		dnat in eth0 udp to [2001:db8:1::/64]:27000-27100 -> [2001:db8:2::2]:37000-37100
	END
	watch_leaks
	equal page "$(fetch "$OUTSIDE" "http://[2001:db8:1::1]/")" inside
	equal "seen source" "$(fetch "$OUTSIDE" "http://[2001:db8:1::1]/peer")" 2001:db8:1::2
	same_file "$OUTSIDE" "http://[2001:db8:1::1]/big"
	equal UDP "$(ask "$OUTSIDE" udp 2001:db8:1::1 27042 4321)" \
		"2001:db8:1::2 4321 37042 hello"
	no_leaks
	(($(counter forwarded) > 0)) || fail "xfwd forwarded nothing"
}

forward_and_back() {
	topology6
	ip -n "$INSIDE" -6 route delete default
	http_server "$INSIDE" 8080 "[::]"
	serve "$INSIDE" udp :: 53
	load <<-END
		dnat in eth0 tcp to [2001:db8:1::1]:80 -> [2001:db8:2::2]:8080
		dnat in eth0 udp to [2001:db8:1::1]:53 -> 2001:db8:2::2
		masquerade out eth1 ipv6 to 2001:db8:2::2
	END
	watch_leaks
	equal page "$(fetch "$OUTSIDE" "http://[2001:db8:1::1]/")" inside
	equal "seen source" "$(fetch "$OUTSIDE" "http://[2001:db8:1::1]/peer")" 2001:db8:2::1
	equal UDP "$(ask "$OUTSIDE" udp 2001:db8:1::1 53 4321)" "2001:db8:2::1 4321 53 hello"
	no_leaks
}

masqueraded() { # NAT66
	topology6
	big_file
	http_server "$OUTSIDE" 80 "[::]"
	serve "$OUTSIDE" udp :: 53
	load <<<"masquerade out eth0 from 2001:db8:2::/64"
	watch_leaks
	equal page "$(fetch "$INSIDE" "http://[2001:db8:1::2]/")" outside
	equal "seen source" "$(fetch "$INSIDE" "http://[2001:db8:1::2]/peer")" 2001:db8:1::1
	same_file "$INSIDE" "http://[2001:db8:1::2]/big"
	equal "port kept while free" "$(ask "$INSIDE" udp 2001:db8:1::2 53 4321)" \
		"2001:db8:1::1 4321 53 hello"
	fetch "$INSIDE" -Z --parallel-max 50 $(printf 'http://[2001:db8:1::2]/?%d ' {1..200}) \
		>"$TMP/case/pages"
	equal pages "$(grep -c '^outside$' "$TMP/case/pages")" 200
	no_leaks
}

pings() {
	topology6
	in_ns "$EDGE" sysctl -qw net.ipv6.icmp.echo_ignore_all=1
	fails in_ns "$OUTSIDE" ping -q -c 1 -W 1 2001:db8:1::1
	load <<-END
		dnat in eth0 icmpv6 to 2001:db8:1::1 -> 2001:db8:2::2
		masquerade out eth0 ipv6 from 2001:db8:2::/64
	END
	watch_leaks
	local size
	for size in 56 1400; do
		in_ns "$OUTSIDE" ping -q -c 20 -i 0.01 -W 2 -s $size 2001:db8:1::1
		in_ns "$INSIDE" ping -q -c 20 -i 0.01 -W 2 -s $size 2001:db8:1::2
	done
	no_leaks
}

neighbours_asked() { # of the edge and by it: rules for everything leave them alone
	topology6
	serve "$INSIDE" udp :: 7000
	load <<-END
		dnat in eth0 ipv6 -> 2001:db8:2::2
		masquerade out eth0 ipv6
	END
	local dev
	for dev in eth0 eth1; do
		ip -n "$EDGE" neigh flush dev "$dev"
	done
	ip -n "$OUTSIDE" neigh flush dev eth0
	equal answer "$(ask "$OUTSIDE" udp 2001:db8:1::1 7000 4321)" "2001:db8:1::2 4321 7000 hello"
	ip -n "$EDGE" neigh flush dev eth0
	in_ns "$EDGE" ping -q -c 1 -W 2 2001:db8:1::2
}

to_an_address() {
	topology6
	address6 "$EDGE" eth0 2001:db8:1::10
	serve "$OUTSIDE" tcp :: 80
	serve "$OUTSIDE" udp :: 53
	load <<-END
		snat out eth0 tcp from 2001:db8:2::/64 -> [2001:db8:1::10]:40000-40099
		snat out eth0 udp from 2001:db8:2::/64 -> 2001:db8:1::10
	END
	watch_leaks
	local addr port rest
	read -r addr port rest <<<"$(ask "$INSIDE" tcp 2001:db8:1::2 80 50000)"
	equal "TCP source" "$addr" 2001:db8:1::10
	((port >= 40000 && port <= 40099)) || fail "source port $port is outside of the range"
	equal rest "$rest" "80 hello"
	equal UDP "$(ask "$INSIDE" udp 2001:db8:1::2 53 4321)" "2001:db8:1::10 4321 53 hello"
	no_leaks
}

flow_commands() {
	topology6
	http_server "$INSIDE" 8080 "[::]"
	serve "$INSIDE" udp :: 53
	serve "$INSIDE" udp 0.0.0.0 53
	load <<-END
		dnat in eth0 tcp to [2001:db8:1::1]:80 -> [2001:db8:2::2]:8080
		dnat in eth0 udp to [2001:db8:1::1]:53 -> 2001:db8:2::2
		dnat in eth0 udp to :53 -> 10.0.0.2
	END
	fetch "$OUTSIDE" "http://[2001:db8:1::1]/"
	ask "$OUTSIDE" udp 2001:db8:1::1 53 4321 3
	ask "$OUTSIDE" udp 198.51.100.1 53 4321 2
	equal all "$(flow_count)" 6
	equal "a flow's ends" "$(xfwd flows proto tcp -j | jq -c '.flows[0] |
		[.orig.src, .orig.dst, .orig.dport, .reply.src, .reply.sport, .reply.dst]')" \
		'["2001:db8:1::2","2001:db8:1::1",80,"2001:db8:2::2",8080,"2001:db8:1::2"]'
	contains "$(xfwd flows sport 4321)" "[2001:db8:1::2]:4321 > [2001:db8:1::1]:53"
	equal tcp "$(flow_count proto tcp)" 1
	equal "client port" "$(flow_count sport 4322)" 2
	equal "client port and address" "$(flow_count sport 4322 src 2001:db8:1::2)" 1
	equal "inside address" "$(flow_count src 2001:db8:2::2)" 4
	equal "the same, as written otherwise" "$(flow_count src 2001:0db8:2:0::2)" 4
	equal "no such address" "$(flow_count dst 2001:db8:2::3)" 0
	equal "answered" "$(flow_count state answered proto udp)" 5
	equal "of a rule" "$(flow_count rule 2)" 3
	equal "bad value" "$(status_of xfwd flows dst 2001:db8::1::2)" 2
	equal deleted "$(xfwd flows delete dst 2001:db8:1::1 sport 4321)" "1 flows deleted"
	equal left "$(flow_count)" 5
	equal deleted "$(xfwd flows delete proto udp src 2001:db8:1::2 -j)" '{"deleted":2}'
	equal "those of IPv4" "$(flow_count proto udp)" 2
	contains "$(xfwd stats)" "3 of 131072 flows in use"
	fetch "$OUTSIDE" "http://[2001:db8:1::1]/"
	equal again "$(flow_count proto tcp)" 2
}

follow_rules() { # UDP follows a change of rules; an established TCP connection stays as it is
	topology6
	serve "$INSIDE" udp :: 53-54
	serve "$INSIDE" tcp :: 2000
	load <<-END
		dnat in eth0 udp to [2001:db8:1::1]:53 -> 2001:db8:2::2
		dnat in eth0 tcp to [2001:db8:1::1]:2000 -> 2001:db8:2::2
	END
	streams "$OUTSIDE" tcp 2001:db8:1::1 2000 3
	equal before "$(ask "$OUTSIDE" udp 2001:db8:1::1 53 4321)" "2001:db8:1::2 4321 53 hello"
	load <<<"dnat in eth0 udp to [2001:db8:1::1]:53 -> [2001:db8:2::2]:54"
	equal after "$(ask "$OUTSIDE" udp 2001:db8:1::1 53 4321)" "2001:db8:1::2 4321 54 hello"
	streams_end
	xfwd insert 1 drop in eth0 udp from 2001:db8:1::2
	fails ask "$OUTSIDE" udp 2001:db8:1::1 53 4321
	equal "udp flows" "$(flow_count proto udp)" 0
}

expires() {
	topology6
	serve "$OUTSIDE" udp :: 53
	load <<-END
		set timeout udp ${SLOWER}s
		masquerade out eth0 ipv6 from 2001:db8:2::/64
	END
	ask "$INSIDE" udp 2001:db8:1::2 53 4321
	equal flows "$(flow_count)" 1
	wait_until 10 eval '[[ $(xfwd stats) == *"0 of 131072 flows in use"* ]]'
}

every_mode "redirect" redirect
once "a rule for both families" both_families
once "rules of the other family come later" other_family_later
every_mode "dnat to the server behind" forward
every_mode "dnat and masquerade back" forward_and_back
each_mode "masquerade" masqueraded
each_mode "ping in and out" pings
each_mode "neighbour discovery" neighbours_asked
each_mode "snat to an address and to a range of ports" to_an_address
once "flows: output, filters, delete" flow_commands
each_mode "flows follow a change of rules" follow_rules
once "flows expire" expires
finish
