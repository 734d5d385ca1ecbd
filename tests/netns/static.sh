#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One to one, both ways, without flows.
. "$(dirname "$0")/lib.sh"

mapped() { # outside knows the way to 203.0.113.0/24 and 2001:db8:cb::/64, which nobody has
	topology6
	ip -n "$OUTSIDE" route add 203.0.113.0/24 via 198.51.100.1
	ip -n "$OUTSIDE" route add 2001:db8:cb::/64 via 2001:db8:1::1
	mkdir -p "$TMP/www"
	head -c 32M /dev/urandom >"$TMP/www/big"
	sum=$(sha256sum <"$TMP/www/big")
	watch_leaks
}

both_ways() { # HOST-OUTSIDE HOST-INSIDE-AS-SEEN FROM
	local url=$2
	[[ $2 != *:* ]] || url="[$2]"
	equal page "$(fetch "$OUTSIDE" "http://$url:8080/")" inside
	equal "seen source" "$(fetch "$OUTSIDE" "http://$url:8080/peer")" "$1"
	equal "sum, inwards" "$(fetch "$OUTSIDE" "http://$url:8080/big" | sha256sum)" "$sum"
	equal "UDP, inwards" "$(ask "$OUTSIDE" udp "$2" 53 4321)" "$1 4321 53 hello"
	in_ns "$OUTSIDE" ping -q -c 5 -i 0.01 -W 2 "$2"
	url=$1
	[[ $1 != *:* ]] || url="[$1]"
	equal "seen source, outwards" "$(fetch "$INSIDE" "http://$url/peer")" "$2"
	equal "sum, outwards" "$(fetch "$INSIDE" "http://$url/big" | sha256sum)" "$sum"
	equal "UDP, outwards" "$(ask "$INSIDE" udp "$1" 53 4321)" "$2 4321 53 hello"
	in_ns "$INSIDE" ping -q -c 5 -i 0.01 -W 2 "$1"
}

servers() { # ADDRESS: any of that family
	local any=0.0.0.0
	[[ $1 != *:* ]] || any="[::]"
	http_server "$INSIDE" 8080 "$any"
	http_server "$OUTSIDE" 80 "$any"
	any=${any#[}
	serve "$INSIDE" udp "${any%]}" 53
	serve "$OUTSIDE" udp "${any%]}" 53
}

networks() {
	mapped
	servers 198.51.100.2
	load <<<"static eth0 203.0.113.0/24 <-> 10.0.0.0/24"
	both_ways 198.51.100.2 203.0.113.2
	equal flows "$(flow_count)" 0
	no_leaks
	xfwd list -j | jq -e '.rules[0].packets > 100'
}

networks6() {
	mapped
	servers 2001:db8:1::2
	load <<<"static eth0 2001:db8:cb::/64 <-> 2001:db8:2::/64"
	both_ways 2001:db8:1::2 2001:db8:cb::2
	equal flows "$(flow_count)" 0
	no_leaks
}

in_its_place() { # what is before it decides; a masquerade is there for the others
	mapped
	serve "$INSIDE" udp 0.0.0.0 53-54
	serve "$EDGE" udp 0.0.0.0 54
	serve "$OUTSIDE" udp 0.0.0.0 53
	ip -n "$INSIDE" address add 10.0.0.3/24 dev eth0
	load <<-END
		redirect in eth0 udp to :54 -> :54
		static eth0 203.0.113.5 <-> 10.0.0.2
		masquerade out eth0 from 10.0.0.0/24
	END
	equal static "$(ask "$OUTSIDE" udp 203.0.113.5 53 4321)" "198.51.100.2 4321 53 hello"
	equal "static, outwards" "$(ask "$INSIDE" udp 198.51.100.2 53 4321)" \
		"203.0.113.5 4321 53 hello"
	contains "$(echo x | in_ns "$INSIDE" nc -u -W 1 -w 5 -s 10.0.0.3 -p 4321 198.51.100.2 53)" \
		"198.51.100.1 "
	ask "$OUTSIDE" udp 203.0.113.5 54 4321
	equal "flows of the redirect" "$(flow_count dport 54)" 1
	xfwd delete "static eth0 203.0.113.5 <-> 10.0.0.2"
	contains "$(ask "$INSIDE" udp 198.51.100.2 53 4322)" "198.51.100.1 "
	fails ask "$OUTSIDE" udp 203.0.113.5 53 4321
	no_leaks
}

every_mode "a network for a network" networks
each_mode "a network for a network, IPv6" networks6
once "among other rules" in_its_place
finish
