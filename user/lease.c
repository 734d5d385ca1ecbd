// SPDX-License-Identifier: GPL-2.0-or-later
/* The lease on kept next hops, and the hops in use. */
#include "lease.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <stdlib.h>

#include "jiffies.h"

#define LEASE_MS     900
#define HOP_GONE_S   60 /* its neighbour is not there */
#define HOP_UNUSED_S 150 /* more than two rounds in which every flow in use looks up its hop anew */

/* Both halves in one store: a program must not see the new time with the old generation. */
static int lease_write(const struct lease *lease)
{
	__u32 zero = 0;

	return bpf_map_update_elem(lease->state->map[MAP_hop_lease], &zero, &lease->value, BPF_ANY);
}

static __u32 generation_after(__u32 generation)
{
	return (__u16)++generation ? generation : generation + 1;
}

int lease_begin(struct lease *lease, const struct state *state)
{
	struct settings settings;
	__u32 zero = 0;
	int err = state_settings(state, &settings);

	lease->state = state;
	if (err)
		return err;
	lease->hz = settings.hz;
	err = bpf_map_lookup_elem(state->map[MAP_hop_lease], &zero, &lease->value);
	if (!err)
		err = jiffies_read(lease->state, lease->hz, &lease->value.until);
	return err ? err : lease_change(lease);
}

int lease_renew(struct lease *lease, __u32 now)
{
	lease->value.until = now + lease->hz * LEASE_MS / 1000;
	return lease_write(lease);
}

int lease_change(struct lease *lease)
{
	lease->value.generation = generation_after(lease->value.generation);
	return lease_write(lease);
}

int lease_end(struct lease *lease)
{
	int err = jiffies_read(lease->state, lease->hz, &lease->value.until);

	/* Jiffies as reckoned here may be a tick ahead. */
	lease->value.until--;
	return err ? err : lease_write(lease);
}

static int hop_confirm(const struct lease *lease, struct neighbours *neighbours,
		       const struct hop_key *key, __u32 age)
{
	const struct neighbour *neighbour = neighbours_find(neighbours, key);
	int err = 0;

	if (age > (neighbour ? HOP_UNUSED_S : HOP_GONE_S) * lease->hz)
		bpf_map_delete_elem(lease->state->map[MAP_hops_in_use], key);
	else if (neighbour && !(neighbour->state & (NUD_REACHABLE | NUD_PERMANENT)))
		err = neighbours_use(neighbours, neighbour);
	return err == -ENOENT || err == -ENODEV ? 0 : err; /* gone just now */
}

int hops_confirm(const struct lease *lease, struct neighbours *neighbours, size_t *count)
{
	__u32 room = 2 * XFWD_HOPS_MAX; /* the kernel rounds the size of the map up */
	struct hop_key *keys = calloc(room, sizeof(*keys));
	__u32 *used = calloc(room, sizeof(*used)), position, now;
	int err = keys && used ? jiffies_read(lease->state, lease->hz, &now) : -ENOMEM;

	if (!err)
		err = bpf_map_lookup_batch(lease->state->map[MAP_hops_in_use], NULL, &position,
					   keys, used, &room, NULL);
	if (err == -ENOENT) /* that was all */
		err = 0;
	*count = err ? 0 : room;
	for (__u32 i = 0; i < *count && !err; i++) {
		__s32 age = now - used[i];

		err = hop_confirm(lease, neighbours, &keys[i], age > 0 ? age : 0);
	}
	free(keys);
	free(used);
	return err;
}
