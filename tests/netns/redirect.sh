#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Traffic to the machine itself: redirect, services on loopback, connections that were there before.
. "$(dirname "$0")/lib.sh"

redirect_alone() {
	topology
	http_server "$EDGE" 8080
	refused "$OUTSIDE" http://198.51.100.1/
	load </dev/null
	xfwd add redirect in eth0 tcp to :80 '->' :8080
	mode_is_on
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" edge
	equal "seen source" "$(fetch "$OUTSIDE" http://198.51.100.1/peer)" 198.51.100.2
	equal "page at the real port" "$(fetch "$OUTSIDE" http://198.51.100.1:8080/)" edge
	xfwd delete redirect in eth0 tcp to :80 '->' :8080
	refused "$OUTSIDE" http://198.51.100.1/
	equal "page at the real port" "$(fetch "$OUTSIDE" http://198.51.100.1:8080/)" edge
}

first_command() { # no file, no status asked: one `add` on a machine that never saw xfwd
	topology
	http_server "$EDGE" 8080
	xfwd add 'redirect in eth0 tcp to :80 -> :8080'
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" edge
	equal rules "$(rules)" "redirect in eth0 tcp to :80 -> :8080"
	xfwd delete "$(xfwd list -j | jq '.rules[0].handle')"
	refused "$OUTSIDE" http://198.51.100.1/
}

redirect_udp() {
	topology
	serve "$EDGE" udp 0.0.0.0 5353
	load <<<"redirect in eth0 udp to :53 -> :5353"
	equal answer "$(ask "$OUTSIDE" udp 198.51.100.1 53 4321)" "198.51.100.2 4321 5353 hello"
	# The same port of the client, straight to the service: another flow, not the first one's.
	equal "straight answer" "$(ask "$OUTSIDE" udp 198.51.100.1 5353 4322)" \
		"198.51.100.2 4322 5353 hello"
}

big_pages() { # the service's own segments are large and their checksums left to the device
	topology
	http_server "$EDGE" 8080
	head -c 32M /dev/urandom >"$TMP/www/big"
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	equal sum "$(fetch "$OUTSIDE" http://198.51.100.1/big | sha256sum)" \
		"$(sha256sum <"$TMP/www/big")"
}

loopback_service() {
	topology
	serve "$EDGE" tcp 127.0.0.1 3306
	load <<<"dnat in eth0 tcp to :59999 -> 127.0.0.1:3306"
	equal answer "$(ask "$OUTSIDE" tcp 198.51.100.1 59999 4321)" "198.51.100.2 4321 3306 hello"
}

loopback_guard() { # what makes 127.0.0.1 reachable must not open it to the wire
	topology
	serve "$EDGE" tcp 127.0.0.1 3306
	load <<<"dnat in eth0 tcp to :59999 -> 127.0.0.1:3306"
	local mac before
	mac=$(ip -n "$EDGE" -j link show eth0 | jq -r '.[0].address')
	before=$(counter martian)
	in_ns "$OUTSIDE" /usr/bin/python3 - "$mac" <<-'END'
		import sys
		from scapy.all import Ether, IP, TCP, srp1
		probe = Ether(dst=sys.argv[1]) / IP(src="198.51.100.2", dst="127.0.0.1") / TCP(dport=3306)
		sys.exit(srp1(probe, iface="eth0", timeout=1, verbose=0) is not None)
	END
	(($(counter martian) > before)) || fail "the probe was not counted as martian"
}

connection_from_before() {
	topology
	serve "$EDGE" tcp 0.0.0.0 22
	serve "$INSIDE" tcp 10.0.0.2 22
	streams "$OUTSIDE" tcp 198.51.100.1 22 3
	load <<-END
		dnat in eth0 tcp to :22 -> 10.0.0.2:22
		masquerade out eth0
	END
	streams_go_on
	equal "a new connection" "$(ask "$OUTSIDE" tcp 198.51.100.1 22 4321)" \
		"198.51.100.2 4321 22 hello"
	equal "flows to inside" "$(flow_count proto tcp sport 4321)" 1
	streams_end
}

once "one add on a fresh machine forwards, one delete undoes it" first_command
every_mode "redirect alone makes a service answer on another port" redirect_alone
each_mode "redirect UDP" redirect_udp
every_mode "redirect and a large download" big_pages
each_mode "dnat to a service bound to loopback" loopback_service
every_mode "loopback stays closed to the wire" loopback_guard
each_mode "connections from before the rules survive them" connection_from_before
finish
