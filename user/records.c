// SPDX-License-Identifier: GPL-2.0-or-later
/* The rule records, as memory. */
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int records_open(const struct state *state, __u32 slot, struct records *records)
{
	size_t size = state->running.record_count * sizeof(*records->list);
	void *list;
	int fd;

	records->list = NULL;
	records->count = 0;
	if (!size)
		return 0;
	fd = state_inner(state, MAP_rule_records, slot);
	if (fd < 0)
		return fd;
	list = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (list == MAP_FAILED)
		return -errno;
	records->list = list;
	records->count = state->running.record_count;
	return 0;
}

/*
 * As two looks find them alike: changes in place write one record at a time, so what the first one had
 * half of is whole in the second.
 */
int records_copy(struct records *records)
{
	size_t size = records->count * sizeof(*records->list);
	void *copy;
	bool same;

	if (!size)
		return 0;
	copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		    -1, 0);
	if (copy == MAP_FAILED)
		return -errno;
	memcpy(copy, records->list, size);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	same = !memcmp(copy, records->list, size);
	munmap(same ? (void *)records->list : copy, size);
	if (same)
		records->list = copy;
	return same ? 0 : -EAGAIN;
}

void records_close(struct records *records)
{
	if (records->list)
		munmap((void *)records->list, records->count * sizeof(*records->list));
	records->list = NULL;
	records->count = 0;
}

static int rank_compare(const void *a, const void *b)
{
	const struct rule_record *x = *(const struct rule_record *const *)a;
	const struct rule_record *y = *(const struct rule_record *const *)b;

	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

int records_order(const struct records *records, const struct rule_record ***order, size_t *count)
{
	const struct rule_record **list = calloc(records->count + 1, sizeof(*list));
	bool sorted = true;
	size_t n = 0;

	*order = list;
	*count = 0;
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < records->count; i++) {
		if (!records->list[i].rule.handle)
			continue;
		list[n++] = &records->list[i];
		if (n > 1 && list[n - 1]->rank < list[n - 2]->rank)
			sorted = false;
	}
	if (!sorted)
		qsort(list, n, sizeof(*list), rank_compare);
	*count = n;
	return 0;
}

int records_write(int fd, const struct config *config)
{
	size_t size = config->rule_count * sizeof(struct rule_record);
	struct rule_record *list;

	if (!size)
		return 0;
	list = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (list == MAP_FAILED)
		return -errno;
	for (size_t i = 0; i < config->rule_count; i++) {
		list[i].rule = config->rules[i];
		list[i].rank = rank_at(i);
	}
	return munmap(list, size) ? -errno : 0;
}
