// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's neighbours: a table that follows them, and what keeps them confirmed. */
#include "neighbours.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * States in which bpf_fib_lookup() gives the address out. Not NUD_NOARP: such an address follows
 * from the interface, and its coming is not told of.
 */
#define NUD_USABLE (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE)

static struct neighbour **bucket_of(struct neighbours *all, const struct neighbour *key)
{
	__u32 hash = key->ifindex * 2654435761U;

	for (size_t i = 0; i < sizeof(key->addr); i++)
		hash = (hash ^ key->addr[i]) * 16777619U;
	return &all->buckets[hash % NEIGHBOUR_BUCKETS];
}

/* Where the pointer to it is, or would be. */
static struct neighbour **place_of(struct neighbours *all, const struct neighbour *key)
{
	struct neighbour **at = bucket_of(all, key);

	while (*at && ((*at)->ifindex != key->ifindex || (*at)->family != key->family ||
		       memcmp((*at)->addr, key->addr, sizeof(key->addr))))
		at = &(*at)->next;
	return at;
}

static void neighbour_remove(struct neighbour **at)
{
	struct neighbour *gone = *at;

	*at = gone->next;
	free(gone);
}

static int read_attr(const struct nlattr *attr, void *context)
{
	struct neighbour *neighbour = context;
	size_t length = mnl_attr_get_payload_len(attr);
	const void *data = mnl_attr_get_payload(attr);

	switch (mnl_attr_get_type(attr)) {
	case NDA_DST:
		if (length <= sizeof(neighbour->addr))
			memcpy(neighbour->addr, data, length);
		break;
	case NDA_LLADDR:
		if (length > sizeof(neighbour->lladdr))
			length = sizeof(neighbour->lladdr);
		memcpy(neighbour->lladdr, data, length);
		neighbour->lladdr_length = length;
		break;
	}
	return MNL_CB_OK;
}

bool neighbours_note(struct neighbours *all, const struct nlmsghdr *msg)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(msg);
	struct neighbour told = { .round = all->round }, **at;
	bool same;

	/* Bridges tell of their forwarding tables in the same way. */
	if ((nd->ndm_family != AF_INET && nd->ndm_family != AF_INET6) || nd->ndm_flags & NTF_PROXY)
		return false;
	told.ifindex = nd->ndm_ifindex;
	told.family = nd->ndm_family;
	told.state = nd->ndm_state;
	mnl_attr_parse(msg, sizeof(*nd), read_attr, &told);
	at = place_of(all, &told);
	if (msg->nlmsg_type == RTM_DELNEIGH || !(told.state & NUD_USABLE)) {
		if (!*at)
			return false;
		neighbour_remove(at);
		return true;
	}
	if (!*at) {
		*at = malloc(sizeof(told));
		if (*at)
			**at = told; /* without it, the next message is taken for a change */
		return true;
	}
	same = (*at)->lladdr_length == told.lladdr_length &&
	       !memcmp((*at)->lladdr, told.lladdr, sizeof(told.lladdr));
	told.next = (*at)->next;
	**at = told;
	return !same;
}

/* One request; every answer goes to `handle`. 0 or -errno. */
static int ask(struct neighbours *all, struct nlmsghdr *request, mnl_cb_t handle, void *context)
{
	char buffer[32768];
	unsigned int port = mnl_socket_get_portid(all->socket);
	ssize_t length;

	request->nlmsg_seq = ++all->sequence;
	if (mnl_socket_sendto(all->socket, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		length = mnl_socket_recvfrom(all->socket, buffer, sizeof(buffer));
		if (length < 0)
			return -errno;
		length = mnl_cb_run(buffer, length, all->sequence, port, handle, context);
		/* The rest of an answer that was given up. */
		if (length < 0 && errno == EPROTO)
			length = MNL_CB_OK;
	} while (length > MNL_CB_STOP);
	return length < 0 ? -errno : 0;
}

struct reading {
	struct neighbours *all;
	bool changed;
};

static int read_neighbour(const struct nlmsghdr *msg, void *context)
{
	struct reading *reading = context;

	if (neighbours_note(reading->all, msg))
		reading->changed = true;
	return MNL_CB_OK;
}

int neighbours_read(struct neighbours *all, bool *changed)
{
	struct reading reading = { .all = all };
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	int err;

	*changed = true; /* should it fail */
	msg->nlmsg_type = RTM_GETNEIGH;
	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(msg, sizeof(struct ndmsg));
	all->round++;
	err = ask(all, msg, read_neighbour, &reading);
	/* The table changed meanwhile and the dump may have left some out: they are seen the next time. */
	if (err == -EINTR)
		return 0;
	if (err)
		return err;
	for (size_t i = 0; i < NEIGHBOUR_BUCKETS; i++) {
		struct neighbour **at = &all->buckets[i];

		while (*at) {
			if ((*at)->round == all->round) {
				at = &(*at)->next;
				continue;
			}
			neighbour_remove(at);
			reading.changed = true;
		}
	}
	*changed = reading.changed;
	return 0;
}

const struct neighbour *neighbours_find(const struct neighbours *all, const struct hop_key *hop)
{
	struct neighbour key = { .ifindex = hop->ifindex };

	key.family = hop->family == FAMILY_IP4 ? AF_INET : AF_INET6;
	memcpy(key.addr, hop->gateway, hop->family == FAMILY_IP4 ? 4 : 16);
	return *place_of((struct neighbours *)all, &key);
}

int neighbours_use(struct neighbours *all, const struct neighbour *neighbour)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	struct ndmsg *nd;

	/* Without NLM_F_CREATE: one that has gone since is not made again. */
	msg->nlmsg_type = RTM_NEWNEIGH;
	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nd = mnl_nlmsg_put_extra_header(msg, sizeof(*nd));
	nd->ndm_family = neighbour->family;
	nd->ndm_ifindex = neighbour->ifindex;
	nd->ndm_state = NUD_NONE;
	nd->ndm_flags = NTF_USE;
	mnl_attr_put(msg, NDA_DST, neighbour->family == AF_INET ? 4 : 16, neighbour->addr);
	return ask(all, msg, NULL, NULL);
}

int neighbours_open(struct neighbours *all)
{
	const struct timeval patience = { .tv_sec = 2 };
	bool changed;

	memset(all, 0, sizeof(*all));
	all->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!all->socket || mnl_socket_bind(all->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	/* The kernel answers at once; a mistake here must not stop the service from renewing. */
	setsockopt(mnl_socket_get_fd(all->socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	return neighbours_read(all, &changed);
}

void neighbours_close(struct neighbours *all)
{
	for (size_t i = 0; i < NEIGHBOUR_BUCKETS; i++)
		while (all->buckets[i])
			neighbour_remove(&all->buckets[i]);
	if (all->socket)
		mnl_socket_close(all->socket);
	all->socket = NULL;
}
