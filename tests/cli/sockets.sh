#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The service's unit lets it have the kinds of sockets that the command opens, and no others.
cd "$(dirname "$0")/../.." || exit 1

allowed=$(sed -n 's/^RestrictAddressFamilies=//p' scripts/xfwd.service | tr ' ' '\n' | sort)
# libmnl's are netlink sockets
used=$( (grep -oh 'socket([AP]F_[A-Z0-9]*' user/*.c | sed 's/.*[AP]F_/AF_/'
	grep -qh mnl_socket_open user/*.c && echo AF_NETLINK) | sort -u)

echo 1..1
if [[ -n $used && $used == "$allowed" ]]; then
	echo "ok 1 - the unit allows the sockets in use"
else
	echo "not ok 1 - the unit allows the sockets in use"
	diff <(echo "$allowed") <(echo "$used") | sed 's/^/# /'
fi
