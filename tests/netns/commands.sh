#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The commands as they are typed: editing rules, filtering flows, counters, and what a shell does.
. "$(dirname "$0")/lib.sh"

handles() {
	xfwd list -j | jq -c '[.rules[].handle]'
}

as_typed() { # not quoted: the shell takes "> :8080" for itself
	topology
	http_server "$EDGE" 8080
	cd "$TMP/case"
	xfwd add redirect in eth0 tcp to :80 -> :8080
	[[ ! -e :8080 ]] || fail "the shell's file is still there"
	equal rules "$(rules)" "redirect in eth0 tcp to :80 -> :8080"
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" edge
	xfwd delete redirect in eth0 tcp to :80 -> :8080
	refused "$OUTSIDE" http://198.51.100.1/
	xfwd add redirect in eth0 tcp to :80 into :8080
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" edge
	echo precious >-
	equal "status with a lone dash" "$(status_of xfwd add drop in eth0 - tcp)" 2
}

beside_iptables() { # what README.md shows can be typed so, each row by itself
	topology
	local rules=() rule
	mapfile -t rules < <(sed -n '/^| iptables |/,/^$/s/.*| `\(.*\)` |$/\1/p' "$HERE/../../README.md")
	((${#rules[@]} >= 10))
	for rule in "${rules[@]}"; do
		xfwd -q add "$rule"
		equal rule "$(rules)" "$rule"
		xfwd down
	done
}

editing() {
	topology
	equal added "$(xfwd -j add drop in eth0 tcp to :1)" '{"handle":1}'
	xfwd add drop in eth0 tcp to :2
	equal inserted "$(xfwd -j insert 1 drop in eth0 tcp to :3)" '{"handle":3}'
	xfwd insert 4 drop in eth0 tcp to :4
	equal handles "$(handles)" "[3,1,2,4]"
	equal "out of range" "$(status_of xfwd insert 6 drop in eth0 tcp to :6)" 1
	equal "twice" "$(status_of xfwd add drop in eth0 tcp to :4)" 1
	equal replaced "$(xfwd -j replace 1 drop in eth0 udp to :1)" '{"handle":1}'
	equal "first two" "$(rules | head -n 2)" $'drop in eth0 tcp to :3\ndrop in eth0 udp to :1'
	equal "onto another" "$(status_of xfwd replace 1 drop in eth0 tcp to :4)" 1
	equal "no handle" "$(status_of xfwd replace 9 drop in eth0 tcp to :9)" 1
	equal deleted "$(xfwd -j delete 2)" '{"deleted":1}'
	xfwd delete drop in eth0 tcp to :3
	equal handles "$(handles)" "[1,4]"
	xfwd add drop in eth0 tcp to :2
	equal "handles are not given twice" "$(handles)" "[1,4,5]"
	equal flushed "$(xfwd -j flush)" '{"deleted":3}'
	equal rules "$(rules)" ""
}

nothing_running() { # what takes rules out leaves it so
	topology
	equal flushed "$(xfwd -j flush)" '{"deleted":0}'
	equal "a handle" "$(status_of xfwd delete 1)" 1
	contains "$(said)" "no rule has handle 1"
	equal "a rule" "$(status_of xfwd delete drop in eth0 tcp to :1)" 1
	contains "$(said)" "no such rule: drop in eth0 tcp to :1"
	equal "another's place" "$(status_of xfwd replace 1 drop in eth0 tcp to :1)" 1
	contains "$(said)" "no rule has handle 1"
	contains "$(xfwd status)" "nothing is running here"
	[[ ! -e /sys/fs/bpf/xfwd/netns/$EDGE ]] || fail "something was loaded"
}

in_place() { # one rule of several is changed: what is in force stays where it is
	topology
	http_server "$EDGE" 8080
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	local n before
	before=$(ruleset_id)
	xfwd add redirect in eth0 tcp to :81 into :8080
	equal "the set in force" "$(ruleset_id)" "$before"
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1:81/)" edge
	xfwd add drop in eth0 tcp to "[2001:db8::/32]:83"
	equal "the set in force, IPv6 alone" "$(ruleset_id)" "$before"
	xfwd delete drop in eth0 tcp to "[2001:db8::/32]:83"
	xfwd add redirect in eth0 tcp from 198.51.100.0/24 to :82 into :8080
	equal "with another mask" "$(fetch "$OUTSIDE" http://198.51.100.1:82/)" edge
	xfwd add redirect in eth0 tcp to :81 into :9999
	equal "hidden by the first" "$(fetch "$OUTSIDE" http://198.51.100.1:81/)" edge
	equal "twice" "$(status_of xfwd add redirect in eth0 tcp to :81 into :8080)" 1
	contains "$(said)" "handle 2"
	xfwd delete redirect in eth0 tcp to :81 into :8080
	refused "$OUTSIDE" http://198.51.100.1:81/
	equal "what was hidden" "$(rules | tail -n 1)" "redirect in eth0 tcp to :81 -> :9999"
	xfwd insert 2 redirect in eth0 tcp,udp to :81-83 into :8080
	equal "before the last" "$(fetch "$OUTSIDE" http://198.51.100.1:83/)" edge
	xfwd replace 6 redirect in eth0 tcp,udp to :83-85 into :8080
	equal replaced "$(fetch "$OUTSIDE" http://198.51.100.1:85/)" edge
	refused "$OUTSIDE" http://198.51.100.1:81/
	xfwd insert 1 drop in eth0 tcp from 198.51.100.0/24
	fails fetch "$OUTSIDE" --connect-timeout 1 http://198.51.100.1:85/
	xfwd delete drop in eth0 tcp from 198.51.100.0/24
	equal "let through again" "$(fetch "$OUTSIDE" http://198.51.100.1:85/)" edge
	equal "no such" "$(status_of xfwd delete 77)" 1
	xfwd delete 6
	equal handles "$(handles)" "[1,4,5]"
	equal "the set in force" "$(ruleset_id)" "$before"
	for n in {100..230}; do # more than there is room for
		xfwd add redirect in eth0 tcp to ":$n" into :8080
	done
	equal "the last" "$(fetch "$OUTSIDE" http://198.51.100.1:230/)" edge
	equal rules "$(rules | wc -l)" 134
	equal handles "$(xfwd list -j | jq '[.rules[].handle] | unique | length')" 134
}

renamed() { # with nobody to follow: what the names are now is in force after the next change
	topology
	http_server "$EDGE" 8080
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	rename eth0 wan0
	xfwd add redirect in wan0 tcp to :80 into :9
	refused "$OUTSIDE" http://198.51.100.1/
	rename wan0 eth0
	load <<-END
		redirect in eth0 tcp to :80 -> :8080
		redirect in eth1 tcp to :80 -> :8080
	END
	rename eth0 wan0
	xfwd down eth1 # has what is on record follow the names, but not the rules
	xfwd add redirect in wan0 tcp to :80 into :9
	refused "$OUTSIDE" http://198.51.100.1/
	rename wan0 eth0
	xfwd delete redirect in wan0 tcp to :80 into :9
	rename eth0 other
	rename eth1 eth0
	rename other eth1
	xfwd delete redirect in eth1 tcp to :80 into :8080
	refused "$OUTSIDE" http://198.51.100.1/
	equal "names exchanged" "$(fetch "$INSIDE" http://10.0.0.1/)" edge
}

no_longer_needed() { # what the last rule of its kind needed goes with it
	topology
	load <<-END
		drop in eth0 tcp to :1
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		dnat in eth0 tcp to :81 -> 127.0.0.1:80
		dnat in eth0 tcp to :82 -> 10.0.0.2:8080
	END
	equal needed "$(needed)" "1 1"
	xfwd delete 3
	equal "without the one to loopback" "$(needed)" "1 0"
	xfwd delete 2
	equal "with one that forwards" "$(needed)" "1 0"
	xfwd replace 4 drop in eth0 tcp to :82
	equal "with none" "$(needed)" "0 0"
	xfwd add dnat in eth0 tcp to :80 into 10.0.0.2:8080
	equal "with one again" "$(needed)" "1 0"
	xfwd delete dnat in eth0 tcp to :80 into 10.0.0.2:8080
	equal "with none again" "$(needed)" "0 0"
}

last_to_name_one() { # an interface: it stays attached, for the rules that name none
	topology
	http_server "$EDGE" 8080
	equal "nothing to attach to" "$(status_of xfwd add accept tcp to :22)" 1
	load <<-END
		redirect in eth0 tcp to :80 -> :8080
		redirect tcp to :81 -> :8080
	END
	xfwd delete 1
	equal rules "$(rules)" "redirect tcp to :81 -> :8080"
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1:81/)" edge
	xfwd replace 2 redirect in eth0 tcp to :82 into :8080
	xfwd replace 2 redirect tcp to :83 into :8080
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1:83/)" edge
}

