# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by the tests beside it: namespaces as hosts, the programs that run in them, test cases.
#
# A case is a shell function, run in a subshell that ends at its first failing command; whatever it
# made is gone afterwards. `once NAME FUNCTION` runs it in mode auto, which is tc on a veth,
# `each_mode NAME FUNCTION` in native and tc, which have little in common, and `every_mode` in generic,
# too, which differs from native by frames that are skbs, and by how it redirects them.
# XFWD_TEST_MODES names others for both. `finish` ends the file. Arguments select cases: all are part of
# its name.
#
#	outside ──────────── eth0  edge  eth1 ──────────── inside
#	198.51.100.2  198.51.100.1        10.0.0.1  10.0.0.2
#
# xfwd runs on edge. Outside has no route to 10.0.0.0/24: what is not translated gets no answer.
# `topology6` adds 2001:db8:1::2, 2001:db8:1::1, 2001:db8:2::1 and 2001:db8:2::2, in this order.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
XFWD=${XFWD:-$HERE/../../build/xfwd}
PEER=$HERE/peer.py
ID=${XFWD_TEST_ID:-xt-$(od -An -N2 -tx1 /dev/urandom | tr -d ' ')}
MODES=${XFWD_TEST_MODES:-native tc}
EVERY_MODE=${XFWD_TEST_MODES:-native generic tc}
TMP=$(mktemp -d /tmp/xfwd-test-XXXXXX)
chmod 755 "$TMP"
trap 'rm -rf "$TMP"' EXIT
ONLY=("$@")
CASES=0
FAILED=0
SKIP=77
SLOWER=${XFWD_TEST_SLOWER:-1} # than a real machine: what a test waits for may take so many times longer

OUTSIDE=$ID-outside
EDGE=$ID-edge
INSIDE=$ID-inside

# ---- cases ----

once() { # NAME FUNCTION
	MODE=auto run_case "$@"
}

each_mode() { # NAME FUNCTION
	in_modes "$MODES" "$@"
}

every_mode() { # NAME FUNCTION
	in_modes "$EVERY_MODE" "$@"
}

in_modes() { # MODES NAME FUNCTION
	local mode
	for mode in $1; do
		MODE=$mode run_case "$2, mode $mode" "$3"
	done
}

run_case() {
	local part rc
	for part in "${ONLY[@]}"; do
		[[ $1 == *"$part"* ]] || return 0
	done
	CASES=$((CASES + 1))
	mkdir "$TMP/case"
	(case_body "$2") >"$TMP/log" 2>&1
	rc=$?
	case $rc in
	0) echo "ok $CASES - $1" ;;
	"$SKIP") echo "ok $CASES - $1 # SKIP $(tail -n 1 "$TMP/log")" ;;
	*)
		FAILED=$((FAILED + 1))
		echo "not ok $CASES - $1"
		sed 's/^/# /' "$TMP/log"
		;;
	esac
	rm -rf "$TMP/case"
}

case_body() {
	NAMESPACES=()
	set -eEu -o pipefail
	trap clean_up EXIT
	trap 'exit 143' HUP INT TERM
	trap 'stack "$BASH_COMMAND" >&2' ERR
	[[ $(id -u) == 0 ]] || skip "needs root"
	[[ -x $XFWD ]] || { echo "no $XFWD: run make first" && false; }
	"$1"
}

