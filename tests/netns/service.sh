#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `xfwd run`: kept next hops follow every change while it is there, and are not trusted without it.
#
# Inside is reached in two ways. What comes for 10.9.9.9 is counted by the interface it comes in at:
# "the old place" is where it went before a change.
#
#	outside ──────────── eth0  edge  eth1 ──────────── eth0  inside
#	198.51.100.2  198.51.100.1    │  10.0.0.1  10.0.0.2      10.9.9.9
#	                              └─ eth2 ──────────── eth1
#	                                 10.0.1.1  10.0.1.2
#
# Likewise 2001:db8:9::9 by 2001:db8:2::2 and 2001:db8:3::2: `over6 CASE`.
. "$(dirname "$0")/lib.sh"
MODES="auto native"
ENTRY=198.51.100.1 TARGET=10.9.9.9 WAY=10.0.0.2 OTHER_WAY=10.0.1.2
FAMILY=-4
RULE="dnat in eth0 tcp,udp to :2000 -> 10.9.9.9"

over6() {
	ENTRY=2001:db8:1::1 TARGET=2001:db8:9::9 WAY=2001:db8:2::2 OTHER_WAY=2001:db8:3::2
	FAMILY=-6
	RULE="dnat in eth0 tcp,udp to [2001:db8:1::1]:2000 -> 2001:db8:9::9"
	"$@"
}

two_ways() {
	topology6
	second_way
	ip -n "$INSIDE" address add "$TARGET" dev lo
	ip -n "$EDGE" route add "$TARGET" via "$WAY"
	ip -n "$EDGE" route add "$TARGET" via "$OTHER_WAY" metric 2000
	ip -n "$INSIDE" route add default via 10.0.1.1 metric 2000
	ip -n "$INSIDE" route add default via 2001:db8:3::1 metric 2000
	in_ns "$INSIDE" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0 \
		net.ipv4.conf.all.ignore_routes_with_linkdown=1 \
		net.ipv6.conf.all.ignore_routes_with_linkdown=1
	for_xdp "$OUTSIDE" eth0
	for_xdp "$INSIDE" eth0
	for_xdp "$INSIDE" eth1
	local match="ip daddr $TARGET counter"
	[[ $FAMILY != -6 ]] || match="ip6 daddr $TARGET counter"
	in_ns "$INSIDE" nft -f - <<-END
		table inet places {
			chain in {
				type filter hook prerouting priority -400
				iifname eth0 $match
				iifname eth1 $match
				iifname other $match
			}
		}
	END
	serve "$INSIDE" tcp "$TARGET" 2000-2001
	serve "$INSIDE" udp "$TARGET" 2000
}

second_way() {
	link "$EDGE" eth2 10.0.1.1/24 "$INSIDE" eth1 10.0.1.2/24
	address6 "$EDGE" eth2 2001:db8:3::1
	address6 "$INSIDE" eth1 2001:db8:3::2
}

# A veth takes frames from XDP while its peer polls, and XDP takes whole checksums only.
for_xdp() { # NS INTERFACE
	[[ $MODE != native ]] || in_ns "$1" ethtool -K "$2" gro on tx off >/dev/null
}

came() { # INTERFACE: how many packets came in there
	in_ns "$INSIDE" nft -j list chain inet places in |
		jq ".nftables[].rule.expr? // empty | select(.[0].match.right == \"$1\")[2].counter.packets"
}

run_service() { # rules on standard input
	{ mode_lines && echo "interface eth2 { mode $MODE }" && cat; } >"$TMP/case/xfwd.conf"
	run_again
}

run_again() {
	rm -f "$TMP/case/notify"
	socat -u "UNIX-RECV:$TMP/case/notify" "OPEN:$TMP/case/notified,creat,append" &
	wait_until 5 test -S "$TMP/case/notify"
	: >"$TMP/case/notified"
	NOTIFY_SOCKET=$TMP/case/notify "$XFWD" -n "$EDGE" run "$TMP/case/xfwd.conf" &
	SERVICE=$!
	wait_until 10 notified READY=1
}

notified() { # TEXT
	grep -aq "$1" "$TMP/case/notified"
}

