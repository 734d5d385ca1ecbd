/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rule records: every rule as the user said it, and its rank. Ranks say the order; they have
 * gaps, and records lie anywhere, so that a rule can come or go without moving any other.
 */
#ifndef XFWD_RECORDS_H
#define XFWD_RECORDS_H

#include "config.h"
#include "state.h"

/* One value of the inner maps of `rule_records`. */
struct rule_record {
	struct rule rule; /* handle 0: none is here (any more) */
	__u32 rank;
};

_Static_assert(sizeof(struct rule_record) == XFWD_RULE_RECORD_SIZE, "map value size");

/* Ranks of rules that are written in one go; there is as much room before the first. */
#define RANK_FIRST (1U << 30)
#define RANK_STEP  1024

static inline __u32 rank_at(size_t position)
{
	return RANK_FIRST + position * RANK_STEP;
}

/* The records of one set, mapped from the kernel: reading a hundred thousand takes no copy. */
struct records {
	const struct rule_record *list;
	size_t count; /* with those that are none */
};

/* Those that state->running counts, in that slot; records_close() in any case. 0 or -errno. */
int records_open(const struct state *state, __u32 slot, struct records *records);
/* A copy of them in their place, as they were at one time. 0; -EAGAIN: one was changed meanwhile. */
int records_copy(struct records *records);
void records_close(struct records *records);
/* Those that are rules, by rank; free() *order. 0 or -ENOMEM. */
int records_order(const struct records *records, const struct rule_record ***order, size_t *count);
/* Flags of the inner maps. */
#define RECORDS_MAP_FLAGS (BPF_F_INNER_MAP | BPF_F_MMAPABLE)
/* Fills a new inner map with the rules, ranked from rank_at(0) on. 0 or -errno. */
int records_write(int fd, const struct config *config);

#endif
