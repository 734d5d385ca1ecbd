#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What xfwd takes, it gives back; what others have, it leaves alone.
. "$(dirname "$0")/lib.sh"

# All that xfwd could change on the edge.
snapshot() {
	local dev hook
	ip -n "$EDGE" -d link show
	in_ns "$EDGE" sysctl -a -r '^net\.(ipv4\.ip_forward|ipv[46]\.conf\.)' 2>&1
	in_ns "$EDGE" tc qdisc show
	for dev in eth0 eth1; do
		in_ns "$EDGE" ethtool -k "$dev"
		for hook in ingress egress; do
			in_ns "$EDGE" tc filter show dev "$dev" "$hook" 2>/dev/null || true
		done
		echo "tcx programs on $dev: $(in_ns "$EDGE" "$PEER" tcx "$dev")"
	done
	ls -d "/sys/fs/bpf/xfwd/netns/$EDGE"* 2>/dev/null || echo "no pins"
}

unchanged() { # SNAPSHOT
	diff <(echo "$1") <(snapshot)
}

use_it() { # both hooks, forwarding, masquerade, loopback
	http_server "$INSIDE" 8080
	load <<-END
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		dnat in eth0 tcp to :59999 -> 127.0.0.1:3306
		masquerade out eth1 to 10.0.0.2
	END
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
}

# A program of somebody else, for the XDP hook and for tc.
their_program() {
	cat >"$TMP/case/their.c" <<-'END'
		__attribute__((section("xdp"), used)) int their_xdp(void *ctx) { return 2; }
		__attribute__((section("tc"), used)) int their_tc(void *ctx) { return -1; }
	END
	clang -target bpf -O2 -g -c "$TMP/case/their.c" -o "$TMP/case/their.o"
}

leaves_nothing() {
	topology
	local before
	before=$(snapshot)
	use_it
	fails unchanged "$before" >/dev/null
	xfwd down
	unchanged "$before"
	refused "$OUTSIDE" http://198.51.100.1/
	use_it
	xfwd down
	unchanged "$before"
}

sysctls_of_the_user() { # what was on before stays on
	topology
	in_ns "$EDGE" sysctl -qw net.ipv4.ip_forward=1
	local before
	before=$(snapshot)
	use_it
	xfwd down
	unchanged "$before"
	use_it
	xfwd flush
	equal rules "$(rules)" ""
	xfwd down
	unchanged "$before"
}

forwards6() { # both switches, what an interface has by itself, and a rule that is not in place
	topology
	in_ns "$EDGE" sysctl -qw net.ipv6.conf.eth1.forwarding=1 net.ipv6.conf.default.forwarding=1
	local before
	before=$(snapshot)
	load <<-END
		redirect in eth0 ipv6 tcp to :80 -> :8080
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
	END
	equal "without need" "$(forwarding)" "1 0"
	xfwd add "static eth0 2001:db8:1::80 <-> 2001:db8:2::2"
	equal "with a static rule" "$(forwarding)" "1 1"
	xfwd add "masquerade out eth0 ipv6 from 2001:db8:2::/64"
	xfwd delete "static eth0 2001:db8:1::80 <-> 2001:db8:2::2"
	equal "with a masquerade" "$(forwarding)" "1 1"
	xfwd delete "masquerade out eth0 ipv6 from 2001:db8:2::/64"
	equal "without need again" "$(forwarding)" "1 0"
	xfwd add "dnat in eth0 tcp to [2001:db8:1::80]:80 -> 2001:db8:2::2"
	xfwd delete "dnat in eth0 tcp to :80 -> 10.0.0.2:8080"
	equal "with IPv6 alone" "$(forwarding)" "0 1"
	xfwd down
	unchanged "$before"
	printf 'set sysctl off\nmasquerade out eth0 ipv6\n' >"$TMP/case/conf"
	contains "$(xfwd apply "$TMP/case/conf" 2>&1)" \
		"net/ipv6/conf/all/forwarding is 0 and has to be 1"
	xfwd down
	unchanged "$before"
}

