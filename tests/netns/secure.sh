#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What must not pass, must not be taken over, and must not be used up by others.
. "$(dirname "$0")/lib.sh"

frames() { # NS SCAPY-EXPRESSION...: each one frame, or a list, sent from the namespace's eth0
	local mac
	mac=$(ip -n "$EDGE" -j link show "$([[ $1 == "$OUTSIDE" ]] && echo eth0 || echo eth1)" |
		jq -r '.[0].address')
	in_ns "$1" /usr/bin/python3 -c "
from scapy.all import *
conf.verb = 0
E = Ether(dst='$mac', src=get_if_hwaddr('eth0'))
for frame in ($(printf '%s, ' "${@:2}")):
    sendp(frame, iface='eth0')
"
}

two_masquerades() { # as for a dnat to a server that shall see the edge
	topology
	serve "$OUTSIDE" udp 0.0.0.0 5000
	load <<-END
		dnat in eth0 tcp to :443 -> 10.0.0.2:8443
		masquerade out eth1 to 10.0.0.2
		masquerade out eth0 from 10.0.0.0/24
	END
	watch_leaks
	equal answer "$(ask "$INSIDE" udp 198.51.100.2 5000 4321)" "198.51.100.1 4321 5000 hello"
	in_ns "$INSIDE" ping -q -c 1 -W 2 198.51.100.2
	no_leaks
}

second_address() { # a wide masquerade leaves the answers of this host's services alone
	topology
	ip -n "$EDGE" address add 198.51.100.9/24 dev eth0
	serve "$EDGE" udp 198.51.100.9 53
	serve "$EDGE" tcp 198.51.100.9 80
	load <<<"masquerade out eth0"
	equal udp "$(ask "$OUTSIDE" udp 198.51.100.9 53 4321)" "198.51.100.2 4321 53 hello"
	equal tcp "$(ask "$OUTSIDE" tcp 198.51.100.9 80 4321)" "198.51.100.2 4321 80 hello"
	in_ns "$OUTSIDE" ping -q -c 1 -W 2 198.51.100.9
}

own_conversations() { # of this host: inside hosts cannot take them over
	topology
	serve "$OUTSIDE" udp 0.0.0.0 53
	load <<<"masquerade out eth0 from 10.0.0.0/24"
	ask "$EDGE" udp 198.51.100.2 53 4321
	equal "port free" "$(ask "$INSIDE" udp 198.51.100.2 53 4321)" "198.51.100.1 4321 53 hello"
	contains "$(ask "$EDGE" udp 198.51.100.2 53 4321)" "198.51.100.1 "
	serve "$EDGE" udp 198.51.100.1 5555
	local answer
	answer=$(ask "$INSIDE" udp 198.51.100.2 53 5555)
	contains "$answer" "198.51.100.1 "
	[[ $answer != *" 5555 "* ]] || fail "the port of a socket of the edge was given away"
}

exposed_host() { # everything is sent inside, but for what this host itself asked for
	topology
	serve "$OUTSIDE" udp 0.0.0.0 53
	http_server "$OUTSIDE" 80
	serve "$INSIDE" udp 0.0.0.0 7000
	load <<<"dnat in eth0 -> 10.0.0.2"
	equal inside "$(ask "$OUTSIDE" udp 198.51.100.1 7000 4321)" "198.51.100.2 4321 7000 hello"
	equal own "$(ask "$EDGE" udp 198.51.100.2 53 4321)" "198.51.100.1 4321 53 hello"
	equal page "$(fetch "$EDGE" http://198.51.100.2/)" outside
	in_ns "$EDGE" ping -q -c 1 -W 2 198.51.100.2
}

drop_ends_flows() {
	topology
	serve "$OUTSIDE" udp 0.0.0.0 53
	load <<-END
		interface eth1
		masquerade out eth0 from 10.0.0.0/24
	END
	ask "$INSIDE" udp 198.51.100.2 53 4321
	ask "$INSIDE" udp 198.51.100.2 53 4321
	xfwd insert 1 drop in eth1 from 10.0.0.2
	fails ask "$INSIDE" udp 198.51.100.2 53 4321
	equal flows "$(flow_count)" 0
}

