/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counter slots: which rule has which, and the chunks of counters behind them. */
#ifndef XFWD_SLOTS_H
#define XFWD_SLOTS_H

#include "config.h"
#include "records.h"
#include "state.h"

/* A bit for each slot, and so a word for each group of counters. */
struct slot_set {
	__u64 group[(XFWD_RULES_MAX + 1) / XFWD_COUNTER_GROUP];
};

static inline void slot_set_add(struct slot_set *set, __u32 slot)
{
	set->group[slot / XFWD_COUNTER_GROUP] |= 1ULL << slot % XFWD_COUNTER_GROUP;
}

static inline bool slot_set_has(const struct slot_set *set, __u32 slot)
{
	return set->group[slot / XFWD_COUNTER_GROUP] >> slot % XFWD_COUNTER_GROUP & 1;
}

/* Those of all rules on record. */
void slot_set_add_all(struct slot_set *set, const struct records *records);

/*
 * Slots are given in turn, and from the first again after the last: flows of a deleted rule go on
 * counting in its slot, which then has been out of use for long. Were all given once?
 */
static inline bool slots_came_round(const struct running *running)
{
	return running->next_slot <= running->last_slot;
}

/* The next that is not used; 0: all are. Before they came round, `used` is not asked. */
__u32 slot_find(const struct running *running, const struct slot_set *used);
/* Has the search go on behind it. */
void slot_take(struct running *running, __u32 slot);
/* Nothing was counted in them, nor by a limit of their rules. 0 or -errno. */
int slots_clear(const struct state *state, const struct slot_set *slots);
/*
 * Handles and slots to the rules that have none; slots that were given before are cleared. Those of rules
 * in force are given last. Prints what is wrong. 0 or -errno.
 */
int slots_give(struct state *state, struct config *config);
/* Counters for all slots that were given. 0 or -errno. */
int slots_make_room(const struct state *state);
/* All counters to zero, those of verdicts too. 0 or -errno. */
int slots_zero(const struct state *state);

#endif