forwarding() { # of IPv4 and of IPv6
	in_ns "$EDGE" sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | paste -sd " "
}

advertised() { # a host that got its default route from a router keeps it
	topology
	ip -n "$EDGE" address add 2001:db8:2::1/64 dev eth1 nodad
	wait_until 5 advertise
	local before
	before=$(snapshot)
	load <<<"dnat in eth1 tcp to [2001:db8:1::80]:80 -> 2001:db8:2::2"
	takes_advertisements
	xfwd down
	unchanged "$before"
	has_default_route
	load <<<"interface eth1"
	equal "eth0, eth1 without a rule" "$(accept_ra)" "1 1"
	xfwd add "masquerade out eth1 ipv6"
	takes_advertisements
	xfwd flush
	equal "eth0, eth1 after flush" "$(accept_ra)" "1 1"
	has_default_route
}

accept_ra() {
	in_ns "$EDGE" sysctl -n net.ipv6.conf.eth0.accept_ra net.ipv6.conf.eth1.accept_ra |
		paste -sd " "
}

takes_advertisements() {
	equal "eth0, eth1" "$(accept_ra)" "2 1"
	has_default_route
	ip -n "$EDGE" -6 route delete default proto ra
	wait_until 5 advertise
}

advertise() {
	in_ns "$OUTSIDE" /usr/bin/python3 -c "
from scapy.all import *
sendp(Ether(dst='33:33:00:00:00:01')/IPv6(src='fe80::1', dst='ff02::1', hlim=255)/ICMPv6ND_RA() /
      ICMPv6NDOptPrefixInfo(prefix='2001:db8:1::', prefixlen=64), iface='eth0', verbose=0)
"
	has_default_route
}

has_default_route() {
	[[ -n $(ip -n "$EDGE" -6 route show default proto ra) ]]
}

advertised_later() { # at boot rules may be there before the first router speaks
	topology
	ip -n "$EDGE" address add 2001:db8:2::1/64 dev eth1 nodad
	load <<-END
		interface eth1
		masquerade out eth0 ipv6
	END
	equal "eth0, eth1" "$(accept_ra)" "2 1"
	wait_until 5 advertise
}

tc_of_others() {
	topology
	their_program
	in_ns "$EDGE" tc qdisc add dev eth0 clsact
	in_ns "$EDGE" tc filter add dev eth0 ingress pref 10 bpf da obj "$TMP/case/their.o" sec tc
	in_ns "$EDGE" tc filter add dev eth0 egress pref 7 bpf obj "$TMP/case/their.o" sec tc
	in_ns "$EDGE" tc filter add dev eth0 egress bpf da obj "$TMP/case/their.o" sec tc
	in_ns "$EDGE" tc qdisc replace dev eth1 root pfifo limit 100
	local before
	before=$(snapshot)
	use_it
	contains "$(in_ns "$EDGE" tc filter show dev eth0 ingress)" "pref 10 bpf"
	contains "$(in_ns "$EDGE" tc filter show dev eth0 egress)" "pref 7 bpf"
	xfwd down
	unchanged "$before"
}

xdp_of_others() { # auto works beside it, native says whose it is and changes nothing
	topology
	their_program
	http_server "$INSIDE" 8080
	ip -n "$EDGE" link set eth0 xdpdrv obj "$TMP/case/their.o" sec xdp
	local before
	before=$(snapshot)
	echo "interface eth0 { mode native }" >"$TMP/case/conf"
	echo "dnat in eth0 tcp to :80 -> 10.0.0.2:8080" >>"$TMP/case/conf"
	equal status "$(status_of xfwd apply "$TMP/case/conf")" 1
	contains "$(said)" their_xdp
	unchanged "$before"
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080"
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
	xfwd down
	unchanged "$before"
}

