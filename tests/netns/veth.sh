#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the service sends to the other end of a veth at once arrives as by the queue, and goes by the
# queue again as soon as anything there would miss it.
. "$(dirname "$0")/lib.sh"
FAR=$ID-far

run_service() { # rules on standard input
	{ printf 'interface %s { mode %s }\n' eth0 "$MODE" eth1 "$MODE" && cat; } >"$TMP/case/xfwd.conf"
	run_again
}

run_again() {
	wait_until 10 addresses_are_settled # each change makes it look again, and queue till then
	"$XFWD" -q -n "$EDGE" run "$TMP/case/xfwd.conf" &
	SERVICE=$!
	wait_until 10 eval '[[ $(rules) ]]'
}

addresses_are_settled() {
	[[ -z $(ip -n "$EDGE" -6 address show tentative) ]]
}

# By what `status` says, and by what the device itself has sent.
straight() { # INTERFACE...
	local dev
	for dev; do
		[[ $(says_straight "$dev") == true && $(sent_of_streams "$dev") == few ]]
	done
}

queued() { # INTERFACE...
	local dev
	for dev; do
		[[ $(says_straight "$dev") == null && $(sent_of_streams "$dev") == many ]]
	done
}

says_straight() { # INTERFACE
	xfwd status -j | jq ".interfaces[] | select(.name == \"$1\").to_peer"
}

sent_of_streams() { # INTERFACE: how many of the streams' packets, of which there are a hundred and more
	local before after
	before=$(sent "$1")
	streams_go_on
	after=$(($(sent "$1") - before))
	if ((after < 20)); then
		echo few
	elif ((after >= 95)); then
		echo many
	else
		echo "$after"
	fi
}

sent() { # INTERFACE
	ip -n "$EDGE" -s -j link show "$1" | jq '.[0].stats64.tx.packets'
}

serve_streams() {
	run_service <<<"dnat in eth0 tcp,udp to :2000 -> 10.0.0.2"
	serve "$INSIDE" tcp 10.0.0.2 2000
	serve "$INSIDE" udp 10.0.0.2 2000
}

begin_streams() {
	serve_streams
	streams "$OUTSIDE" tcp 198.51.100.1 2000 10
	streams "$OUTSIDE" udp 198.51.100.1 2000 10
}

forward_streams() {
	begin_streams
	wait_until 20 straight eth0 eth1
}

both_ways() {
	topology
	forward_streams
	streams_end
}

both_ways6() {
	topology6
	run_service <<<"dnat in eth0 tcp,udp to [2001:db8:1::1]:2000 -> 2001:db8:2::2"
	serve "$INSIDE" tcp 2001:db8:2::2 2000
	serve "$INSIDE" udp 2001:db8:2::2 2000
	streams "$OUTSIDE" tcp 2001:db8:1::1 2000 10
	streams "$OUTSIDE" udp 2001:db8:1::1 2000 10
	wait_until 20 straight eth0 eth1
	streams_end
}

# Without the service, and when it is ended however it is.
ended() {
	topology
	forward_streams
	kill -9 "$SERVICE"
	wait "$SERVICE" || true
	wait_until 20 queued eth0 eth1
	run_again
	wait_until 20 straight eth0 eth1
	kill "$SERVICE"
	wait "$SERVICE"
	queued eth0 eth1
	run_again
	wait_until 20 straight eth0 eth1
	kill -STOP "$SERVICE"
	wait_until 20 queued eth0 eth1
	kill -CONT "$SERVICE"
	wait_until 20 straight eth0 eth1
	streams_end
}

# Each of these is seen when it comes and when it goes, and streams go on. (TCP's: a queue that is taken
# away takes with it what comes meanwhile, and so do a device's rings.)
each_thing() {
	topology
	other_end_xdp tc # whose program is used below
	serve_streams
	streams "$OUTSIDE" tcp 198.51.100.1 2000 20
	wait_until 20 straight eth0 eth1
	comes_and_goes merging on off
	comes_and_goes sending tx off on
	comes_and_goes other_end_xdp native tc
	comes_and_goes queue add del
	comes_and_goes filter add del
	! has_tcx || comes_and_goes program attach detach
	! has_esp || comes_and_goes association "$EDGE" add del
	streams_end
}

comes_and_goes() { # COMMAND... ON OFF
	echo "$*"
	"${@:1:$#-2}" "${@: -2:1}"
	wait_until 20 queued eth1
	"${@:1:$#-2}" "${@: -1}"
	wait_until 20 straight eth0 eth1
}

merging() { # on|off
	in_ns "$INSIDE" ethtool -K eth0 gro "$1"
}

sending() { # FEATURE on|off
	in_ns "$EDGE" ethtool -K eth1 "$1" "$2" >/dev/null
}

