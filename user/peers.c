// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which veths' packets may go to the other end at once.
 *
 * They then meet nothing of what the kernel has for packets that a device sends: so there must be
 * nothing of that which would have done anything to them. The same holds for how the other end
 * takes what it is sent.
 */
#include "peers.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attach.h"
#include "ipsec.h"
#include "jiffies.h"
#include "loader.h"
#include "netdev.h"
#include "offload.h"

/* enum bpf_attach_type of Linux 6.6, newer than the headers we build with. */
#define TCX_EGRESS 47

/*
 * What a packet was in one namespace means nothing in another, and may do harm there. Not every kernel
 * takes it off (that began with Linux 6.15): what IPsec has decrypted here is then dropped there, where
 * no policy knows of it.
 */
static bool packets_bear_nothing(void)
{
	__u32 associations;

	return !ipsec_count_associations(&associations) && !associations;
}

/* Does anyone but us see what leaves there? `ours`: the id of tc_egress. */
static bool egress_is_shared(const struct state *state, const struct netdev *dev, __u32 ours)
{
	struct attachment attachment = { 0 };
	__u32 ids[2] = { 0 };
	LIBBPF_OPTS(bpf_prog_query_opts, programs, .prog_ids = ids, .prog_cnt = 2);
	int err = bpf_prog_query_opts(dev->ifindex, TCX_EGRESS, &programs);

	if (err == -ENOSPC || (!err && programs.prog_cnt > 1))
		return true;
	if (!err && programs.prog_cnt && ids[0] != ours)
		return true;
	attachment_get(state, dev->ifindex, &attachment);
	return netdev_has_egress_filters(dev->ifindex, attachment.priority[1],
					 attachment.handle[1]);
}

/*
 * A veth whose other end has an XDP program, or merges segments (GRO), takes redirected frames, and
 * one that says nothing of XDP (before Linux 6.3 all do) may have such another end, too.
 */
static bool may_skip_queue(const struct netdev *dev)
{
	return !strcmp(dev->kind, "veth") && dev->lower && dev->lower_netns >= 0 && dev->up &&
	       dev->has_carrier && !dev->has_queue && dev->runs_xdp && !dev->takes_redirects;
}

static bool examine(const struct state *state, const struct netdev *dev, __u32 ours, __u8 mac[6])
{
	struct netdev peer;

	if (!may_skip_queue(dev) || !offload_takes_all(dev->name) ||
	    egress_is_shared(state, dev, ours) || netdev_ask_peer(dev, &peer) || !peer.up)
		return false;
	memcpy(mac, peer.mac, sizeof(peer.mac));
	return true;
}

/* All that `ports` may have, by position. */
struct table {
	__u32 at[XFWD_PORTS_MAX];
	struct port_peer peers[XFWD_PORTS_MAX];
};

/* Looking has to wait for others who change devices: the lease must not run out meanwhile. */
#define LOOK_MS 200

static bool is_past(const struct timespec *began)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - began->tv_sec) * 1000 + (now.tv_nsec - began->tv_nsec) / 1000000 >
	       LOOK_MS;
}

/* Those that there was no time for go by their queues until the next look. */
static void fill(struct table *table, const struct lease *lease, const struct pins *pins,
		 const struct netdevs *devs)
{
	__u32 ours = loader_program_id(pins, "tc_egress");
	struct timespec began;
	struct iface iface;

	clock_gettime(CLOCK_MONOTONIC, &began);
	for (size_t i = 0; i < devs->count && !is_past(&began); i++) {
		const struct netdev *dev = &devs->list[i];
		struct port_peer *peer;

		if (bpf_map_lookup_elem(lease->state->map[MAP_ifaces], &dev->ifindex, &iface) ||
		    !iface.port)
			continue;
		peer = &table->peers[iface.port];
		if (examine(lease->state, dev, ours, peer->mac))
			peer->generation = lease->value.generation;
	}
}

int peers_examine(const struct lease *lease, const struct pins *pins)
{
	struct table *table = calloc(1, sizeof(*table));
	struct netdevs devs = { 0 };
	__u32 count = XFWD_PORTS_MAX;
	int err = 0, failed;

	if (!table)
		return -ENOMEM;
	for (__u32 i = 0; i < XFWD_PORTS_MAX; i++)
		table->at[i] = i;
	if (packets_bear_nothing()) {
		err = netdevs_get_links(&devs);
		netdevs_ask_redirects(&devs);
		fill(table, lease, pins, &devs);
		netdevs_free(&devs);
	}
	failed = bpf_map_update_batch(lease->state->map[MAP_port_peers], table->at, table->peers,
				      &count, NULL);
	free(table);
	return err ? err : failed;
}

bool peers_are_used(const struct state *state, unsigned int ifindex)
{
	struct port_peer peer;
	struct settings settings;
	struct hop_lease lease;
	struct iface iface;
	__u32 zero = 0, at, now;

	if (bpf_map_lookup_elem(state->map[MAP_ifaces], &ifindex, &iface) ||
	    state_settings(state, &settings) || jiffies_read(state, settings.hz, &now) ||
	    bpf_map_lookup_elem(state->map[MAP_hop_lease], &zero, &lease))
		return false;
	at = iface.port;
	/* A change a moment ago does not matter: the service is about to look again. */
	return !bpf_map_lookup_elem(state->map[MAP_port_peers], &at, &peer) && peer.generation &&
	       (__s32)(lease.until - now) > 0;
}