forward_streams() { # of both protocols, whose UDP datagrams must all be answered
	run_service <<<"$RULE"
	streams "$OUTSIDE" tcp "$ENTRY" 2000 20
	streams "$OUTSIDE" udp "$ENTRY" 2000 20
	[[ $MODE != native ]] || ! veths_tell || (($(xdp_forwarded) > 100)) ||
		fail "XDP does not forward"
}

xdp_forwarded() {
	xfwd stats -j | jq .stats.xdp_ingress.forwarded.packets
}

now_ms() {
	echo $(($(now) / 1000))
}

is_over() { # SINCE MS: where looking takes long, too
	(($(now_ms) - $1 > $2))
}

# Nothing comes to the old place later than MS after the change at `now_ms` SINCE; it comes to the new.
moved() { # OLD NEW SINCE MS
	local left=$(($3 + $4 - $(now_ms))) old new
	((left < 0)) || sleep_ms $left
	old=$(came "$1")
	new=$(came "$2")
	wait_until 10 more_than "$2" $((new + 100))
	equal "packets that came to the old place" "$(came "$1")" "$old"
}

more_than() { # INTERFACE PACKETS
	(($(came "$1") > $2))
}

route_moved() {
	two_ways
	forward_streams
	local n
	for n in $(rounds 3); do
		ip -n "$EDGE" route replace "$TARGET" via "$OTHER_WAY"
		moved eth0 eth1 "$(now_ms)" 200
		ip -n "$EDGE" route replace "$TARGET" via "$WAY"
		moved eth1 eth0 "$(now_ms)" 200
	done
	ip -n "$EDGE" "$FAMILY" rule add iif eth0 to "$TARGET" lookup 7
	ip -n "$EDGE" route add default via "$OTHER_WAY" table 7
	moved eth0 eth1 "$(now_ms)" 200
	streams_end
}

# Kept next hops are in use: the old way is taken until the lease runs out, and not for longer.
stalled() {
	two_ways
	forward_streams
	kill -STOP "$SERVICE"
	local old since
	since=$(now_ms)
	ip -n "$EDGE" route replace 10.9.9.9 via 10.0.1.2
	old=$(came eth0)
	sleep 0.3
	(($(came eth0) > old + 50)) || is_over "$since" 1000 || fail "next hops are not kept"
	moved eth0 eth1 "$since" 1000
	kill -CONT "$SERVICE"
	moved eth0 eth1 "$(now_ms)" 0
	ip -n "$EDGE" route replace 10.9.9.9 via 10.0.0.2
	moved eth1 eth0 "$(now_ms)" 200
	streams_end
}

killed() {
	two_ways
	forward_streams
	local since n
	for n in $(rounds 2); do
		kill -9 "$SERVICE"
		wait "$SERVICE" || true
		since=$(now_ms)
		ip -n "$EDGE" route replace 10.9.9.9 via 10.0.1.2
		moved eth0 eth1 "$since" 1000
		run_again
		ip -n "$EDGE" route replace 10.9.9.9 via 10.0.0.2
		moved eth1 eth0 "$(now_ms)" 200
	done
	streams_end
}

stopped() {
	two_ways
	forward_streams
	kill -TERM "$SERVICE"
	wait "$SERVICE"
	wait_until 5 notified STOPPING=1
	ip -n "$EDGE" route replace 10.9.9.9 via 10.0.1.2
	moved eth0 eth1 "$(now_ms)" 100
	equal "rules that stay" "$(rules)" "dnat in eth0 tcp,udp to :2000 -> 10.9.9.9"
	streams_end
}

neighbour_moved() {
	two_ways
	ip -n "$INSIDE" link add other link eth0 address 02:00:00:00:00:77 type macvlan mode private
	ip -n "$INSIDE" link set other up
	forward_streams
	ip -n "$EDGE" neigh replace "$WAY" lladdr 02:00:00:00:00:77 dev eth1 nud permanent
	moved eth0 other "$(now_ms)" 200
	ip -n "$EDGE" neigh replace "$WAY" lladdr "$(mac "$INSIDE" eth0)" dev eth1 nud reachable
	moved other eth0 "$(now_ms)" 200
	streams_end
}

