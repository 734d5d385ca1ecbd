/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The running state: the pinned maps, and the configuration that they were made from. The kernel
 * holds all of it; a process only opens it.
 */
#ifndef XFWD_STATE_H
#define XFWD_STATE_H

#include "config.h"
#include "pins.h"

/* X(name): pinned maps, by their names in the BPF object. */
#define STATE_MAPS(X) \
	X(settings) \
	X(flows4) \
	X(halves4) \
	X(flows6) \
	X(mappings) \
	X(outsides) \
	X(mapping_queue) \
	X(permits) \
	X(sources) \
	X(fragments) \
	X(held_fragments) \
	X(ifaces) \
	X(ifaces_near) \
	X(vlans) \
	X(ports) \
	X(tx_ports) \
	X(tx_ports_generic) \
	X(hop_lease) \
	X(port_peers) \
	X(hops_in_use) \
	X(rulesets) \
	X(rule_indexes) \
	X(rule_counters) \
	X(verdict_counters) \
	X(flow_ports) \
	X(sweeper) \
	X(sweep_timers) \
	X(rule_records) \
	X(running) \
	X(attachments) \
	X(saved_sysctls)

enum state_map {
#define STATE_MAP_ENUM(name) MAP_##name,
	STATE_MAPS(STATE_MAP_ENUM)
#undef STATE_MAP_ENUM
		MAP_COUNT,
};

/* What goes with the rule records: one value of the map `running`. */
struct running {
	__u64 netns_cookie; /* which namespace: a name may be taken by another later; in all layouts */
	__u32 record_count; /* records in use are below; those of deleted rules are among them */
	__u32 last_rank; /* the highest given; 0: none */
	__u32 next_handle; /* handles are never given twice */
	__u32 next_slot; /* where the next free counter slot is looked for */
	__u32 last_slot; /* the highest given; 0: none */
	__u32 interface_count;
	__u32 freed; /* memory of the index in force may be used anew: see edit() */
	__u32 pending; /* what is listed may not be what is in force: see edit() */
	struct options options;
	struct interface interfaces[XFWD_INTERFACES_MAX];
};

struct state {
	int map[MAP_COUNT]; /* -1: not open */
	struct running running;
	__u32 slot; /* that `running` is of */
};

/*
 * Opens what is pinned. -ENOENT: nothing is running here. Prints what else is wrong.
 */
int state_open(struct state *state, const struct pins *pins);
/*
 * Opens only what is the same in all layouts: what detaching and sysctl_restore() need. -ENOENT: it is
 * of a namespace of the same name that has gone; -EXDEV, which is said: of another one.
 */
int state_open_lasting(struct state *state, const struct pins *pins);
void state_close(struct state *state);
/*
 * The running configuration, handles and slots included, as it is at one time, of which state->running
 * then is, too. 0 or -errno. Writers wait for no reader: -EAGAIN, without a word, where they changed
 * the rules each time that these were read; not under their lock.
 */
int state_config(struct state *state, struct config *config);
/* SO_NETNS_COOKIE of the namespace this process is in; 0 where the kernel has none (before 5.14). */
__u64 state_netns_cookie(void);
/* Is there a pinned map of that name? */
bool state_has_map(const char *name);
int state_settings(const struct state *state, struct settings *settings);
/* The map in that place of a map of maps: a descriptor to close, or -errno. */
int state_inner(const struct state *state, enum state_map outer, __u32 at);
/* Writes state->running as what goes with the set in that slot. 0 or -errno. */
int state_write_running(const struct state *state, __u32 slot);
/* Which of the two sets of everything is in force. */
static inline __u32 settings_active(const struct settings *settings)
{
	return settings->generation & 1;
}

#endif
