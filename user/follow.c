// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel tells of changes in links, addresses, routes, rules and neighbours. */
#include "follow.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define ROOM  (8 * 1024 * 1024) /* for about 30 000 messages while the service waits for a CPU */
#define BATCH 256 /* datagrams: a flood must not keep its first change from being known */

struct batch {
	struct follow *follow;
	unsigned int changes;
};

static void link_gone(struct follow *follow, unsigned int ifindex)
{
	if (follow->gone_count < FOLLOW_GONE_MAX)
		follow->gone[follow->gone_count++] = ifindex;
}

void follow_gone_done(struct follow *follow, size_t count)
{
	follow->gone_count -= count;
	memmove(follow->gone, follow->gone + count, follow->gone_count * sizeof(*follow->gone));
}

static int note(const struct nlmsghdr *msg, void *context)
{
	struct batch *batch = context;
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(msg);
	const struct rtmsg *route = mnl_nlmsg_get_payload(msg);

	switch (msg->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (link->ifi_family == AF_BRIDGE) /* about its ports */
			break;
		if (msg->nlmsg_type == RTM_DELLINK)
			link_gone(batch->follow, link->ifi_index);
		batch->changes |= FOLLOW_LINKS;
		break;
	case RTM_DELADDR:
		batch->changes |= FOLLOW_ADDRESS_GONE;
		/* fall through */
	case RTM_NEWADDR:
	case RTM_NEWNETCONF:
	case RTM_DELNETCONF:
		batch->changes |= FOLLOW_LINKS;
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (neighbours_note(batch->follow->neighbours, msg))
			batch->changes |= FOLLOW_ROUTES;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (!(route->rtm_flags & RTM_F_CLONED))
			batch->changes |= FOLLOW_ROUTES;
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		batch->changes |= FOLLOW_ROUTES;
		break;
	}
	return MNL_CB_OK;
}

int follow_read(struct follow *follow, unsigned int *changes)
{
	struct batch batch = { .follow = follow };
	char buffer[32768];
	ssize_t length;
	int err = 0;

	for (int i = 0; i < BATCH && !err; i++) {
		length = recv(mnl_socket_get_fd(follow->socket), buffer, sizeof(buffer),
			      MSG_DONTWAIT | MSG_TRUNC);
		if (length > (ssize_t)sizeof(buffer) || (length < 0 && errno == ENOBUFS))
			batch.changes |= FOLLOW_LOST | FOLLOW_LINKS | FOLLOW_ADDRESS_GONE;
		else if (length < 0 && errno == EAGAIN)
			break;
		else if (length < 0 && errno != EINTR)
			err = -errno;
		else if (length > 0 && mnl_cb_run(buffer, length, 0, 0, note, &batch) < 0)
			batch.changes |= FOLLOW_ROUTES;
	}
	*changes = batch.changes;
	return err;
}

int follow_open(struct follow *follow, struct neighbours *neighbours)
{
	static const int groups[] = {
		RTNLGRP_LINK,       RTNLGRP_NEIGH,     RTNLGRP_NEXTHOP,      RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_IFADDR,
		RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV6_NETCONF,
	};
	int room = ROOM;

	memset(follow, 0, sizeof(*follow));
	follow->neighbours = neighbours;
	follow->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!follow->socket || mnl_socket_bind(follow->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	/* Smaller than asked for is no fault: messages that are lost are known to be. */
	setsockopt(mnl_socket_get_fd(follow->socket), SOL_SOCKET, SO_RCVBUFFORCE, &room,
		   sizeof(room));
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (mnl_socket_setsockopt(follow->socket, NETLINK_ADD_MEMBERSHIP,
					  (void *)&groups[i], sizeof(groups[i])) < 0)
			return -errno;
	return 0;
}

void follow_close(struct follow *follow)
{
	if (follow->socket)
		mnl_socket_close(follow->socket);
	follow->socket = NULL;
}