mac() { # NS INTERFACE
	ip -n "$1" -j link show "$2" | jq -r '.[0].address'
}

# What XDP and tc forward does not make the kernel ask again: the service does.
neighbour_confirmed() {
	two_ways
	local folder=net.ipv4.neigh.eth1
	[[ $FAMILY != -6 ]] || folder=net.ipv6.neigh.eth1
	in_ns "$EDGE" sysctl -qw $folder.base_reachable_time_ms=2000 \
		$folder.delay_first_probe_time=1
	forward_streams
	local n
	for n in 1 2 3; do
		wait_until 12 confirmed_within 1
		wait_until 12 confirmed_before 3
	done
	equal "lookups since" "$(($(generation) < 20))" 1
	streams_end
}

# iproute2 shows used/confirmed/updated, in seconds.
confirmed_ago() {
	ip -n "$EDGE" -s neigh show "$WAY" dev eth1 | sed -nE 's:.*used [0-9]+/([0-9]+)/.*:\1:p'
}

confirmed_within() {
	(($(confirmed_ago) <= $1))
}

confirmed_before() {
	(($(confirmed_ago) >= $1))
}

generation() {
	bpftool -j map lookup pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/hop_lease" key 0 0 0 0 |
		jq '.. | .generation? // empty'
}

tcp_streams() {
	run_service <<-END
		dnat in eth0 tcp to :2000-2001 -> 10.9.9.9
		masquerade out eth1 tcp to 10.9.9.9:2001
	END
	streams "$OUTSIDE" tcp 198.51.100.1 2000 20
	masquerades
}

masquerades() { # through the rule that names eth1
	contains "$(ask "$OUTSIDE" tcp 198.51.100.1 2001)" "10.0.0.1 "
}

interface_down() {
	two_ways
	run_service <<<"$RULE"
	streams "$OUTSIDE" tcp "$ENTRY" 2000 20
	ip -n "$EDGE" link set eth1 down
	moved eth0 eth1 "$(now_ms)" 200
	ip -n "$EDGE" link set eth1 up
	wait_until 5 is_up "$EDGE" eth1
	# An interface that goes down loses it, and inside answers over it again from here on.
	[[ $FAMILY != -6 ]] || address6 "$EDGE" eth1 2001:db8:2::1
	streams_go_on
	ip -n "$EDGE" route add "$TARGET" via "$WAY"
	moved eth1 eth0 "$(now_ms)" 200
	streams_end
}

interface_made_again() {
	two_ways
	ip -n "$EDGE" route delete 10.9.9.9 via 10.0.1.2
	tcp_streams
	make_again eth1 10.0.0.1/24 "$INSIDE" 10.0.0.2/24
	for_xdp "$INSIDE" eth0
	ip -n "$INSIDE" route add default via 10.0.0.1
	ip -n "$EDGE" route add 10.9.9.9 via 10.0.0.2
	wait_until 5 mode_is_on eth1
	streams_go_on
	wait_until 5 masquerades

	make_again eth0 198.51.100.1/24 "$OUTSIDE" 198.51.100.2/24
	for_xdp "$OUTSIDE" eth0
	wait_until 5 mode_is_on eth0
	wait_until 5 masquerades
	attached 3
	streams_end
}

# It comes up when its rules are in force: what came before would meet none of them, and be refused.
make_again() { # INTERFACE ADDRESS/LEN NS ADDRESS/LEN
	local before
	ip -n "$EDGE" link delete "$1"
	wait_until 5 attached 2
	before=$(rules_generation)
	ip -n "$EDGE" link add "$1" type veth peer name eth0 netns "$3"
	wait_until 10 attached 3
	wait_until 1 eval "((\$(rules_generation) > $before))"
	end_of_link "$EDGE" "$1" "$2"
	end_of_link "$3" eth0 "$4"
	wait_until 5 is_up "$EDGE" "$1"
}

attached() { # HOW-MANY
	[[ $(xfwd status -j | jq '.interfaces | length') == "$1" ]]
}

rules_generation() {
	bpftool -j map lookup pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/settings" key 0 0 0 0 |
		jq '.. | .generation? // empty'
}