stack() { # COMMAND: what failed, and how it came to be called
	local i
	echo "FAILED: $1"
	for ((i = 1; i < ${#FUNCNAME[@]}; i++)); do
		[[ ${FUNCNAME[i]} != case_body ]] || break
		echo "   in ${FUNCNAME[i]}, ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}"
	done
}

finish() {
	echo "1..$CASES"
	exit $((FAILED > 0))
}

skip() { # REASON
	echo "$*"
	exit $SKIP
}

clean_up() {
	local rc=$? ns
	set +eE
	trap - ERR
	if ((rc != 0 && rc != SKIP)) && [[ -e /sys/fs/bpf/xfwd/netns/$EDGE ]]; then
		"$XFWD" -n "$EDGE" stats
		while read -r _ dropped _; do
			echo "dropped from a CPU's backlog: $((16#$dropped))"
		done </proc/net/softnet_stat
		ip -n "$EDGE" -s link show up | grep -A 5 eth
	fi
	{ kill -9 $(jobs -p) && wait; } 2>/dev/null
	for ns in "${NAMESPACES[@]}"; do
		if [[ -e /sys/fs/bpf/xfwd/netns/$ns ]]; then
			"$XFWD" -q -n "$ns" down || rc=1
		fi
		kill -9 $(ip netns pids "$ns") 2>/dev/null
		rm -f "/run/xfwd/netns-$ns".*.lock # of a service that was killed
		ip netns delete "$ns"
	done
	rmdir /run/xfwd 2>/dev/null # if that was the last
	exit "$rc"
}

# ---- what a case says ----

fail() {
	echo "$*"
	return 1
}

equal() { # WHAT GOT WANTED
	[[ $2 == "$3" ]] || fail "$1: got »$2«, want »$3«"
}

contains() { # TEXT PART
	[[ $1 == *"$2"* ]] || fail "»$2« is not in »$1«"
}

fails() { # COMMAND...
	local rc=0
	"$@" || rc=$?
	[[ $rc != 0 ]] || fail "should have failed: $*"
}

status_of() { # COMMAND...: prints its exit status; its output is in $TMP/case/said
	local rc=0
	"$@" >"$TMP/case/said" 2>&1 || rc=$?
	sed 's/^/said: /' "$TMP/case/said" >&2
	echo "$rc"
}

said() {
	cat "$TMP/case/said"
}

# Without -e and with the trap off: its command is expected to fail at first. It may be a wait, too, and
# that is ended by its return alone.
wait_until() { # SECONDS COMMAND...
	local end=$(($(now) + $1 * SLOWER * 1000000)) first=$1
	shift
	until (trap - ERR && "$@") >/dev/null 2>&1; do
		if (($(now) >= end)); then
			fail "not within $first s: $*"
			return 1
		fi
		sleep_ms $((50 * SLOWER))
	done
}

now() { # in microseconds
	echo "${EPOCHREALTIME/[.,]/}"
}

sleep_ms() { # MILLISECONDS
	sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"
}

# What is tried over and over is tried less often where each time takes longer, but once at least.
rounds() { # HOW-MANY: their numbers
	seq $((($1 + SLOWER - 1) / SLOWER))
}

# ---- hosts ----

namespace() { # NAME...
	local ns
	for ns; do
		ip netns add "$ns"
		NAMESPACES+=("$ns")
		in_ns "$ns" sh -c "echo 0 >/proc/sys/net/ipv4/ip_forward && exec ip link set lo up"
	done
}

link() { # NS INTERFACE ADDRESS/LEN NS INTERFACE ADDRESS/LEN
	ip -n "$1" link add "$2" type veth peer name "$5" netns "$4"
	end_of_link "$1" "$2" "$3"
	end_of_link "$4" "$5" "$6"
	wait_until 5 is_up "$1" "$2"
	wait_until 5 is_up "$4" "$5"
}

end_of_link() { # NS INTERFACE ADDRESS/LEN
	ip -n "$1" -batch - <<-END
		address add $3 dev $2
		link set $2 up
	END
}

is_up() {
	[[ $(ip -n "$1" -o link show "$2") == *"state UP"* ]]
}

rename() { # INTERFACE NAME: of the edge
	ip -n "$EDGE" link set "$1" down
	ip -n "$EDGE" link set "$1" name "$2"
	ip -n "$EDGE" link set "$2" up
	wait_until 5 is_up "$EDGE" "$2"
}

topology() { # [MTU]
	namespace "$OUTSIDE" "$EDGE" "$INSIDE"
	link "$OUTSIDE" eth0 198.51.100.2/24 "$EDGE" eth0 198.51.100.1/24
	link "$EDGE" eth1 10.0.0.1/24 "$INSIDE" eth0 10.0.0.2/24
	ip -n "$INSIDE" route add default via 10.0.0.1
	if [[ ${1:-1500} != 1500 ]]; then
		ip -n "$OUTSIDE" link set eth0 mtu "$1"
		ip -n "$EDGE" link set eth0 mtu "$1"
		ip -n "$EDGE" link set eth1 mtu "$1"
		ip -n "$INSIDE" link set eth0 mtu "$1"
	fi
}

topology6() {
	topology
	address6 "$OUTSIDE" eth0 2001:db8:1::2
	address6 "$EDGE" eth0 2001:db8:1::1
	address6 "$EDGE" eth1 2001:db8:2::1
	address6 "$INSIDE" eth0 2001:db8:2::2
	ip -n "$INSIDE" route add default via 2001:db8:2::1
}

address6() { # NS INTERFACE ADDRESS: in use at once
	ip -n "$1" address add "$3/64" dev "$2" nodad
}

in_ns() { # NS COMMAND...
	ip netns exec "$@"
}

start() { # NS COMMAND...: in the background, until the case ends; its pid is in $!
	ip netns exec "$@" </dev/null &
}

listening() { # NS tcp|udp PORT
	[[ -n $(in_ns "$1" ss -Hln --"$2" "sport = :$3") ]]
}

serve() { # NS tcp|udp ADDRESS PORT[-PORT]: answers say who asks, see peer.py
	start "$1" "$PEER" serve "$2" "$3" "$4"
	wait_until 10 listening "$1" "$2" "${4##*-}"
}

ask() { # NS tcp|udp ADDRESS PORT [SOURCE-PORT [COUNT]]
	in_ns "$1" "$PEER" ask "${@:2}"
}

# nginx: / says which host it is, /peer who asks, and files are taken from $TMP/www.
http_server() { # NS PORT [ADDRESS]
	local dir=$TMP/case/nginx-$1-$2 kind
	mkdir -p "$dir" "$TMP/www"
	{
		echo "daemon off; master_process off; pid $dir/pid; error_log stderr;"
		echo "events { worker_connections 4096; } http { access_log off; sendfile on;"
		for kind in client_body proxy fastcgi uwsgi scgi; do
			echo "${kind}_temp_path $dir/$kind;"
		done
		echo "server { listen ${3:-0.0.0.0}:$2 backlog=4096; root $TMP/www;"
		echo "location = / { return 200 \"${1#"$ID"-}\\n\"; }"
		echo "location = /peer { return 200 \"\$remote_addr\\n\"; } } }"
	} >"$dir/conf"
	start "$1" nginx -q -e stderr -p "$dir" -c "$dir/conf"
	wait_until 10 listening "$1" tcp "$2"
}

fetch() { # NS CURL-ARGUMENT...
	ip netns exec "$1" curl -sSf --connect-timeout $((5 * SLOWER)) --max-time $((30 * SLOWER)) "${@:2}"
}

refused() { # NS CURL-ARGUMENT...
	local rc=0
	fetch "$@" || rc=$?
	equal "curl's status (7: connection refused)" $rc 7
}

# Numbered streams that run until `streams_end`, which fails if one of them had a break.
streams() { # NS tcp|udp ADDRESS PORT COUNT
	local file=$TMP/case/stream-$2
	start "$1" "$PEER" stream "${@:2}" "$file"
	STREAMS+=($!)
	wait_until 20 reached "$file" 5
}

reached() { # FILE NUMBER
	(($(cat "$1") >= $2))
}

streams_go_on() { # every stream gets five more answers
	local file
	for file in "$TMP"/case/stream-???; do
		wait_until 20 reached "$file" $(($(cat "$file") + 5))
	done
}

streams_end() {
	local pid
	streams_go_on
	for pid in "${STREAMS[@]}"; do
		kill "$pid"
		wait "$pid"
	done
}
STREAMS=()

# Counts packets that come to outside with an inside source address.
watch_leaks() {
	in_ns "$OUTSIDE" nft -f - <<-END
		table inet watch {
			chain in {
				type filter hook prerouting priority -400
				ip saddr 10.0.0.0/24 counter
				ip6 saddr 2001:db8:2::/64 counter
			}
		}
	END
}

no_leaks() {
	equal "leaks" "$(in_ns "$OUTSIDE" nft list chain inet watch in |
		grep -c "counter packets 0 bytes 0")" 2
}

# ---- xfwd ----

xfwd() {
	"$XFWD" -n "$EDGE" "$@"
}

# From Linux 6.3 on, a veth tells what it takes; before, XDP leaves to tc what goes there.
veths_tell() {
	[[ $(genl ctrl get name netdev) == *netdev* ]]
}

# What puts a configuration's interfaces into the case's mode.
mode_lines() {
	[[ $MODE == auto ]] || printf 'interface %s { mode %s }\n' eth0 "$MODE" eth1 "$MODE"
}

load() { # rules on standard input
	{ mode_lines && cat; } >"$TMP/case/xfwd.conf"
	xfwd apply "$TMP/case/xfwd.conf"
	mode_is_on
}

mode_is_on() { # [INTERFACE]
	[[ $MODE == auto ]] ||
		equal "mode of ${1:-eth0}" "$(xfwd status -j |
			jq -r ".interfaces[] | select(.name == \"${1:-eth0}\").mode")" "$MODE"
}

rules() {
	xfwd list -j | jq -r '.rules[].text'
}

counter() { # VERDICT: packets, over all hooks
	xfwd stats -j | jq "[.stats[].$1.packets // 0] | add"
}

flow_count() { # [FILTER...]
	xfwd flows "$@" -j | jq '.flows | length'
}