needed() {
	in_ns "$EDGE" sysctl -n net.ipv4.ip_forward net.ipv4.conf.eth0.route_localnet | paste -sd " "
}

ruleset_id() { # of the map, and which of the two is in force
	bpftool -j map dump pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/rulesets"
	bpftool -j map lookup pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/settings" key 0 0 0 0 |
		jq '[.. | .generation? // empty][0] % 2'
}

apply_keeps() { # handles, counters and flows of rules that stay
	topology
	http_server "$EDGE" 8080
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	fetch "$OUTSIDE" http://198.51.100.1/
	load <<-END
		drop in eth0 tcp to :1
		redirect in eth0 tcp to :80 -> :8080 name web
	END
	equal handles "$(handles)" "[2,1]"
	xfwd list -j | jq -e '.rules[1] | .flows == 1 and .packets > 3 and .name == "web"'
	equal flows "$(flow_count)" 1
	xfwd zero
	xfwd list -j | jq -e '.rules[1] | .flows == 0 and .packets == 0 and .bytes == 0'
	equal "delivered after zero" "$(counter delivered)" 0
	equal "dry run" "$(xfwd apply --dry-run - <<<"drop in eth0 tcp to :2")" \
		$'- drop in eth0 tcp to :1\n- redirect in eth0 tcp to :80 -> :8080 name web\n+ drop in eth0 tcp to :2\n1 added, 2 removed, 0 kept'
	equal handles "$(handles)" "[2,1]"
}

