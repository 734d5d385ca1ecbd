/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow tables, whose entries are read where the programs write them: in memory that is shared
 * with the kernel.
 */
#ifndef XFWD_FLOW_TABLES_H
#define XFWD_FLOW_TABLES_H

#include "bucket.h"
#include "state.h"

struct flow_entry {
	union {
		struct flow flow;
		struct flow4 ip4;
		struct flow6 ip6;
	};
	__u64 packets; /* in this direction, with what the halves say */
	__u64 bytes;
};

/* A map of the kernel's, in this process's memory. */
struct shared_array {
	const unsigned char *elements;
	size_t size; /* bytes mapped */
	size_t count;
};

struct flow_tables {
	struct settings settings;
	struct shared_array buckets[FAMILY_COUNT]; /* none: no rule has asked for the family yet */
	struct shared_array halves4;
};

/* 0 or -errno; to be closed in any case. */
int flow_tables_open(struct flow_tables *tables, const struct state *state);
void flow_tables_close(struct flow_tables *tables);
/* The entry in a family's bucket `at`, as it was at one moment. Is there one? */
bool flow_tables_at(const struct flow_tables *tables, enum family family, size_t at,
		    struct flow_key *key, struct flow_entry *entry);
/* The entry under a key. Is there one? */
bool flow_tables_find(const struct flow_tables *tables, const struct flow_key *key,
		      struct flow_entry *entry);

#endif