queue() { # add|del
	in_ns "$EDGE" tc qdisc "$1" dev eth1 root pfifo limit 1000
}

# Programs that let all pass: those of a namespace without rules.
filter() { # add|del
	[[ $1 == del ]] || tc -n "$EDGE" qdisc add dev eth1 clsact 2>/dev/null || true
	nsenter --net="/run/netns/$EDGE" tc filter "$1" dev eth1 egress prio 7 handle 7 bpf direct-action \
		object-pinned "/sys/fs/bpf/xfwd/netns/$INSIDE/programs/tc_egress"
}

has_tcx() {
	[[ $(xfwd status -j | jq -r '.interfaces[0].tc') == tcx ]]
}

program() { # attach|detach
	nsenter --net="/run/netns/$EDGE" "$PEER" tcx_egress "$1" eth1 \
		"/sys/fs/bpf/xfwd/netns/$INSIDE/programs/tc_egress"
}

# Of a tunnel from outside to the edge.
association() { # NS add|del
	local esp=(src 198.51.100.2 dst 198.51.100.1 proto esp spi 0x100)
	[[ $2 == del ]] ||
		esp+=(mode tunnel aead "rfc4106(gcm(aes))" 0x000102030405060708090a0b0c0d0e0f10111213 128)
	ip -n "$1" xfrm state "$2" "${esp[@]}"
}

has_esp() { # some kernels have no IPsec, or not this of it
	association "$OUTSIDE" add 2>/dev/null && association "$OUTSIDE" del
}

other_end_xdp() { # native|tc
	xfwd_inside "interface eth0 { mode $1 }"
}

xfwd_inside() { # CONFIGURATION
	"$XFWD" -q -n "$INSIDE" apply - <<<"$1"
}

# The kernel gives to nobody what would go straight to another end in the same namespace.
other_end_here() {
	topology
	forward_streams
	streams_end
	rm "$TMP"/case/stream-*
	ip -n "$EDGE" neigh replace 10.0.0.2 lladdr "$(mac "$INSIDE" eth0)" dev eth1 nud permanent
	ip -n "$INSIDE" link set eth0 netns "$EDGE" name other
	in_ns "$EDGE" sysctl -qw net.ipv4.conf.other.forwarding=0 # to where it came from
	ip -n "$EDGE" link set other up
	wait_until 5 is_up "$EDGE" eth1
	sleep 1.5 # for what would be wrongly found
	equal "sent by eth1's queue" "$(($(sent_of_datagrams eth1) >= 50))" 1
	equal "what status says" "$(says_straight eth1)" null
	ip -n "$EDGE" link set other netns "$INSIDE" name eth0
	end_of_link "$INSIDE" eth0 10.0.0.2/24
	ip -n "$INSIDE" route add default via 10.0.0.1
	wait_until 5 is_up "$EDGE" eth1
	streams "$OUTSIDE" tcp 198.51.100.1 2000 10
	wait_until 20 straight eth1
}

sent_of_datagrams() { # INTERFACE: of 50, which nobody answers
	local before
	before=$(sent "$1")
	datagrams
	echo $(($(sent "$1") - before))
}

datagrams() { # of one flow
	in_ns "$OUTSIDE" python3 -c '
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(50):
    sock.sendto(b"x", ("198.51.100.1", 2000))
    time.sleep(0.002)
'
}

mac() { # NS INTERFACE
	ip -n "$1" -j link show "$2" | jq -r '.[0].address'
}

# What is for another, who may be behind the other end, is not taken for the other end's own.
other_address() {
	topology
	forward_streams
	streams_end
	STREAMS=()
	ip -n "$EDGE" neigh replace 10.0.0.2 lladdr 02:00:00:00:00:99 dev eth1 nud permanent
	wait_until 5 eval '[[ $(says_straight eth1) == true ]]'
	local before
	before=$(received)
	datagrams
	equal "datagrams that the other end took" $(($(received) - before)) 0
	ip -n "$INSIDE" link add other link eth0 address 02:00:00:00:00:99 type macvlan mode private
	in_ns "$INSIDE" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.other.rp_filter=0
	ip -n "$INSIDE" link set other up
	datagrams
	equal "datagrams that came to whom they are for" $(($(received) - before)) 50
}

received() {
	in_ns "$INSIDE" nstat -asz UdpInDatagrams | awk '/Udp/ { print $2 }'
}