same_index() { # one that has the index of the one before, made before anyone could look
	two_ways
	ip -n "$EDGE" route delete 10.9.9.9 via 10.0.1.2
	tcp_streams
	local index
	index=$(ip -n "$EDGE" -j link show eth1 | jq '.[0].ifindex')
	kill -STOP "$SERVICE"
	ip -n "$EDGE" link delete eth1
	ip -n "$EDGE" link add eth1 index "$index" type veth peer name eth0 netns "$INSIDE"
	end_of_link "$EDGE" eth1 10.0.0.1/24
	end_of_link "$INSIDE" eth0 10.0.0.2/24
	kill -CONT "$SERVICE"
	for_xdp "$INSIDE" eth0
	ip -n "$INSIDE" route add default via 10.0.0.1
	ip -n "$EDGE" route add 10.9.9.9 via 10.0.0.2
	streams_go_on
	wait_until 5 masquerades
	equal "programs at eth1's tc hooks" "$(tc_programs eth1)" 2
	streams_end
}

tc_programs() { # INTERFACE: by TCX, or by clsact filters where there is none
	local hook
	{
		in_ns "$EDGE" "$PEER" tcx "$1"
		for hook in ingress egress; do
			in_ns "$EDGE" tc filter show dev "$1" "$hook" | grep -c direct-action || true
		done
	} | jq -s add
}

address_changed() {
	two_ways
	serve "$OUTSIDE" udp 0.0.0.0 53
	serve "$OUTSIDE" tcp 0.0.0.0 80
	run_service <<<"masquerade out eth0 from 10.0.0.0/8"
	streams "$INSIDE" tcp 198.51.100.2 80 5
	contains "$(ask "$INSIDE" udp 198.51.100.2 53 4321)" "198.51.100.1 "
	printf 'address %s 198.51.100.1/24 dev eth0\n' delete add | ip -n "$EDGE" -batch -
	streams_end
	equal "flows that an address that is back leaves" "$(flow_count dport 53)" 1
	ip -n "$EDGE" address add 198.51.100.9/24 dev eth0
	streams_none
	ip -n "$EDGE" address delete 198.51.100.1/24 dev eth0
	[[ -n $(ip -n "$EDGE" address show to 198.51.100.9) ]] ||
		ip -n "$EDGE" address add 198.51.100.9/24 dev eth0
	wait_until 2 flows_gone
	contains "$(ask "$INSIDE" udp 198.51.100.2 53 4321)" "198.51.100.9 "
	contains "$(ask "$INSIDE" tcp 198.51.100.2 80)" "198.51.100.9 "
}

address6_changed() {
	two_ways
	serve "$OUTSIDE" udp :: 53
	serve "$OUTSIDE" tcp :: 80
	run_service <<<"masquerade out eth0 from 2001:db8:2::/64"
	streams "$INSIDE" tcp 2001:db8:1::2 80 5
	contains "$(ask6)" "2001:db8:1::1 "
	printf 'address %s 2001:db8:1::1/64 dev eth0 %s\n' delete "" add nodad |
		ip -n "$EDGE" -batch -
	streams_go_on
	equal "flows that an address that is back leaves" "$(flow_count dport 53)" 1

	address6 "$EDGE" eth0 2001:db8:1::9
	ip -n "$EDGE" address change 2001:db8:1::1/64 dev eth0 preferred_lft 0
	wait_until 2 masquerades_as 2001:db8:1::9
	streams_end
	ip -n "$EDGE" address change 2001:db8:1::9/64 dev eth0 preferred_lft 0
	ip -n "$EDGE" address change 2001:db8:1::1/64 dev eth0 preferred_lft forever
	wait_until 2 masquerades_as 2001:db8:1::1

	streams_none
	ip -n "$EDGE" address delete 2001:db8:1::1/64 dev eth0
	wait_until 2 eval '[[ $(flow_count dst 2001:db8:1::1) == 0 ]]'
	masquerades_as 2001:db8:1::9
	ip -n "$EDGE" address add 2001:db8:1::a/64 dev eth0
	ip -n "$EDGE" address delete 2001:db8:1::9/64 dev eth0
	wait_until 5 masquerades_as 2001:db8:1::a
}

