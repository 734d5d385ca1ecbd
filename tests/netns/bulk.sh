#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Much data through a forwarded port, compared byte by byte. XFWD_BULK_MB: how much, on a real machine.
. "$(dirname "$0")/lib.sh"
MB=$((${XFWD_BULK_MB:-1024} / 4 / SLOWER * 4)) # a quarter is whole, too

random_file() { # made once for all cases
	mkdir -p "$TMP/www"
	if [[ ! -e $TMP/www/bulk ]]; then
		head -c "${MB}M" /dev/urandom >"$TMP/www/bulk"
		sha256sum <"$TMP/www/bulk" >"$TMP/sum"
	fi
}

download() {
	topology
	random_file
	http_server "$INSIDE" 8080
	load <<-END
		dnat in eth0 tcp to :80 -> 10.0.0.2:8080
		masquerade out eth1 to 10.0.0.2
	END
	equal sum "$(fetch "$OUTSIDE" --max-time 200 http://198.51.100.1/bulk | sha256sum)" \
		"$(cat "$TMP/sum")"
	equal "a flow's bytes" "$(xfwd flows -j | jq ".flows[0].bytes[1] >= $MB * 1048576")" true
}

upload() {
	topology
	random_file
	start "$INSIDE" socat -u TCP4-LISTEN:5001 "OPEN:$TMP/case/got,creat,trunc"
	local server=$!
	wait_until 10 listening "$INSIDE" tcp 5001
	load <<-END
		dnat in eth0 tcp to :5001 -> 10.0.0.2
		masquerade out eth1 to 10.0.0.2
	END
	head -c "$((MB / 4))M" "$TMP/www/bulk" | in_ns "$OUTSIDE" timeout 100 nc -N 198.51.100.1 5001
	wait "$server"
	cmp -n "$((MB / 4 * 1048576))" "$TMP/www/bulk" "$TMP/case/got"
}

masqueraded() {
	topology
	random_file
	http_server "$OUTSIDE" 80
	load <<<"masquerade out eth0 from 10.0.0.0/24"
	equal sum "$(fetch "$INSIDE" --max-time 200 -r "0-$((MB * 262144 - 1))" \
		http://198.51.100.2/bulk | sha256sum)" \
		"$(head -c "$((MB / 4))M" "$TMP/www/bulk" | sha256sum)"
}

over6() { # both ways at once, through dnat and masquerade
	topology6
	random_file
	http_server "$INSIDE" 8080 "[::]"
	http_server "$OUTSIDE" 80 "[::]"
	load <<-END
		dnat in eth0 tcp to [2001:db8:1::1]:80 -> [2001:db8:2::2]:8080
		masquerade out eth0 from 2001:db8:2::/64
	END
	local part="0-$((MB * 262144 - 1))" sum up
	sum=$(head -c "$((MB / 4))M" "$TMP/www/bulk" | sha256sum)
	fetch "$INSIDE" --max-time 200 -r "$part" "http://[2001:db8:1::2]/bulk" |
		sha256sum >"$TMP/case/up" &
	up=$!
	equal "sum of dnat's" "$(fetch "$OUTSIDE" --max-time 200 -r "$part" \
		"http://[2001:db8:1::1]/bulk" | sha256sum)" "$sum"
	wait "$up"
	equal "sum of masquerade's" "$(cat "$TMP/case/up")" "$sum"
	equal "flows' bytes" "$(xfwd flows -j |
		jq "[.flows[].bytes[1] >= $MB * 262144] | length == 2 and all")" true
}

every_mode "$MB MiB down" download
each_mode "$((MB / 4)) MiB up" upload
each_mode "$((MB / 4)) MiB from outside through masquerade" masqueraded
each_mode "$((MB / 4)) MiB each way over IPv6" over6
finish
