// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading the flow tables. */
#include "flow_tables.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int array_open(struct shared_array *array, int map)
{
	struct bpf_map_info info = { 0 };
	__u32 length = sizeof(info);
	long page = sysconf(_SC_PAGESIZE);
	void *elements;
	size_t size;
	int err = bpf_obj_get_info_by_fd(map, &info, &length);

	if (err)
		return err;
	size = ((size_t)info.max_entries * info.value_size + page - 1) / page * page;
	elements = mmap(NULL, size, PROT_READ, MAP_SHARED, map, 0);
	if (elements == MAP_FAILED)
		return -errno;
	array->elements = elements;
	array->size = size;
	array->count = info.max_entries;
	return 0;
}

static void array_close(struct shared_array *array)
{
	if (array->elements)
		munmap((void *)array->elements, array->size);
}

static int table6_open(struct flow_tables *tables, const struct state *state)
{
	int err, map = state_inner(state, MAP_flows6, 0);

	if (map < 0)
		return map == -ENOENT ? 0 : map;
	err = array_open(&tables->buckets[FAMILY_IP6], map);
	close(map);
	return err;
}

int flow_tables_open(struct flow_tables *tables, const struct state *state)
{
	int err;

	memset(tables, 0, sizeof(*tables));
	err = state_settings(state, &tables->settings);
	if (!err)
		err = array_open(&tables->buckets[FAMILY_IP4], state->map[MAP_flows4]);
	if (!err)
		err = array_open(&tables->halves4, state->map[MAP_halves4]);
	return err ? err : table6_open(tables, state);
}

void flow_tables_close(struct flow_tables *tables)
{
	for (enum family family = 0; family < FAMILY_COUNT; family++)
		array_close(&tables->buckets[family]);
	array_close(&tables->halves4);
	memset(tables, 0, sizeof(*tables));
}

static const void *bucket_at(const struct flow_tables *tables, enum family family, size_t at)
{
	size_t size = family == FAMILY_IP4 ? sizeof(struct flow_bucket4)
					   : sizeof(struct flow_bucket6);

	return tables->buckets[family].elements + at * size;
}

static bool bucket_is(const void *bucket, const struct flow_key *key)
{
	return key->family == FAMILY_IP4 ? bucket4_is(bucket, key) : bucket6_is(bucket, key);
}

static struct flow_halves halves_at(const struct flow_tables *tables, enum family family, size_t at)
{
	if (family == FAMILY_IP4)
		return ((const struct flow_halves *)tables->halves4.elements)[at];
	return ((const struct flow_bucket6 *)bucket_at(tables, family, at))->entry.halves;
}

static void entry_copy(const void *bucket, enum family family, struct flow_entry *entry)
{
	if (family == FAMILY_IP4)
		entry->ip4 = ((const struct flow_bucket4 *)bucket)->entry;
	else
		entry->ip6 = ((const struct flow_bucket6 *)bucket)->entry;
}

/* An entry, and its halves of the same moment: they go on while they are read, but seldom. */
static void entry_read(const struct flow_tables *tables, enum family family, size_t at,
		       struct flow_entry *entry)
{
	const void *bucket = bucket_at(tables, family, at);
	struct flow_halves before, after = halves_at(tables, family, at);

	do {
		before = after;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		entry_copy(bucket, family, entry);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		after = halves_at(tables, family, at);
	} while (memcmp(&before, &after, sizeof(before)));
	if (!(entry->flow.seen & FLOW_SEEN_WRAP))
		memset(&after, 0, sizeof(after));
	entry->packets = flow_total(entry->flow.packets, 16, after.packets);
	entry->bytes = flow_total(entry->flow.bytes, 32, after.bytes);
}

/*
 * Whoever is there may be removed while it is read, and the bucket be another's by then: no lock
 * keeps this process running. What has the same key before and after is of that flow.
 */
bool flow_tables_at(const struct flow_tables *tables, enum family family, size_t at,
		    struct flow_key *key, struct flow_entry *entry)
{
	const void *bucket = bucket_at(tables, family, at);

	if (at >= tables->buckets[family].count ||
	    !(__atomic_load_n((const __u32 *)bucket, __ATOMIC_ACQUIRE) & BUCKET_LIVE))
		return false;
	if (family == FAMILY_IP4)
		bucket4_key(bucket, key);
	else
		bucket6_key(bucket, key);
	entry_read(tables, family, at, entry);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return bucket_is(bucket, key);
}

bool flow_tables_find(const struct flow_tables *tables, const struct flow_key *key,
		      struct flow_entry *entry)
{
	size_t at = flow_home(key, tables->settings.secret, tables->settings.flow_max), last;
	struct flow_key found;
	const __u32 *tag;

	if (at >= tables->buckets[key->family].count)
		return false;
	tag = bucket_at(tables, key->family, at);
	for (last = at + BUCKET_REACH(*tag); at <= last; at++)
		if (flow_tables_at(tables, key->family, at, &found, entry) &&
		    !memcmp(&found, key, sizeof(found)))
			return true;
	return false;
}
