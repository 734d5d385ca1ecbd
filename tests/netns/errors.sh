#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the command says when it cannot do what it was asked for, and that it then changed nothing.
. "$(dirname "$0")/lib.sh"

nobody() { # a copy that nobody may run
	cp "$XFWD" "$TMP/case/xfwd"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$TMP/case/xfwd" "$@"
}

one_sentence() {
	equal "lines said" "$(said | wc -l)" 1
}

# What it forwards leaves by no policy.
ipsec_policies() {
	topology
	ip -n "$EDGE" xfrm policy list || skip "this kernel has no IPsec"
	echo 'dnat in eth0 tcp to :80 -> 10.0.0.2' >"$TMP/case/rules"
	equal status "$(status_of xfwd apply "$TMP/case/rules")" 0
	[[ $(said) != *IPsec* ]]
	ip -n "$EDGE" xfrm policy add dir out src 10.0.0.0/24 dst 198.51.100.0/24 \
		tmpl src 10.0.0.1 dst 198.51.100.2 proto esp mode tunnel
	equal status "$(status_of xfwd apply "$TMP/case/rules")" 0
	contains "$(said)" "there are IPsec policies: what these rules forward goes past them, in clear"
}

unknown_interface() {
	topology
	local status
	status=$(status_of xfwd add 'redirect in ehh0 tcp to :80 -> :8080')
	[[ $status == [12] ]] || fail "exit status $status"
	contains "$(said)" 'no interface "ehh0"'
	contains "$(said)" 'did you mean "eth0"'
	[[ ! -e /sys/fs/bpf/xfwd/netns/$EDGE ]] || fail "pins were left"
}

known_interface() { # one that rules name already may be away: what changes others is not refused
	topology
	printf '%s\n' 'masquerade out eth1' 'drop in eth0 tcp to :1' >"$TMP/case/conf"
	xfwd apply "$TMP/case/conf"
	ip -n "$EDGE" link delete eth1
	echo 'drop in eth0 tcp to :2' >>"$TMP/case/conf"
	equal status "$(status_of xfwd apply "$TMP/case/conf")" 0
	contains "$(said)" 'there is no interface "eth1" now'
	equal rules "$(rules | wc -l)" 3
	xfwd add 'accept out eth1 to 10.0.0.9'
	echo 'drop in eth2' >>"$TMP/case/conf"
	equal "status with one that is new" "$(status_of xfwd apply "$TMP/case/conf")" 2
	contains "$(said)" 'no interface "eth2"'
	equal rules "$(rules | wc -l)" 4
}