loopback_guarded() {
	topology
	serve "$EDGE" udp 127.0.0.1 5353
	load <<-END
		$([[ $MODE != auto ]] || echo "interface eth0")
		dnat tcp to :59999 -> 127.0.0.1:3306
	END
	equal "attached" "$(in_ns "$EDGE" sysctl -n net.ipv4.conf.eth0.route_localnet)" 1
	equal "not attached" "$(in_ns "$EDGE" sysctl -n net.ipv4.conf.eth1.route_localnet)" \
		"$([[ $MODE == auto ]] && echo 0 || echo 1)"
	local packet="IP(src='198.51.100.2', dst='127.0.0.1')/UDP(sport=1, dport=5353)/b'x'"
	frames "$OUTSIDE" "E/$packet" "Ether(dst='ff:ff:ff:ff:ff:ff')/$packet" \
		"Ether(dst='01:00:5e:00:00:01')/$packet"
	wait_until 5 eval '(($(counter martian) == 3))'
}

refused_by_the_firewall() { # what FORWARD drops makes no flow that lets an answer out as it is
	topology
	serve "$OUTSIDE" udp 198.51.100.2 53
	ip -n "$OUTSIDE" route add 10.0.0.0/24 via 198.51.100.1
	load <<<"masquerade out eth0 from 10.0.0.0/24"
	in_ns "$EDGE" nft -f - <<-END
		table ip filter { chain forward {
			type filter hook forward priority 0; policy drop;
			iifname eth1 accept; ip daddr 10.0.0.2 udp sport 53 udp dport 4321 accept; }
		}
	END
	frames "$OUTSIDE" "E/IP(src='198.51.100.2', dst='10.0.0.2')/UDP(sport=53, dport=5555)/b'x'"
	watch_leaks
	ask "$INSIDE" udp 198.51.100.2 53 5555
	no_leaks
}

odd_packets() { # nothing that a rule might cover leaves as it is
	topology
	load <<-END
		interface eth1
		masquerade out eth0 udp from 10.0.0.0/24 to :53
		masquerade out eth0 tcp from 10.0.0.0/24 to :80
		masquerade out eth0 icmp from 10.0.0.0/24
	END
	in_ns "$EDGE" ip route add 240.0.0.0/4 via 198.51.100.2
	watch_leaks
	local to="E/IP(src='10.0.0.2', dst='198.51.100.2')"
	frames "$INSIDE" "$to/UDP(sport=4321, dport=53, len=4)/b'x'" \
		"$to/TCP(sport=4321, dport=80, dataofs=4, flags='S')" \
		"$to/TCP(sport=4321, dport=80, flags='PA')/b'x'" \
		"$to/TCP(sport=4321, dport=80, flags='FPU')" \
		"E/IP(src='10.0.0.2', dst='198.51.100.2', frag=100, proto=17, id=7)/b'12345678'" \
		"$to/ICMP(type=3, code=3)/IP(src='198.51.100.2', dst='10.0.0.2')/UDP(sport=1, dport=2)" \
		"$to/ICMP(type=0, id=9)" \
		"E/IP(src='10.0.0.2', dst='240.1.2.3')/UDP(sport=4321, dport=53)/b'x'"
	wait_until 5 eval '(($(counter stray_dropped) >= 3 && $(counter malformed) >= 2))'
	equal "fragments that wait for their first" "$(counter held)" 1
	no_leaks
}

opened_again() { # and again: one tuple never takes more room than one flow
	topology
	serve "$OUTSIDE" tcp 0.0.0.0 80
	load <<-END
		set flows 64
		masquerade out eth0 from 10.0.0.0/24
	END
	local to="E/IP(src='10.0.0.2', dst='198.51.100.2')/TCP(sport=4321, dport=81, seq=1, flags="
	frames "$INSIDE" "[p for n in range(300) for p in ($to'S'), $to'R'))]"
	equal "table full" "$(counter flow_table_full)" 0
	(($(flow_count) <= 2)) || fail "$(flow_count) flows"
	ask "$INSIDE" tcp 198.51.100.2 80 5000 20
}