refused_while_running() { # an apply that cannot attach leaves the old rules in force
	topology
	their_program
	http_server "$INSIDE" 8080
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080"
	ip -n "$EDGE" link set eth1 xdpdrv obj "$TMP/case/their.o" sec xdp
	local before
	before=$(snapshot && rules)
	echo "interface eth1 { mode native }" >"$TMP/case/conf"
	echo "dnat in eth1 tcp to :80 -> 10.0.0.2:8081" >>"$TMP/case/conf"
	equal status "$(status_of xfwd apply "$TMP/case/conf")" 1
	contains "$(said)" their_xdp
	diff <(echo "$before") <(snapshot && rules)
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
}

mode_of() { # INTERFACE
	xfwd status -j | jq -r ".interfaces[] | select(.name == \"$1\").mode"
}

modes_go_back() { # eth0 has changed its mode already when eth1, with another's XDP program, cannot
	topology
	their_program
	http_server "$INSIDE" 8080
	for mode in tc native generic; do
		load <<-END
			interface eth0 { mode $mode }
			dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		END
		ip -n "$EDGE" link set eth1 xdpdrv obj "$TMP/case/their.o" sec xdp
		for other in generic native tc; do
			[[ $other != "$mode" ]] || continue
			printf 'interface eth0 { mode %s }\ninterface eth1 { mode native }\n' $other >"$TMP/case/conf"
			equal status "$(status_of xfwd apply "$TMP/case/conf")" 1
			equal "mode of eth0, $other for a moment" "$(mode_of eth0)" $mode
			equal "mode of eth1" "$(mode_of eth1)" ""
		done
		equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
		ip -n "$EDGE" link set eth1 xdp off
	done
}

one_interface() {
	topology
	use_it
	xfwd down eth0
	equal "links left on eth0" "$(xfwd status -j |
		jq '[.interfaces[] | select(.name == "eth0")] | length')" 0
	refused "$OUTSIDE" http://198.51.100.1/
	xfwd down
}

renamed() { # what an interface had is put back under the name that it has now
	topology
	local before
	before=$(snapshot)
	use_it
	rename eth0 wan
	equal "loopback of wan" "$(localnet wan)" 1
	xfwd down
	equal "loopback of wan" "$(localnet wan)" 0
	rename wan eth0
	unchanged "$before"
	use_it
	rename eth0 wan
	xfwd down wan
	equal "loopback of wan" "$(localnet wan)" 0
	equal status "$(status_of xfwd down eth0)" 1
	contains "$(said)" 'not attached to an interface "eth0"'
	xfwd down
	rename wan eth0
	unchanged "$before"
}

renamed_each_other() { # each gets its own back, and keeps what the rules need under its new name
	topology
	in_ns "$EDGE" sysctl -qw net.ipv4.conf.eth1.route_localnet=1
	use_it
	rename eth0 other
	rename eth1 eth0
	rename other eth1
	xfwd down
	equal "loopback of eth0, eth1" "$(localnet eth0) $(localnet eth1)" "1 0"
	in_ns "$EDGE" sysctl -qw net.ipv4.conf.eth0.route_localnet=0
	printf '%s\n' "interface eth0" "interface eth1" "dnat tcp to :59999 -> 127.0.0.1:3306" \
		>"$TMP/case/both"
	xfwd apply "$TMP/case/both"
	rename eth0 wan
	sed s/eth0/wan/ "$TMP/case/both" >"$TMP/case/wan"
	xfwd apply "$TMP/case/wan"
	equal "loopback of wan, eth1" "$(localnet wan) $(localnet eth1)" "1 1"
	sed /wan/d "$TMP/case/wan" >"$TMP/case/one"
	xfwd apply "$TMP/case/one"
	equal "of wan, which is detached, and eth1" "$(localnet wan) $(localnet eth1)" "0 1"
	xfwd down
	equal "loopback of wan, eth1" "$(localnet wan) $(localnet eth1)" "0 0"
}