ask6() {
	ask "$INSIDE" udp 2001:db8:1::2 53 4321
}

masquerades_as() { # ADDRESS: a new flow
	xfwd -q flows delete proto udp
	contains "$(ask6)" "$1 "
}

streams_none() {
	STREAMS=()
}

flows_gone() {
	[[ $(flow_count dst 198.51.100.1) == 0 ]]
}

route_moved6() {
	over6 route_moved
}

neighbour_moved6() {
	over6 neighbour_moved
}

neighbour_confirmed6() {
	over6 neighbour_confirmed
}

interface_down6() {
	over6 interface_down
}

loose_source() { # the programs are told of it, whenever it changes
	topology
	second_way
	run_service <<<"masquerade out eth0"
	local key value
	for key in eth0 all; do
		for value in 2 1; do
			in_ns "$EDGE" sysctl -qw "net.ipv4.conf.$key.rp_filter=$value"
			wait_until 2 loose_is $((value == 2)) eth0
			loose_is $((value == 2 && ${#key} == 3)) eth1 # of all
		done
	done
}

loose_is() { # 0|1 INTERFACE
	local index
	index=$(ip -n "$EDGE" -j link show "$2" | jq '.[0].ifindex')
	[[ $(bpftool -j map lookup pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/ifaces" \
		key "$index" 0 0 0 | jq '.formatted.value.flags / 16 % 2 | floor') == "$1" ]]
}

few_descriptors() { # the processes it starts leave none open; where there are too few, it ends
	topology
	second_way
	run_service <<<"masquerade out eth0"
	local before rc=0
	wait_until 5 is_idle
	before=$(descriptors)
	changes 8
	wait_until 5 eval "((\$(descriptors) <= $before))"
	wait_until 5 is_idle
	prlimit --pid "$SERVICE" --nofile=3
	ip -n "$EDGE" address add 10.0.2.1/24 dev eth2
	wait_until 5 fails kill -0 "$SERVICE"
	wait "$SERVICE" || rc=$?
	equal "status of the service" $rc 1
	grep -q "cannot wait for a process" "$TMP/log"
}

is_idle() {
	! pgrep -P "$SERVICE"
}

descriptors() {
	ls "/proc/$SERVICE/fd" | wc -l
}

changes() { # HOW-MANY: a process of the service's for each, and it has done its work
	local n
	for ((n = 1; n <= $1; n++)); do
		in_ns "$EDGE" sysctl -qw net.ipv4.conf.eth0.rp_filter=$((1 + n % 2))
		wait_until 5 loose_is $((n % 2)) eth0
	done
}

one_refused() { # an interface that cannot be attached keeps neither others nor flows from it
	topology
	second_way
	serve "$OUTSIDE" udp 0.0.0.0 53
	run_service <<-END
		interface eth1 { mode native }
		masquerade out eth0 from 10.0.0.0/8
	END
	ask "$INSIDE" udp 198.51.100.2 53 4321
	ip -n "$EDGE" link delete eth1
	ip -n "$EDGE" link delete eth2
	wait_until 5 attached 1
	ip -n "$EDGE" link add eth1 type bridge
	wait_until 5 grep -q "cannot attach to eth1 in mode native" "$TMP/log"
	second_way
	wait_until 5 eval '[[ $(tc_programs eth2) == 2 ]]'
	equal flows "$(flow_count dst 198.51.100.1)" 1
	quiet
	ip -n "$EDGE" address add 198.51.100.9/24 dev eth0
	ip -n "$EDGE" address delete 198.51.100.1/24 dev eth0
	wait_until 5 flows_gone
}

one_refused_renamed() { # nor rules from interfaces that change names with each other
	topology
	second_way
	run_service <<-END
		interface eth3 { mode native }
		redirect in eth0 udp to :2000 -> :2001
	END
	serve "$EDGE" udp 0.0.0.0 2001
	ask "$OUTSIDE" udp 198.51.100.1 2000
	ip -n "$EDGE" link add eth3 type bridge
	wait_until 5 grep -q "cannot attach to eth3 in mode native" "$TMP/log"
	rename eth0 other
	rename eth2 eth0
	rename other eth2
	wait_until 5 ask "$INSIDE" udp 10.0.1.1 2000
	fails ask "$OUTSIDE" udp 198.51.100.1 2000
	quiet
}

flows_later() { # what could not be done for want of descriptors is done when there are some
	topology
	second_way
	serve "$OUTSIDE" udp 0.0.0.0 53
	run_service <<<"masquerade out eth0 from 10.0.0.0/8"
	ask "$INSIDE" udp 198.51.100.2 53 4321
	wait_until 5 is_idle
	prlimit --pid "$SERVICE" --nofile=$(($(descriptors) + 6)):
	ip -n "$EDGE" address add 198.51.100.9/24 dev eth0
	ip -n "$EDGE" address delete 198.51.100.1/24 dev eth0
	sleep_ms $((1000 * SLOWER))
	equal flows "$(flow_count dst 198.51.100.1)" 1
	prlimit --pid "$SERVICE" --nofile=1024:
	wait_until 5 flows_gone
}

renamed() { # it stays attached, under its new name, and is no reason to load the rules again
	topology
	second_way
	run_service <<<"masquerade out eth0"
	rename eth2 lan2
	wait_until 5 is_attached lan2
	fails is_attached eth2
	quiet
	rename eth0 lan0
	wait_until 5 is_attached lan0
	rename lan2 eth0
	wait_until 5 is_attached eth0
	quiet
}

is_attached() { # INTERFACE
	[[ $(xfwd status -j | jq -r '.interfaces[].name') == *"$1"* ]]
}

quiet() { # other changes leave the rules alone
	local before
	changes 2
	wait_until 5 is_idle
	before=$(rules_generation)
	changes 2
	wait_until 5 is_idle
	equal "generation of the rules" "$(rules_generation)" "$before"
}

reloads() {
	two_ways
	forward_streams
	echo "dnat in eth0 tcp to :3000 -> 10.9.9.9:2000" >>"$TMP/case/xfwd.conf"
	kill -HUP "$SERVICE"
	wait_until 5 rule_count_is 2
	wait_until 5 notified RELOADING=1
	contains "$(ask "$OUTSIDE" tcp 198.51.100.1 3000)" "198.51.100.2 "
	echo "dnat in eth0 tcp to :99999 -> 10.9.9.9" >>"$TMP/case/xfwd.conf"
	: >"$TMP/case/notified"
	kill -HUP "$SERVICE"
	wait_until 5 notified READY=1
	grep -q "xfwd.conf:.*port out of range" "$TMP/log"
	grep -q "was not loaded: the rules that were in force stay" "$TMP/log"
	equal rules "$(rules | wc -l)" 2
	kill -0 "$SERVICE"
	xfwd add "dnat in eth0 tcp to :3001 -> 10.9.9.9:2000"
	contains "$(ask "$OUTSIDE" tcp 198.51.100.1 3001)" "198.51.100.2 "
	ip -n "$EDGE" route replace 10.9.9.9 via 10.0.1.2
	moved eth0 eth1 "$(now_ms)" 200
	streams_end
}

rule_count_is() {
	[[ $(rules | wc -l) == "$1" ]]
}

interface_later() { # at boot, for one: until then its rules rest, and neither start nor reload waits
	topology
	second_way
	serve "$INSIDE" tcp 10.0.0.2 2000
	run_service <<-END
		interface ppp0
		dnat in eth0 tcp to :2000 -> 10.0.0.2
		masquerade out lan0
	END
	contains "$(ask "$OUTSIDE" tcp 198.51.100.1 2000)" "198.51.100.2 "
	grep -q 'there is no interface "ppp0" now' "$TMP/log"
	grep -q 'there is no interface "lan0" now' "$TMP/log"
	echo "dnat in eth0 tcp to :2001 -> 10.0.0.2:2000" >>"$TMP/case/xfwd.conf"
	kill -HUP "$SERVICE"
	wait_until 5 rule_count_is 3
	contains "$(ask "$OUTSIDE" tcp 198.51.100.1 2001)" "198.51.100.2 "
	ip -n "$EDGE" link add ppp0 type veth peer name ppp1
	wait_until 5 is_attached ppp0
	rename eth1 lan0
	wait_until 5 is_attached lan0
}

other_size() { # of the flow table, which the running state keeps
	topology
	second_way
	xfwd add "masquerade out eth0"
	run_service <<-END
		set flows 4096
		dnat in eth0 tcp to :2000 -> 10.0.0.2
	END
	grep -q "keeps its room for 131072 flows" "$TMP/log"
	equal rules "$(rules)" "dnat in eth0 tcp to :2000 -> 10.0.0.2"
	sed -i /flows/d "$TMP/case/xfwd.conf"
	echo "set flows 8192" >>"$TMP/case/xfwd.conf"
	kill -HUP "$SERVICE"
	wait_until 5 grep -q "the file's 8192 are" "$TMP/log"
	equal status "$(status_of xfwd apply "$TMP/case/xfwd.conf")" 1
	xfwd down
	xfwd apply "$TMP/case/xfwd.conf"
	equal flows "$(xfwd stats -j | jq .flows.max)" 8192
}

refuses() { # a second one, and files as `apply` does
	topology
	second_way
	echo "dnat in eth0 tcp to :99999 -> 10.9.9.9" >"$TMP/case/bad"
	equal "status for a bad file" "$(status_of xfwd run "$TMP/case/bad")" 2
	contains "$(said)" "port out of range"
	echo "accept tcp to :22" >"$TMP/case/bad"
	equal "status for one that is nowhere in force" "$(status_of xfwd run "$TMP/case/bad")" 2
	equal "status for standard input" "$(status_of xfwd run -)" 2
	run_service <<<"dnat in eth0 tcp to :2000 -> 10.9.9.9"
	equal "status of a second" "$(status_of xfwd run "$TMP/case/xfwd.conf")" 1
	contains "$(said)" "is there already, as process $SERVICE"
	kill -9 "$SERVICE"
	wait "$SERVICE" || true
	run_again
}

down_and_up() { # the service finds the state that an `apply` makes in place of another
	two_ways
	run_service <<<"dnat in eth0 tcp,udp to :2000 -> 10.9.9.9"
	xfwd down
	wait_until 2 notified "Nothing is loaded"
	kill -HUP "$SERVICE"
	wait_until 5 rule_count_is 1
	xfwd down
	xfwd apply "$TMP/case/xfwd.conf"
	streams "$OUTSIDE" udp 198.51.100.1 2000 20
	wait_until 5 hops_are_kept
	ip -n "$EDGE" route replace 10.9.9.9 via 10.0.1.2
	moved eth0 eth1 "$(now_ms)" 200
	streams_end
}

hops_are_kept() {
	(($(generation) > 0)) && xfwd_hops | grep -q .
}

xfwd_hops() {
	bpftool -j map dump pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/hops_in_use" | jq -c '.[]'
}

each_mode "a route moves" route_moved
each_mode "the service is stalled" stalled
each_mode "kill -9 under load" killed
each_mode "stopped by SIGTERM" stopped
each_mode "a neighbour's link-layer address changes" neighbour_moved
each_mode "neighbours in use are confirmed" neighbour_confirmed
each_mode "an interface goes down and up" interface_down
each_mode "an interface is deleted and made again" interface_made_again
each_mode "and with the same index" same_index
each_mode "masquerade follows an address" address_changed
each_mode "a route of IPv6 moves" route_moved6
each_mode "an IPv6 neighbour's link-layer address changes" neighbour_moved6
each_mode "IPv6 neighbours in use are confirmed" neighbour_confirmed6
each_mode "an IPv6 interface goes down and up" interface_down6
each_mode "masquerade follows an IPv6 address" address6_changed
once "rp_filter" loose_source
once "an interface cannot be attached" one_refused
once "an interface cannot be attached while others are renamed" one_refused_renamed
once "flows of an address that has gone are ended later" flows_later
once "an interface is renamed" renamed
once "the service's descriptors" few_descriptors
once "an interface comes later" interface_later
once "another size of the flow table" other_size
once "SIGHUP: good and bad files" reloads
once "what is refused" refuses
once "down and apply beside it" down_and_up
finish