made_again() { # an interface deleted and made again under the same index
	topology
	load <<<"masquerade out eth0 from 10.0.0.0/24"
	local index
	index=$(ip -n "$EDGE" -j link show eth0 | jq '.[0].ifindex')
	ip -n "$EDGE" link delete eth0
	ip -n "$EDGE" link add eth0 index "$index" type veth peer name eth0 netns "$OUTSIDE"
	ip -n "$OUTSIDE" address add 198.51.100.2/24 dev eth0
	ip -n "$EDGE" address add 198.51.100.1/24 dev eth0
	ip -n "$OUTSIDE" link set eth0 up
	ip -n "$EDGE" link set eth0 up
	load <<<"masquerade out eth0 from 10.0.0.0/24"
	serve "$OUTSIDE" udp 0.0.0.0 53
	equal answer "$(ask "$INSIDE" udp 198.51.100.2 53 4321)" "198.51.100.1 4321 53 hello"
}

guest_marks() { # its filters say of what it sends that it has been translated already
	topology
	in_ns "$EDGE" sysctl -qw net.ipv4.ip_forward=1
	load <<-END
		interface eth0 { mode tc }
		drop out eth0 udp to :53
		masquerade out eth0
	END
	serve "$OUTSIDE" udp 198.51.100.2 53
	serve "$OUTSIDE" udp 198.51.100.2 54
	in_ns "$INSIDE" tc qdisc add dev eth0 clsact
	in_ns "$INSIDE" tc filter add dev eth0 egress protocol ip u32 match u32 0 0 flowid 1:7866
	[[ $(ask "$INSIDE" udp 198.51.100.2 54) == *198.51.100.1* ]] || fail "not translated"
	! ask "$INSIDE" udp 198.51.100.2 53 || fail "not dropped"
}

other_namespace() { # without -n, in another namespace than that of the running state
	[[ ! -e /sys/fs/bpf/xfwd/host ]] || skip "xfwd is in use on this machine"
	topology
	in_net() { nsenter --net="/run/netns/$1" "$XFWD" "${@:2}"; }
	in_net "$EDGE" -q add masquerade out eth0
	local command
	for command in "list" "add drop in eth0 tcp to :1" "down"; do
		equal "status of $command" "$(status_of in_net "$INSIDE" $command)" 1
		contains "$(said)" "another network namespace"
	done
	contains "$(in_net "$EDGE" list)" masquerade
	in_net "$EDGE" down
}

namespace_gone() {
	topology
	load <<<"masquerade out eth0"
	mv "/run/netns/$EDGE" "/run/netns/$EDGE-hidden" 2>/dev/null || {
		touch "/run/netns/$EDGE-hidden"
		mount --bind "/run/netns/$EDGE" "/run/netns/$EDGE-hidden"
		NAMESPACES+=("$EDGE-hidden")
		ip netns delete "$EDGE"
	}
	[[ -e /sys/fs/bpf/xfwd/netns/$EDGE ]]
	xfwd down
	[[ ! -e /sys/fs/bpf/xfwd/netns/$EDGE ]] || fail "pins were left"
	ip netns add "$EDGE"
}

each_mode "masquerade on both sides" two_masquerades
each_mode "a service on a second address behind a wide masquerade" second_address
each_mode "this host's own conversations" own_conversations
each_mode "an exposed host" exposed_host
each_mode "a drop rule ends flows" drop_ends_flows
each_mode "loopback is guarded" loopback_guarded
once "what the firewall refused" refused_by_the_firewall
every_mode "odd packets" odd_packets
each_mode "a connection opened again and again" opened_again
once "an interface made again" made_again
once "what a guest marks as translated" guest_marks
once "another namespace's state" other_namespace
once "pins of a namespace that has gone" namespace_gone
finish
