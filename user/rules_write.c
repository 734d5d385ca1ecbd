// SPDX-License-Identifier: GPL-2.0-or-later
/* Writing a set of rules beside the one in force. */
#include "rules_write.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <unistd.h>

#include "records.h"
#include "task.h"

/* Entries for `count`, and for some that may be added in place. */
static __u32 with_room(size_t count)
{
	return count + count / 8 + 64;
}

/* The inner maps of one set of rules, to be put into the outer ones. */
struct inner_maps {
	int records;
	int ruleset;
	int index;
};

static int inner_create(const char *name, enum bpf_map_type type, const __u32 sizes[2], __u32 room,
			__u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, name, sizes[0], sizes[1], room, &opts);

	return fd < 0 ? -errno : fd;
}

static int inner_create_all(struct inner_maps *inner, const struct config *config,
			    const struct tables *tables)
{
	static const __u32 records[] = { sizeof(__u32), sizeof(struct rule_record) };
	static const __u32 ruleset[] = { sizeof(__u32), sizeof(struct ruleset) };
	static const __u32 index[] = { sizeof(struct rule_key), sizeof(struct rule_entry) };
	__u32 rules = with_room(config->rule_count), entries = with_room(tables->entry_count);

	inner->records =
		inner_create("rule_records", BPF_MAP_TYPE_ARRAY, records, rules, RECORDS_MAP_FLAGS);
	inner->ruleset = inner_create("ruleset", BPF_MAP_TYPE_ARRAY, ruleset, 1, 0);
	inner->index = inner_create("rule_index", BPF_MAP_TYPE_HASH, index, entries, 0);
	if (inner->records < 0)
		return inner->records;
	if (inner->ruleset < 0)
		return inner->ruleset;
	return inner->index < 0 ? inner->index : 0;
}

static int batch_update(int fd, const void *keys, const void *values, __u32 count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	return count ? bpf_map_update_batch(fd, keys, values, &count, &opts) : 0;
}

/* All but the records. */
static int inner_fill(const struct inner_maps *inner, const struct tables *tables)
{
	__u32 zero = 0;
	int err = bpf_map_update_elem(inner->ruleset, &zero, tables->ruleset, BPF_ANY);

	return err ? err
		   : batch_update(inner->index, tables->keys, tables->entries, tables->entry_count);
}

/* An inner map's way into the outer one, which then keeps it. */
struct link {
	int outer;
	__u32 slot;
	int inner;
};

static int link_make(void *context)
{
	const struct link *link = context;

	return bpf_map_update_elem(link->outer, &link->slot, &link->inner, BPF_ANY);
}

#define LINKS_MAX 2

/* At most LINKS_MAX. */
static int links_make(struct link *links, size_t count)
{
	struct task tasks[LINKS_MAX];
	int err = 0, failed;

	for (size_t i = 0; i < count; i++)
		task_start(&tasks[i], link_make, &links[i]);
	for (size_t i = 0; i < count; i++) {
		failed = task_end(&tasks[i]);
		err = err ? err : failed;
	}
	return err;
}

/*
 * The records come first, and not by chance: no program reads them, but the kernel waits for all
 * running programs when an inner map is replaced. So what a packet may still be looking at, in the
 * slot that was in force before the last change, is replaced only when that packet is through. The
 * others are filled meanwhile.
 */
static int inner_write(const struct state *state, __u32 slot, const struct inner_maps *inner,
		       const struct config *config, const struct tables *tables)
{
	struct link records = { state->map[MAP_rule_records], slot, inner->records };
	struct link others[] = { { state->map[MAP_rulesets], slot, inner->ruleset },
				 { state->map[MAP_rule_indexes], slot, inner->index } };
	struct task linking = { 0 };
	int err = records_write(inner->records, config), failed;

	if (!err)
		task_start(&linking, link_make, &records);
	if (!err)
		err = inner_fill(inner, tables);
	failed = task_end(&linking);
	if (!err)
		err = failed;
	return err ? err : links_make(others, sizeof(others) / sizeof(others[0]));
}

int rules_write(const struct state *state, __u32 slot, const struct config *config,
		const struct tables *tables)
{
	struct inner_maps inner;
	int err = inner_create_all(&inner, config, tables);
	const int fds[] = { inner.records, inner.ruleset, inner.index };

	if (!err)
		err = inner_write(state, slot, &inner, config, tables);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}