away() { # each is said once, however their rules stand among each other
	topology
	printf 'drop in eth%d tcp to :%d\n' 0 1 1 2 0 3 1 4 >"$TMP/case/conf"
	xfwd apply "$TMP/case/conf"
	ip -n "$EDGE" link delete eth0
	ip -n "$EDGE" link delete eth1
	equal status "$(status_of xfwd apply "$TMP/case/conf")" 0
	equal "interfaces said" "$(said | grep -o 'no interface "[^"]*"')" \
		$'no interface "eth0"\nno interface "eth1"'
}

unknown_namespace() {
	equal status "$(status_of "$XFWD" -n "$ID-nowhere" list)" 1
	one_sentence
	contains "$(said)" "$ID-nowhere"
}

inside_netns_exec() {
	topology
	local command
	for command in "list" "add drop in eth0 tcp to :1" "down"; do
		equal "status of $command" "$(status_of in_ns "$EDGE" "$XFWD" $command)" 1
		one_sentence
		contains "$(said)" "xfwd -n $EDGE"
	done
}

without_bpffs() { # in a mount namespace of its own, so that nobody else misses it
	topology
	ip -n "$EDGE" link add there0 type veth peer name there1
	unshare --mount --propagation private bash -eu -c '
		umount -l /sys/fs/bpf
		"$1" -n "$2" apply --dry-run - <<<"drop in there0"
		rc=0
		"$1" -n "$2-nowhere" flush || rc=$?
		((rc == 1))
		"$1" -n "$2" list
		"$1" -n "$2" add drop in eth0 tcp to :1
		"$1" -n "$2" list -j | jq -e ".rules | length == 1"
		"$1" -n "$2" down
	' bash "$XFWD" "$EDGE"
}

not_root() {
	topology
	local args
	for args in "list" "status" "add drop in lo tcp to :1" "apply /dev/null" "down" "flows"; do
		equal "status of $args" "$(status_of nobody $args)" 1
		one_sentence
		contains "$(said)" root
	done
	equal status "$(status_of nobody -n "$EDGE" list)" 1
	one_sentence
}

capable() { # the capabilities alone open nothing that is root's
	topology
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	local args set=+bpf,+net_admin,+perfmon,+sys_admin
	cp "$XFWD" "$TMP/case/xfwd"
	for args in "list" "status" "stats" "flows" "save" "add drop in eth0 tcp to :1" "down"; do
		equal "status of $args" "$(status_of setpriv --reuid=65534 --regid=65534 --clear-groups \
			--inh-caps="$set" --ambient-caps="$set" "$TMP/case/xfwd" -n "$EDGE" $args)" 1
		one_sentence
		contains "$(said)" "Permission denied"
	done
}

no_root_needed() {
	echo "redirect in eth0 tcp to :80 -> :8080" >"$TMP/case/conf"
	chmod 644 "$TMP/case/conf"
	equal check "$(status_of nobody check "$TMP/case/conf")" 0
	equal help "$(status_of nobody help)" 0
	contains "$(said)" apply
	equal "help of a command" "$(status_of nobody help add)" 0
	local help
	help=$(said)
	equal "help by an option" "$(status_of nobody add --help)" 0
	equal "what it says" "$(said)" "$help"
	equal "help of help" "$(status_of nobody help -h)" 0
	equal version "$(status_of nobody version)" 0
	contains "$(said)" "$(sed -n 's/^VERSION := //p' "$HERE/../../Makefile")"
}

bad_file() {
	topology
	http_server "$EDGE" 8080
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	local before command
	before=$(xfwd save)
	cat >"$TMP/case/bad.conf" <<-'END'
		redirect in eth0 tcp to :81 -> :8080
		dnat in eth0 tcp to :99999 -> 10.0.0.5
		masquerade out eth0
		drop in eth0 tcp from 300.1.1.1
		snat out eth0 tcp
		frobnicate in eth0
	END
	for command in "apply" "apply --dry-run" "check"; do
		equal "status of $command" "$(status_of xfwd $command "$TMP/case/bad.conf")" 2
		contains "$(said)" "bad.conf:2:2"
		contains "$(said)" "dnat in eth0 tcp to :99999 -> 10.0.0.5"
		contains "$(said)" "bad.conf:4:"
		contains "$(said)" "bad.conf:5:"
		contains "$(said)" "bad.conf:6:1: "
		equal "wrong lines named" "$(said | grep -o 'bad.conf:[0-9]*' | sort -u | wc -l)" 4
	done
	equal "rules afterwards" "$(xfwd save)" "$before"
	equal page "$(fetch "$OUTSIDE" http://198.51.100.1/)" edge
}

dry_run() {
	topology
	echo "redirect in eth0 tcp to :80 -> :8080" >"$TMP/case/conf"
	equal status "$(status_of xfwd apply --dry-run "$TMP/case/conf")" 0
	[[ ! -e /sys/fs/bpf/xfwd/netns/$EDGE ]] || fail "pins were left"
}

usage() {
	local args
	for args in "" "frobnicate" "add" "insert x" "delete" "apply" "list --frob" "help frobnicate" \
		"help add delete" "version 1" "-x list" "-n"; do
		equal "status of xfwd $args" "$(status_of "$XFWD" $args)" 2
		[[ -n $(said) ]] || fail "nothing was said"
	done
	equal "missing file" "$(status_of "$XFWD" check "$TMP/case/nofile")" 2
	contains "$(said)" nofile
	contains "$(said)" "No such file"
}

unreadable() { # now, for want of something here: another time it can be read, and no file is wrong
	topology
	local from what
	echo 'include "/proc/self/mem"' >"$TMP/case/includes"
	for from in /proc/self/mem "$TMP/case/includes"; do
		for what in check apply "apply --dry-run" run; do
			equal "status of $what" "$(status_of xfwd $what "$from")" 1
			contains "$(said)" "Input/output error"
		done
	done
}

nobody_listens() { # to what a command says while it changes rules; what is asked for must be read
	topology
	local closed
	exec {closed}> >(:)
	wait $!
	echo "masquerade out eth0" >"$TMP/case/conf"
	"$XFWD" -n "$EDGE" apply "$TMP/case/conf" 2>&"$closed"
	equal rules "$(rules)" "masquerade out eth0"
	equal forwarding "$(in_ns "$EDGE" sysctl -n net.ipv4.ip_forward)" 1
	fails xfwd list >&"$closed"
	exec {closed}>&-
}

unknown_rule() {
	topology
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	equal "unknown handle" "$(status_of xfwd delete 99)" 1
	one_sentence
	equal "unknown rule" "$(status_of xfwd delete 'redirect in eth0 tcp to :81 -> :8080')" 1
	one_sentence
	equal rules "$(rules)" "redirect in eth0 tcp to :80 -> :8080"
}

saved_is_loaded() { # what save prints, apply reads back
	topology
	load <<-END
		set timeout udp 90s
		set flows 4096
		set source-check off
		redirect in eth0 tcp to :80 -> :8080
		dnat in eth0 tcp,udp from 192.0.2.0/24:1024-65535 to 198.51.100.1:443 -> 10.0.0.5:8443 name x
		dnat in eth0 udp to :27000-27100 -> 10.0.0.9:37000-37100
		snat out eth0 tcp from 10.0.1.0/24 -> 203.0.113.8-203.0.113.15:1024-65535
		masquerade out eth0 from 10.0.0.0/24 random
		accept out eth0 to 192.0.2.0/24
		drop in eth0 icmp from 198.51.100.0/24
		drop in eth0 ipv6 icmp
		dnat in eth0 tcp to [2001:db8::1]:443 -> [2001:db8::2]-[2001:db8::9]:8443 hairpin mss auto
		static eth0 203.0.113.0/28 <-> 10.0.2.0/28
		snat out eth0 from 10.0.3.0/24 -> 203.0.113.9 mapping endpoint-dependent limit flows 9
		masquerade out eth0 ipv6 filtering endpoint-independent limit rate 50/s
	END
	xfwd save >"$TMP/case/saved"
	xfwd flush
	xfwd apply "$TMP/case/saved"
	diff "$TMP/case/saved" <(xfwd save)
	xfwd down
	xfwd apply "$TMP/case/saved"
	diff "$TMP/case/saved" <(xfwd save)
	equal rules "$(rules | wc -l)" 12
	xfwd save -j >"$TMP/case/saved.json"
	xfwd down
	xfwd apply "$TMP/case/saved.json"
	diff "$TMP/case/saved.json" <(xfwd save -j)
	diff "$TMP/case/saved" <(xfwd save)
	xfwd -p save -j | xfwd -j apply - --dry-run |
		jq -e '. == {"added": 0, "removed": 0, "kept": 12}'
	xfwd down
	xfwd save -j | xfwd check -
	equal "with nothing running" "$(xfwd save -j | jq -c '[.interfaces, .rules]')" "[[],[]]"
}

bad_json() { # what is wrong in a member is said with its path
	topology
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	local before
	before=$(xfwd save)
	cat >"$TMP/case/bad.json" <<-END
		{"settings": {"timeout": {"upd": 60}},
		 "rules": [{"text": "drop in eth0"}, {"text": "drop in eth9"}]}
	END
	equal status "$(status_of xfwd apply "$TMP/case/bad.json")" 2
	contains "$(said)" 'bad.json: settings.timeout: unknown member "upd"; did you mean "udp"?'
	sed -i s/upd/udp/ "$TMP/case/bad.json"
	equal status "$(status_of xfwd apply "$TMP/case/bad.json")" 2
	contains "$(said)" 'bad.json: rules[1].text: no interface "eth9"; did you mean "eth0"?'
	xfwd -j apply "$TMP/case/bad.json" >"$TMP/case/errors" || true
	jq -e '.errors[0] | .member == "rules[1].text" and .column == 9' "$TMP/case/errors"
	equal "rules afterwards" "$(xfwd save)" "$before"
}

json_everywhere() {
	topology
	http_server "$EDGE" 8080
	load <<<"redirect in eth0 tcp to :80 -> :8080"
	fetch "$OUTSIDE" http://198.51.100.1/
	xfwd list -j | jq -e '.rules[0] | .handle == 1 and .flows == 1'
	xfwd flows -j | jq -e '.flows[0] | .proto == "tcp" and .orig.dport == 80'
	xfwd status -j | jq -e '.interfaces[] | select(.name == "eth0") | .mode and .wanted == "auto"'
	xfwd stats -j | jq -e '.flows.used == 1 and .flows.max > 1'
	equal "option before and after" "$(xfwd -j list)" "$(xfwd list -j)"
	xfwd -j -p list | jq -e .rules
	equal "lines without -p" "$(xfwd -j list | wc -l)" 1
}

once "unknown interface" unknown_interface
once "an interface of running rules that is away" known_interface
once "interfaces that are away are said once each" away
once "IPsec policies" ipsec_policies
once "unknown namespace" unknown_namespace
once "under ip netns exec" inside_netns_exec
once "without bpffs" without_bpffs
once "not root" not_root
once "not root, but capable" capable
once "check, help and version need no root" no_root_needed
once "every wrong line of a file is reported, and nothing changes" bad_file
once "dry run changes nothing" dry_run
once "usage errors" usage
once "a file that cannot be read now" unreadable
once "nobody listens" nobody_listens
once "deleting what is not there" unknown_rule
once "save and apply" saved_is_loaded
once "errors in JSON" bad_json
once "JSON" json_everywhere
finish