dry_run() { # says no to what `apply` says no to, and changes nothing
	topology
	both_refuse 2 "nothing to attach to" "no rule names an interface" <<<"accept tcp to :22"
	[[ ! -e /sys/fs/bpf/xfwd/netns/$EDGE ]] || fail "something was loaded"
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	both_refuse 1 "another table" "the flow table has room for 131072 flows" <<-END
		set flows 1M
		redirect in eth0 tcp to :80 -> :8080
	END
	for i in {0..256}; do
		echo "drop in eth0 from 10.0.0.0/$((i % 23 + 8)) to 10.0.0.0/$((i / 23 + 8))"
	done | both_refuse 2 "too many masks" "rule 257 is one combination"
	equal rules "$(rules)" "redirect in eth0 tcp to :80 -> :8080"
}

both_refuse() { # STATUS WHY SAID: the configuration on standard input
	cat >"$TMP/case/refused"
	for option in --dry-run ""; do
		equal "$2" "$(status_of xfwd apply "$TMP/case/refused" $option)" "$1"
		contains "$(said)" "$3"
	done
}

flow_filters() {
	topology
	http_server "$INSIDE" 8080
	serve "$INSIDE" udp 0.0.0.0 53
	load <<-END
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		dnat in eth0 udp to :53 -> 10.0.0.2
	END
	fetch "$OUTSIDE" http://198.51.100.1/
	ask "$OUTSIDE" udp 198.51.100.1 53 4321 3
	equal all "$(flow_count)" 4
	equal tcp "$(flow_count proto tcp)" 1
	equal "client port" "$(flow_count sport 4322)" 1
	equal "service port" "$(flow_count dport 80)" 1
	equal "server's port" "$(flow_count sport 8080)" 1
	equal "inside address" "$(flow_count src 10.0.0.2)" 4
	equal "no such address" "$(flow_count dst 10.0.0.3)" 0
	equal "closing" "$(flow_count state closing)" 1
	equal "answered" "$(flow_count state answered proto udp)" 3
	equal "of a rule" "$(flow_count rule 2)" 3
	equal "of no rule" "$(flow_count rule 7)" 0
	equal "bad filter" "$(status_of xfwd flows colour red)" 2
	equal "a filter twice" "$(status_of xfwd flows delete dport 80 dport 53)" 2
	contains "$(said)" "dport is given twice"
	equal "bad value" "$(status_of xfwd flows dport 80abc)" 2
	equal deleted "$(xfwd flows delete proto udp sport 4321)" "1 flows deleted"
	equal left "$(flow_count)" 3
	equal "deleted" "$(xfwd flows delete -j)" '{"deleted":3}'
	equal left "$(flow_count)" 0
	fetch "$OUTSIDE" http://198.51.100.1/
	equal again "$(flow_count)" 1
}