named_still() { # it says what will attach the interface again, and that does
	topology
	load <<-END
		redirect in eth0 tcp to :80 -> :8080
		drop in eth1 tcp to :1
	END
	"$XFWD" -n "$EDGE" run "$TMP/case/xfwd.conf" &
	local service=$!
	contains "$(xfwd down eth0 2>&1)" "the rules still name eth0: \`xfwd run\` attaches it again"
	ip -n "$EDGE" address add 10.0.2.1/24 dev lo
	wait_until 5 eval '[[ $(mode_of eth0) == tc ]]'
	xfwd delete "drop in eth1 tcp to :1"
	equal "said of an interface that no rule names" "$(xfwd down eth1 2>&1)" ""
	kill "$service"
	wait "$service" || true
}

interface_gone() { # deleted under our feet: no harm to the rest, and down still cleans up
	topology
	use_it
	ip -n "$EDGE" link delete eth1
	xfwd list -j | jq -e '.rules | length == 3'
	xfwd status -j | jq -e .interfaces
	xfwd down
	equal pins "$(ls -d "/sys/fs/bpf/xfwd/netns/$EDGE"* 2>/dev/null)" ""
}

# Killed at moments all over its run, `apply` has what it began found: by the next one, or by `down`.
killed() {
	topology
	local before n pid
	before=$(snapshot)
	{ mode_lines && echo "redirect in eth0 tcp to :80 -> :8080"; } >"$TMP/case/conf"
	for n in $(rounds 30); do
		"$XFWD" -q -n "$EDGE" apply "$TMP/case/conf" &
		pid=$!
		sleep_ms $((RANDOM % (300 * SLOWER)))
		kill -9 "$pid" || true
		wait "$pid" || true
		((n % 2)) || xfwd -q apply "$TMP/case/conf"
		xfwd -q down
		unchanged "$before"
	done
}

# The same of one that attaches another interface, which takes it moments only.
killed_attaching() {
	topology
	export XFWD_NO_TCX=1
	local all before n pid
	all=$(snapshot)
	echo "interface eth1" >"$TMP/case/without"
	echo "interface eth0" >"$TMP/case/with"
	xfwd apply "$TMP/case/without"
	before=$(snapshot)
	for n in $(rounds 30); do
		"$XFWD" -q -n "$EDGE" apply "$TMP/case/with" &
		pid=$!
		sleep_ms $((RANDOM % (40 * SLOWER)))
		kill -9 "$pid" || true
		wait "$pid" || true
		((n % 2)) || xfwd -q apply "$TMP/case/with"
		xfwd -q apply "$TMP/case/without"
		equal "qdiscs and filters on eth0" "$(tc_of eth0)" ""
	done
	unchanged "$before"
	xfwd down
	unchanged "$all"
}

tc_of() { # INTERFACE
	printf '%s\n' "qdisc show dev $1 clsact" "filter show dev $1 ingress" "filter show dev $1 egress" |
		in_ns "$EDGE" tc -force -batch - 2>/dev/null || true
}

# Runs xfwd where that sysctl of the edge cannot be written, in a mount namespace of its own.
xfwd_without() { # SYSCTL-PATH ARGUMENT...
	unshare --mount --propagation private nsenter --net="/run/netns/$EDGE" bash -eu -c '
		mount --bind "$1" "$1"
		mount -o remount,bind,ro "$1"
		exec "$2" -n "$3" "${@:4}"
	' bash "/proc/sys/$1" "$XFWD" "$EDGE" "${@:2}"
}

sysctl_fails() { # an apply that ends at its sysctls leaves those of the rules in force
	topology
	local before
	before=$(snapshot)
	use_it
	echo "masquerade out eth0 ipv6" >"$TMP/case/conf"
	equal status "$(status_of xfwd_without net/ipv6/conf/all/forwarding apply "$TMP/case/conf")" 1
	contains "$(said)" "cannot set net/ipv6/conf/all/forwarding"
	equal "forwarding, loopback" "$(forwarding) $(localnet eth0)" "1 0 1"
	equal rules "$(rules | wc -l)" 3
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
	xfwd apply "$TMP/case/conf"
	equal "forwarding, loopback afterwards" "$(forwarding) $(localnet eth0)" "0 1 0"
	xfwd down
	unchanged "$before"
}

