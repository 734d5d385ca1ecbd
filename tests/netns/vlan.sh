#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# VLAN interfaces: XDP on the device under them, which they share.
. "$(dirname "$0")/lib.sh"

vlan() { # NS INTERFACE ID [ADDRESS/LEN]
	ip -n "$1" link add link "$2" name "$2.$3" type vlan id "$3" ||
		skip "this kernel has no VLAN interfaces"
	ip -n "$1" link set "$2.$3" up
	[[ -z ${4:-} ]] || ip -n "$1" address add "$4" dev "$2.$3"
}

# Two VLANs on the outside wire, on which senders leave tags in their frames.
two_vlans() {
	topology
	in_ns "$OUTSIDE" ethtool -K eth0 tx-vlan-offload off
	vlan "$OUTSIDE" eth0 5 198.51.105.2/24
	vlan "$EDGE" eth0 5 198.51.105.1/24
	vlan "$OUTSIDE" eth0 6 198.51.106.2/24
	vlan "$EDGE" eth0 6 198.51.106.1/24
	wait_until 5 in_ns "$OUTSIDE" ping -qc 1 -W 1 198.51.105.1
}

both() { # MODE: of eth0.5 and eth0.6
	printf 'interface %s { mode %s }\n' eth0.5 "$1" eth0.6 "$1"
}

mode_of() { # INTERFACE: mode and where XDP is
	xfwd status -j | jq -r ".interfaces[] | select(.name == \"$1\") | .mode + \" \" + .xdp_on"
}

xdp_on() { # INTERFACE: the attached XDP program's kind, or nothing
	ip -n "$EDGE" -j link show "$1" | jq -r '.[0].xdp.mode // empty'
}

sees_tags() { # on|off: whether tags are taken out of frames on eth0
	[[ $(in_ns "$EDGE" ethtool -k eth0) == *"rx-vlan-offload: $1"* ]]
}

# Rules that name one VLAN hold there, and neither in the other nor without a tag.
one_of_two() {
	two_vlans
	serve "$INSIDE" udp 10.0.0.2 7001
	printf 'interface eth0.5 { mode %s }\ndnat in eth0.5 udp to :7000 -> 10.0.0.2:7001\n' "$MODE" |
		xfwd apply -
	contains "$(ask "$OUTSIDE" udp 198.51.105.1 7000)" "198.51.105.2 "
	fails ask "$OUTSIDE" udp 198.51.106.1 7000
	fails ask "$OUTSIDE" udp 198.51.100.1 7000
}

# The last of them takes XDP along, and the offload is back.
shared() {
	two_vlans
	sees_tags on
	both native | xfwd apply -
	equal eth0.5 "$(mode_of eth0.5)" "native eth0"
	equal eth0.6 "$(mode_of eth0.6)" "native eth0"
	[[ -n $(xdp_on eth0) ]]
	sees_tags off
	contains "$(xfwd status)" "native XDP on eth0 + tc"
	xfwd down eth0.5
	[[ -n $(xdp_on eth0) ]]
	sees_tags off
	xfwd down eth0.6
	equal "XDP left on eth0" "$(xdp_on eth0)" ""
	sees_tags on
}

# Whoever switches the offload on again, the next apply sees to it.
offload_again() {
	topology
	for _ in 1 2; do
		xfwd apply - <<<"interface eth0 { mode native }"
		sees_tags off
		in_ns "$EDGE" ethtool -K eth0 rx-vlan-offload on
	done
	xfwd apply - <<<"interface eth0 { mode native }"
	[[ -n $(xdp_on eth0) ]]
	sees_tags off
	xfwd down
	sees_tags on
}

# All of them change together, or none.
one_mode() {
	two_vlans
	both native | xfwd apply -
	both generic | xfwd apply -
	equal eth0.5 "$(mode_of eth0.5)" "generic eth0"
	equal eth0.6 "$(mode_of eth0.6)" "generic eth0"
	equal "program" "$(xdp_on eth0)" 2
	both tc | xfwd apply -
	equal "XDP left on eth0" "$(xdp_on eth0)" ""
	both native | xfwd apply -
	equal "status" "$(printf 'interface eth0 { mode generic }\ninterface eth0.5 { mode native }\n' |
		status_of xfwd apply -)" 1
	contains "$(said)" "eth0 is in mode native for eth0."
	equal eth0.5 "$(mode_of eth0.5)" "native eth0"
}

# The device itself goes on when its VLANs are gone, and they when it is no longer attached.
beside_device() {
	two_vlans
	{ both native && echo 'interface eth0 { mode native }'; } | xfwd apply -
	xfwd down eth0
	equal eth0.5 "$(mode_of eth0.5)" "native eth0"
	{ both native && echo 'interface eth0 { mode native }'; } | xfwd apply -
	ip -n "$EDGE" link delete eth0.5
	ip -n "$EDGE" link delete eth0.6
	echo 'interface eth0 { mode native }' | xfwd apply -
	equal "interfaces" "$(xfwd status -j | jq -r '.interfaces[].name')" eth0
	[[ -n $(xdp_on eth0) ]]
}

# On a veth, auto is tc on its VLANs, too, and says so.
by_default() {
	two_vlans
	xfwd add 'dnat in eth0.5 udp to :7000 -> 10.0.0.2:7001'
	equal eth0.5 "$(mode_of eth0.5)" "tc "
	contains "$(xfwd status)" "veth: packets come with partial checksums"
	sees_tags on
}

# A VLAN interface that goes, and comes again.
follows() {
	two_vlans
	serve "$INSIDE" udp 10.0.0.2 7001
	printf 'interface eth0.5 { mode native }\ndnat in eth0.5 udp to :7000 -> 10.0.0.2:7001\n' \
		>"$TMP/case/xfwd.conf"
	"$XFWD" -n "$EDGE" run "$TMP/case/xfwd.conf" &
	wait_until 30 ask "$OUTSIDE" udp 198.51.105.1 7000
	ip -n "$EDGE" link delete eth0.5
	wait_until 20 unattached
	vlan "$EDGE" eth0 5 198.51.105.1/24
	wait_until 30 attached
	wait_until 10 ask "$OUTSIDE" udp 198.51.105.1 7000
}

unattached() {
	[[ -z $(xdp_on eth0) && -z $(mode_of eth0.5) ]]
}

attached() {
	[[ -n $(xdp_on eth0) && $(mode_of eth0.5) == "native eth0" ]]
}

every_mode "rules hold in the VLAN that they name" one_of_two
once "VLANs share the XDP program of their device" shared
once "the offload comes on again" offload_again
once "and its mode" one_mode
once "a device and its VLANs" beside_device
once "what auto is" by_default
once "a VLAN interface goes and comes" follows
finish