follow_rules() { # UDP follows a change of rules; an established TCP connection stays as it is
	topology
	serve "$INSIDE" udp 0.0.0.0 53
	serve "$INSIDE" udp 0.0.0.0 54
	serve "$INSIDE" tcp 0.0.0.0 2000
	load <<-END
		dnat in eth0 udp to :53 -> 10.0.0.2
		dnat in eth0 tcp to :2000 -> 10.0.0.2
	END
	streams "$OUTSIDE" tcp 198.51.100.1 2000 3
	equal before "$(ask "$OUTSIDE" udp 198.51.100.1 53 4321)" "198.51.100.2 4321 53 hello"
	load <<<"dnat in eth0 udp to :53 -> 10.0.0.2:54"
	equal after "$(ask "$OUTSIDE" udp 198.51.100.1 53 4321)" "198.51.100.2 4321 54 hello"
	streams_end
	xfwd add drop in eth0 udp from 198.51.100.2 to :53
	xfwd insert 1 drop in eth0 udp from 198.51.100.2
	fails ask "$OUTSIDE" udp 198.51.100.1 53 4321
	equal "udp flows" "$(flow_count proto udp)" 0
}

hundred_thousand() {
	topology
	http_server "$INSIDE" 8080
	seq 1 100000 | awk '{ printf "dnat in eth0 tcp to 10.%d.%d.%d:80 -> 10.0.0.2:8080\n",
		100 + $1 / 65536, $1 / 256 % 256, $1 % 256 }' >"$TMP/case/many"
	ip -n "$OUTSIDE" route add 10.100.0.0/14 via 198.51.100.1
	# Its own time: what else the machine does is not counted.
	local TIMEFORMAT="%U %S" times
	times=$({ time xfwd apply "$TMP/case/many" >&2 2>"$TMP/case/said"; } 2>&1)
	echo "100 000 rules in $times s (user, system)" >&2
	awk '{ exit $1 + $2 >= '$((2 * SLOWER))' }' <<<"$times" || fail "more than $((2 * SLOWER)) s"
	equal first "$(fetch "$OUTSIDE" http://10.100.0.1/)" inside
	equal last "$(fetch "$OUTSIDE" http://10.101.134.160/)" inside
	equal rules "$(rules | wc -l)" 100000
	xfwd list -j | jq -e '.rules[99999].flows == 1'
	xfwd add drop in eth0 tcp to :1
	xfwd delete 50000
	xfwd insert 50000 dnat in eth0 tcp to 10.100.195.80:80 into 10.0.0.2:8080
	xfwd save | cmp -n "$(stat -c %s "$TMP/case/many")" - "$TMP/case/many"
}

modes_change() { # each at once after the other: the program before has to be gone
	topology
	http_server "$INSIDE" 8080
	for mode in native generic native tc native tc generic auto native; do
		xfwd -q apply - <<-END
			interface eth0 { mode $mode }
			dnat in eth0 tcp to :80 -> 10.0.0.2:8080
			masquerade out eth0 from 10.0.0.0/24
		END
		[[ $mode == auto ]] ||
			equal mode "$(xfwd status -j | jq -r '.interfaces[] | select(.name == "eth0").mode')" $mode
	done
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
}

without_tcx() { # kernels before 6.6: clsact filters
	export XFWD_NO_TCX=1
	topology
	http_server "$INSIDE" 8080
	load <<-END
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		masquerade out eth0 from 10.0.0.0/24
	END
	equal "tc by" "$(xfwd status -j | jq -r '.interfaces[0].tc')" clsact
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" inside
	in_ns "$EDGE" tc filter show dev eth0 ingress | grep -q tc_ingress
}

late() { # NAME: how many maps there are in that map of maps
	bpftool -j map dump pinned "/sys/fs/bpf/xfwd/netns/$EDGE/maps/$1" |
		jq '[.[] | select(.value | type == "array")] | length'
}