sysctl_fails_late() { # what it had set, attached and guarded before goes back
	topology
	local before
	http_server "$INSIDE" 8080
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080"
	ip -n "$EDGE" link add eth2 type veth peer name eth3
	before=$(snapshot && guarded)
	cat >"$TMP/case/conf" <<-END
		masquerade out eth0 ipv6
		dnat in eth2 tcp to :59999 -> 127.0.0.1:3306
	END
	equal status "$(status_of xfwd_without net/ipv4/conf/eth2/route_localnet apply "$TMP/case/conf")" 1
	contains "$(said)" "net/ipv6/conf/all/forwarding set to 1"
	contains "$(said)" "cannot set net/ipv4/conf/eth2/route_localnet"
	diff <(echo "$before") <(snapshot && guarded)
	equal "mode of eth2" "$(mode_of eth2)" ""
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
}

sysctl_fails_first() { # what it had loaded goes as well
	topology
	local before
	before=$(snapshot)
	echo "masquerade out eth0" >"$TMP/case/conf"
	equal status "$(status_of xfwd_without net/ipv4/ip_forward apply "$TMP/case/conf")" 1
	equal "what it says" "$(said)" "xfwd: cannot set net/ipv4/ip_forward: Read-only file system"
	unchanged "$before"
}

sysctl_hidden() { # what cannot be read is said as well
	topology
	local before
	before=$(snapshot)
	echo "masquerade out eth0" >"$TMP/case/conf"
	equal status "$(status_of unshare --mount --propagation private bash -eu -c '
		mount -t tmpfs none /proc/sys/net
		exec "$@"
	' bash "$XFWD" -n "$EDGE" apply "$TMP/case/conf")" 1
	equal "what it says" "$(said)" "xfwd: cannot read net/ipv4/ip_forward: No such file or directory"
	unchanged "$before"
}

sysctl_fails_renamed() { # rules that are in force by a name of before keep what they need
	topology
	use_it
	rename eth0 wan
	echo "masquerade out wan ipv6" >"$TMP/case/conf"
	equal status "$(status_of xfwd_without net/ipv6/conf/all/forwarding apply "$TMP/case/conf")" 1
	equal "loopback of wan, guard" "$(localnet wan) $(guarded)" "1 2"
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
	xfwd down
	equal "loopback of wan" "$(localnet wan)" 0
}

sysctl_stays() { # one that cannot be put back has its guard, and is put back later
	topology
	local before
	before=$(snapshot)
	use_it
	echo "interface eth1" >"$TMP/case/conf"
	equal status "$(status_of xfwd_without net/ipv4/conf/eth0/route_localnet apply \
		"$TMP/case/conf")" 0
	contains "$(said)" "sysctls that they do not need could not be put back"
	equal "forwarding, loopback" "$(forwarding) $(localnet eth0)" "0 0 1"
	equal guard "$(guarded)" 2
	xfwd apply "$TMP/case/conf"
	equal "loopback afterwards" "$(localnet eth0)" 0
	equal "guard afterwards" "$(guarded)" 0
	xfwd down
	unchanged "$before"
}

localnet() { # INTERFACE
	in_ns "$EDGE" sysctl -n "net.ipv4.conf.$1.route_localnet"
}