# What IPsec has decrypted here may be dropped at the other end, where no policy knows of it.
decrypted() {
	topology
	has_esp || skip "this kernel has no ESP"
	association "$OUTSIDE" add
	association "$EDGE" add
	ip -n "$OUTSIDE" address add 192.0.2.9/32 dev lo
	ip -n "$OUTSIDE" route add 198.51.100.1/32 dev eth0 src 192.0.2.9
	ip -n "$OUTSIDE" xfrm policy add dir out src 192.0.2.9 dst 198.51.100.1 \
		tmpl src 198.51.100.2 dst 198.51.100.1 proto esp mode tunnel
	ip -n "$EDGE" route add 192.0.2.9/32 via 198.51.100.2
	begin_streams
	wait_until 20 queued eth0 eth1
	ip -n "$EDGE" -s xfrm state | grep -E '[0-9]{3,}\(packets\)' # decrypted
	streams_end
}

# Byte by byte; with checksums that are only begun.
same_frames() {
	topology6
	run_service <<<"dnat in eth0 udp to 198.51.100.1:9 -> 10.0.0.2:99
		dnat in eth0 udp to [2001:db8:1::1]:9 -> [2001:db8:2::2]:99"
	ask "$EDGE" udp 10.0.0.2 9999 || true # the neighbours are known
	frames >"$TMP/case/first" # which make the flows
	frames >/dev/null # whose next hops are kept from here on
	wait_until 5 eval '[[ $(says_straight eth1) == true ]]'
	local before
	before=$(sent eth1)
	frames >"$TMP/case/straight"
	equal "sent by eth1's queue" "$(($(sent eth1) - before < 4))" 1
	kill "$SERVICE"
	wait "$SERVICE"
	frames >"$TMP/case/queued"
	equal "whom they are for" "$(cut -d " " -f 1 "$TMP/case/straight" | sort | uniq -c | xargs)" "8 0"
	cmp "$TMP/case/straight" "$TMP/case/queued"
	cmp "$TMP/case/straight" "$TMP/case/first"
}

frames() {
	in_ns "$INSIDE" timeout 10 "$PEER" frame eth0 99 8 >"$TMP/case/frames" &
	local reader=$!
	wait_until 5 grep -q ready "$TMP/case/frames"
	in_ns "$OUTSIDE" python3 -c '
import socket, time
for family, addr in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8:1::1")):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(("", 4567))
    for size in (0, 1, 100, 1400):
        sock.sendto(bytes(range(200)) * 7 if size == 1400 else b"x" * size, (addr, 9))
        time.sleep(0.01)
'
	wait "$reader"
	grep -v ready "$TMP/case/frames"
}

# Inside passes it on by a device that computes checksums itself, from what has been begun: a wrong
# beginning gives a wrong sum, and no byte arrives.
bulk() {
	topology
	namespace "$FAR"
	link "$INSIDE" eth1 10.0.2.1/24 "$FAR" eth0 10.0.2.2/24
	ip -n "$FAR" route add default via 10.0.2.1
	ip -n "$EDGE" route add 10.0.2.0/24 via 10.0.0.2
	in_ns "$INSIDE" sysctl -qw net.ipv4.ip_forward=1
	in_ns "$INSIDE" ethtool -K eth1 tx off >/dev/null
	in_ns "$FAR" ethtool -K eth0 tx off >/dev/null
	run_service <<-END
		dnat in eth0 tcp,udp to :2000-2001 -> 10.0.2.2
		masquerade out eth1 tcp
	END
	serve "$FAR" tcp 10.0.2.2 2000
	serve "$FAR" udp 10.0.2.2 2000
	streams "$OUTSIDE" tcp 198.51.100.1 2000 10
	streams "$OUTSIDE" udp 198.51.100.1 2000 10
	wait_until 20 straight eth0 eth1
	local before
	before=$(sent eth1)
	head -c 48M /dev/urandom >"$TMP/case/bulk"
	start "$FAR" socat TCP4-LISTEN:2001 "EXEC:tee $TMP/case/got"
	wait_until 10 listening "$FAR" tcp 2001
	in_ns "$OUTSIDE" timeout 100 socat -t 5 - TCP4:198.51.100.1:2001 <"$TMP/case/bulk" >"$TMP/case/back"
	cmp "$TMP/case/bulk" "$TMP/case/got"
	cmp "$TMP/case/bulk" "$TMP/case/back"
	equal "sent by eth1's queue" "$(($(sent eth1) - before < 200))" 1
	streams_end
}

# Who does not know whether the other end runs XDP does not go there.
untold() {
	topology
	begin_streams
	wait_until 20 queued eth0 eth1
	sleep 2 # two looks at the devices
	queued eth0 eth1
	streams_end
}

if veths_tell; then
	once "both ways" both_ways
	once "both ways over IPv6" both_ways6
	once "48 MiB each way, and their checksums" bulk
	once "the same frames, byte by byte" same_frames
	once "the service is stalled, stopped and killed" ended
	once "what would be missed on the way" each_thing
	once "the other end comes to this namespace" other_end_here
	once "a neighbour behind the other end" other_address
else
	once "devices do not tell what they take" untold
fi
once "out of an IPsec tunnel" decrypted
finish
