// SPDX-License-Identifier: GPL-2.0-or-later
/* Jiffies, reckoned from what the sweeper notes at each tick. */
#include "jiffies.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <time.h>

#include "sweeper.h"

/*
 * The sweeper notes jiffies and the time as one; read twice, for it may be writing. Half of the old
 * and half of the new would be wrong by up to a second.
 */
int jiffies_read(const struct state *state, __u32 hz, __u32 *now)
{
	int map = state->map[MAP_sweeper], err;
	struct sweeper first, again;
	struct timespec ts;
	__u32 zero = 0;
	__u64 since;

	for (int i = 0; i < 100; i++) {
		err = bpf_map_lookup_elem(map, &zero, &first);
		clock_gettime(CLOCK_MONOTONIC, &ts);
		if (!err)
			err = bpf_map_lookup_elem(map, &zero, &again);
		if (err)
			return err;
		if (first.tick_ns != again.tick_ns || first.tick_jiffies != again.tick_jiffies)
			continue;
		since = ts.tv_sec * 1000000000ULL + ts.tv_nsec - first.tick_ns;
		*now = first.tick_jiffies + (__u32)(since * hz / 1000000000ULL);
		return 0;
	}
	return -EAGAIN;
}
