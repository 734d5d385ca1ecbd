#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A real driver in place of veth: virtio network devices with several queues and all their offloads,
# two on each of the virtual machine's two wires. Also what stands upon them: bonds and bridges.
. "$(dirname "$0")/../netns/lib.sh"

MODES=${XFWD_TEST_WIRE_MODES:-auto generic tc} # auto is native there, and a test sees to that
WIRE=0

# The next of the wires: its ends are known by their link addresses.
link() { # NS INTERFACE ADDRESS/LEN NS INTERFACE ADDRESS/LEN
	[[ ${XFWD_TEST_WIRES:-0} != 0 ]] || skip "needs the wires of the virtual machine: make vm-test"
	modprobe virtio_net
	take_end 1 "${@:1:3}"
	take_end 2 "${@:4:3}"
	wait_until 5 is_up "$1" "$2"
	wait_until 5 is_up "$4" "$5"
	WIRE=$((WIRE + 1))
}

take_end() { # END NS INTERFACE ADDRESS/LEN
	local mac=02:00:00:00:0$WIRE:0$1
	wait_until 10 device_of "$mac"
	ip link set "$(device_of "$mac")" netns "$2" name "$3" mtu 1500
	end_of_link "${@:2}"
}

device_of() { # MAC
	ip -j link | jq -er ".[] | select(.address == \"$1\").ifname"
}

interface_is() { # INTERFACE FIELD WANTED
	equal "$2 of $1" "$(xfwd status -j |
		jq -r ".interfaces[] | select(.name == \"$1\").$2")" "$3"
}

forwarded_by() { # HOOK: packets
	xfwd stats -j | jq ".stats.$1.forwarded.packets"
}

hook_was() { # xdp_ingress|tc_ingress LEAST
	(($(forwarded_by "$1") >= $2)) || fail "forwarded by $1: $(forwarded_by "$1"), not $2 or more"
}

# These drivers take redirected frames only while XDP runs in them.
expected_hook() {
	case $MODE in
	generic | tc) echo tc_ingress ;;
	*) echo xdp_ingress ;;
	esac
}

bulk_is_whole() { # URL
	mkdir -p "$TMP/www"
	head -c 2M /dev/urandom >"$TMP/www/bulk"
	equal sum "$(fetch "$OUTSIDE" "$1/bulk" | sha256sum)" "$(sha256sum <"$TMP/www/bulk")"
}

from_wire_to_wire() {
	topology
	http_server "$INSIDE" 8080
	load <<-END
		interface eth1 { mode $MODE }
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		masquerade out eth0 from 10.0.0.0/24
	END
	mode_is_on eth1
	equal "who answers" "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
	in_ns "$INSIDE" ping -c 3 -i 0.2 198.51.100.2
	hook_was "$(expected_hook)" 8
	bulk_is_whole http://198.51.100.1
	hook_was "$(expected_hook)" 40
}

back_by_the_same_wire() {
	topology
	http_server "$OUTSIDE" 8080
	load <<<"dnat in eth0 tcp to :80 -> 198.51.100.2:8080 hairpin"
	equal "who asks" "$(fetch "$OUTSIDE" http://198.51.100.1/peer)" 198.51.100.1
	hook_was "$(expected_hook)" 8
}

large_frames() { # the driver may refuse XDP then, in its own words; forwarding goes on
	topology 9000
	http_server "$INSIDE" 8080
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080"
	xfwd status
	if [[ $(xfwd status -j | jq -r '.interfaces[0].mode') == tc ]]; then
		contains "$(xfwd status)" "no native XDP: "
	fi
	bulk_is_whole http://198.51.100.1
}

auto_is_native() {
	topology
	load <<<"dnat in eth0 tcp to :80 -> 10.0.0.2:8080"
	interface_is eth0 mode native
	interface_is eth0 reason ""
	in_ns "$EDGE" ethtool -l eth0
	contains "$(in_ns "$EDGE" ethtool -l eth0)" "Combined:"
}

above() { # DEVICE, which has taken eth0's place
	http_server "$INSIDE" 8080
	load <<-END
		dnat in $1 tcp to :80 -> 10.0.0.2:8080
		masquerade out $1 from 10.0.0.0/24
	END
	interface_is "$1" mode tc
	contains "$(xfwd status)" "${1%0}: packets come with partial checksums"
	bulk_is_whole http://198.51.100.1
	in_ns "$INSIDE" ping -c 1 198.51.100.2
}

take_place() { # DEVICE: of eth0
	ip -n "$EDGE" address flush dev eth0
	ip -n "$EDGE" link set eth0 down
	ip -n "$EDGE" link set eth0 master "$1"
	ip -n "$EDGE" link set eth0 up
	ip -n "$EDGE" link set "$1" up
	ip -n "$EDGE" address add 198.51.100.1/24 dev "$1"
	wait_until 10 is_up "$EDGE" "$1"
}

bonded() {
	topology
	ip -n "$EDGE" link add bond0 type bond mode active-backup miimon 100
	take_place bond0
	above bond0
}

bridged() {
	topology
	ip -n "$EDGE" link add bridge0 type bridge forward_delay 0
	take_place bridge0
	above bridge0
}

once "auto chooses XDP in the driver" auto_is_native
each_mode "from wire to wire, and back" from_wire_to_wire
each_mode "back by the same wire" back_by_the_same_wire
once "frames of 9000 bytes" large_frames
once "a bond" bonded
once "a bridge" bridged
finish