maps_come_late() { # with the first rule that asks for one, and not before
	topology
	serve "$INSIDE" udp 0.0.0.0 5353
	load <<-END
		masquerade out eth0 from 10.0.0.0/24
		dnat in eth0 udp to :53 -> 10.0.0.2:5353
	END
	equal "of limits, without any" "$(late sources)" 0
	equal "of permits, without any" "$(late permits)" 0
	xfwd add 'dnat in eth0 udp to :54 -> 10.0.0.2:5353 limit flows 1'
	equal "of limits" "$(late sources)" 1
	equal "within the limit" "$(ask "$OUTSIDE" udp 198.51.100.1 54 4321)" "198.51.100.2 4321 5353 hello"
	equal "beyond it" "$(ask "$OUTSIDE" udp 198.51.100.1 54 4322 || true)" ""
	equal "of another rule" "$(ask "$OUTSIDE" udp 198.51.100.1 53 4322)" "198.51.100.2 4322 5353 hello"
	xfwd insert 1 'masquerade out eth0 from 10.0.0.3 filtering address-dependent'
	equal "of permits" "$(late permits)" 1
}

limits_of_two_rules() { # a flow counts in the last rule's alone, and its end gives back that
	topology
	serve "$INSIDE" udp 0.0.0.0 5353-5354
	load <<-END
		dnat in eth0 udp to :53-54 -> 10.0.0.2:5353-5354 limit flows 2
		masquerade out eth1 udp to 10.0.0.2:5354 limit flows 5
	END
	for port in 4321 4322; do
		contains "$(ask "$OUTSIDE" udp 198.51.100.1 53 $port)" hello
	done
	equal "a third" "$(ask "$OUTSIDE" udp 198.51.100.1 53 4323 || true)" ""
	contains "$(ask "$OUTSIDE" udp 198.51.100.1 54 4324)" hello
	xfwd flows delete dport 54
	equal "a third again" "$(ask "$OUTSIDE" udp 198.51.100.1 53 4323 || true)" ""
}

# The kernel says so of a list that changes while it is told. Here it says so of the first and third.
interrupted() {
	topology
	cat >"$TMP/case/interrupt.c" <<-'END'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <errno.h>
		#include <libmnl/libmnl.h>

		int mnl_cb_run(const void *buffer, size_t size, unsigned int seq, unsigned int port,
			       mnl_cb_t handle, void *context)
		{
			typeof(&mnl_cb_run) real = dlsym(RTLD_NEXT, "mnl_cb_run");
			const struct nlmsghdr *msg = buffer;
			static unsigned int lists = 1 << 0 | 1 << 2;
			int more = real(buffer, size, seq, port, handle, context);
			int is_last = more <= 0 && msg->nlmsg_flags & NLM_F_MULTI;
			int interrupt = is_last && lists & 1;

			lists >>= is_last;
			if (interrupt)
				errno = EINTR;
			return interrupt ? -1 : more;
		}
	END
	clang -shared -fPIC -O2 "$TMP/case/interrupt.c" -o "$TMP/case/interrupt.so"
	LD_PRELOAD=$TMP/case/interrupt.so xfwd add drop in eth0 tcp to :1
	equal interfaces "$(xfwd status -j | jq -c '[.interfaces[].name]')" '["eth0"]'
}

once "a rule typed without quotes" as_typed
once "the rules beside those of iptables" beside_iptables
once "add, insert, replace, delete, flush" editing
once "delete and flush where nothing is running" nothing_running
once "changing one rule in place" in_place
once "changing one rule after interfaces were renamed" renamed
once "sysctls that no rule needs any more" no_longer_needed
once "the last rule that names an interface" last_to_name_one
once "apply keeps what stays" apply_keeps
once "a dry run refuses what apply refuses" dry_run
once "flows: filters and delete" flow_filters
once "flows follow a change of rules" follow_rules
once "100 000 rules" hundred_thousand
once "modes change" modes_change
once "maps come with the first rule that asks for them" maps_come_late
once "limits of two rules" limits_of_two_rules
once "lists of interfaces that change meanwhile" interrupted
each_mode "without TCX" without_tcx
finish