guarded() { # SETTING_GUARD_LOOPBACK, of settings.flags
	echo $(($(bpftool -j map lookup pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/settings" \
		key 0 0 0 0 | jq -r '.value[8]') & 2))
}

few_descriptors() { # wherever an apply runs out of them, it leaves nothing behind
	topology
	local before n
	before=$(snapshot)
	echo "redirect in eth0 tcp to :80 -> :8080" >"$TMP/case/conf"
	for n in {8..200..8}; do
		! (ulimit -n "$n" && xfwd -q apply "$TMP/case/conf" 2>"$TMP/case/said") || break
		contains "$(said)" "xfwd: cannot "
		[[ ! -e /sys/fs/bpf/xfwd/netns-loading/$EDGE ]] || fail "half of the pins are left"
		unchanged "$before"
	done
	((n > 40 && n < 200)) || fail "$n descriptors were enough"
	equal rules "$(rules | wc -l)" 1
}

# As if another version of xfwd had made the state.
change_layout() {
	local map=/sys/fs/bpf/xfwd/netns/$EDGE/maps/settings key="key 0 0 0 0" rest
	rest=$(bpftool -j map lookup pinned "$map" $key | jq -r '.value[1:] | join(" ")')
	bpftool map update pinned "$map" $key value hex ff $rest
	fails xfwd list
}

other_layout() { # what another version did is put back
	topology
	local before
	before=$(snapshot)
	use_it
	equal "loopback" "$(localnet eth0)" 1
	change_layout
	xfwd down
	unchanged "$before"
}

other_layout_gone() { # and nothing in a namespace that has the name now
	topology
	use_it
	change_layout
	ip netns delete "$EDGE"
	ip netns add "$EDGE"
	in_ns "$EDGE" sysctl -qw net.ipv4.ip_forward=1
	xfwd down
	equal forwarding "$(in_ns "$EDGE" sysctl -n net.ipv4.ip_forward)" 1
	[[ ! -e /sys/fs/bpf/xfwd/netns/$EDGE ]] || fail "pins were left"
}

other_layout_unreadable() { # what has to stay as it is, is said
	topology
	use_it
	change_layout
	rm "/sys/fs/bpf/xfwd/netns/$EDGE/maps/saved_sysctls"
	equal status "$(status_of xfwd down)" 1
	contains "$(said)" "sysctls stay as they are"
	[[ ! -e /sys/fs/bpf/xfwd/netns/$EDGE ]] || fail "pins were left"
}

other_layout_clsact() {
	without_tcx other_layout
}

without_tcx() { # FUNCTION: as on kernels before 6.6
	export XFWD_NO_TCX=1
	"$1"
}

clsact_goes() {
	without_tcx leaves_nothing
}

clsact_of_others_stays() {
	without_tcx tc_of_others
}

every_mode "down leaves nothing behind" leaves_nothing
once "down leaves nothing behind, without TCX" clsact_goes
once "another program's tc filters stay, without TCX" clsact_of_others_stays
each_mode "down of what another version did" other_layout
once "down of what another version did, without TCX" other_layout_clsact
once "down of what another version did in a namespace that has gone" other_layout_gone
once "down of what another version did and cannot be read" other_layout_unreadable
once "down leaves the user's own sysctls" sysctls_of_the_user
once "forwarding of IPv6, set and put back" forwards6
once "a default route by router advertisement stays" advertised
once "and one that comes later" advertised_later
each_mode "another program's tc filters stay" tc_of_others
once "an occupied XDP hook" xdp_of_others
once "an apply that cannot attach changes nothing" refused_while_running
once "modes go back where an apply cannot attach" modes_go_back
every_mode "down for one interface" one_interface
once "an interface gets another name" renamed
once "and two change names with each other" renamed_each_other
once "down for one interface that rules name" named_still
every_mode "an interface disappears" interface_gone
every_mode "kill -9 of the first apply" killed
once "kill -9 of an apply that attaches, without TCX" killed_attaching
once "an apply that cannot set a sysctl changes nothing" sysctl_fails
once "and one that cannot set its last sysctl" sysctl_fails_late
once "and one that cannot set the first of all" sysctl_fails_first
once "and one after an interface has got another name" sysctl_fails_renamed
once "an apply that cannot read a sysctl changes nothing" sysctl_hidden
once "a sysctl that cannot be put back yet" sysctl_stays
once "an apply that runs out of descriptors changes nothing" few_descriptors
finish
