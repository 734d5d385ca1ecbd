// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the compiler makes of rules: golden tables, port ranges, first match wins, its errors.
 *
 * data/compile/NAME.conf compiles to NAME.tables beside it, which XFWD_UPDATE=1 writes anew.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compile.h"
#include "parse.h"

#define DATA_DIR         "tests/unit/data/compile/"
#define FORWARDS         100000
#define PREFIXES_AT_MOST 30

/* The interfaces of these tests; their indexes are their positions + 1. */
static const char *const interfaces[] = { "lo", "eth0", "eth1", "wan0" };

static unsigned int lookups;

static unsigned int ifindex_known(const char *name, void *context)
{
	unsigned int i;

	assert_null(context);
	lookups++;
	for (i = 0; i < sizeof(interfaces) / sizeof(interfaces[0]); i++) {
		if (!strcmp(interfaces[i], name))
			return i + 1;
	}
	return 0;
}

static int compile_rules(struct rule *rules, size_t count, struct tables *tables, size_t *at)
{
	struct config config = { .rules = rules, .rule_count = count };

	return compile(&config, ifindex_known, NULL, tables, at);
}

static char *tables_text(const struct tables *tables)
{
	char *text = NULL;
	size_t size;
	FILE *out;

	out = open_memstream(&text, &size);
	assert_non_null(out);
	tables_print(tables, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static char *file_text(const char *path)
{
	static char text[64 * 1024];
	size_t size;
	FILE *in;

	in = fopen(path, "r");
	if (!in)
		fail_msg("%s: %s", path, strerror(errno));
	size = fread(text, 1, sizeof(text) - 1, in);
	text[size] = '\0';
	fclose(in);
	return text;
}

static void file_write(const char *path, const char *text)
{
	FILE *out;

	out = fopen(path, "w");
	if (!out)
		fail_msg("%s: %s", path, strerror(errno));
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static void golden(void **state)
{
	struct origins origins = { 0 };
	struct tables tables;
	struct config config;
	struct diag diag;
	char path[128];
	char *text;
	size_t at;

	diag_init(&diag);
	config_init(&config);
	snprintf(path, sizeof(path), DATA_DIR "%s.conf", (const char *)*state);
	if (parse_file(path, &config, &origins, &diag)) {
		diag_print(&diag, stderr);
		fail_msg("%s does not parse", path);
	}
	assert_int_equal(compile(&config, ifindex_known, NULL, &tables, &at), 0);

	text = tables_text(&tables);
	snprintf(path, sizeof(path), DATA_DIR "%s.tables", (const char *)*state);
	if (getenv("XFWD_UPDATE"))
		file_write(path, text);
	assert_string_equal(text, file_text(path));

	free(text);
	tables_free(&tables);
	origins_free(&origins);
	config_free(&config);
	diag_free(&diag);
}

/*
 * The fewest prefixes that make up a range are the aligned blocks inside it that are not half of
 * another such block.
 */
static size_t prefixes_needed(unsigned int min, unsigned int max)
{
	unsigned int size, block, parent;
	size_t count = 0;

	for (size = 1; size <= 65536; size *= 2) {
		for (block = (min + size - 1) / size * size; block + size - 1 <= max;
		     block += size) {
			parent = block / (2 * size) * (2 * size);
			if (size == 65536 || parent < min || parent + 2 * size - 1 > max)
				count++;
		}
	}
	return count;
}

/* Each port is under exactly one entry if it is in the range, and else under none. */
static void range_check(unsigned int min, unsigned int max, bool source)
{
	struct port_range range = { min, max };
	struct rule rule = { .kind = RULE_ACCEPT, .family = AF_INET };
	static uint8_t covered[65536];
	const struct rule_key *key, *bits;
	unsigned int port, value, mask;
	struct tables tables;
	size_t at, i;

	if (source)
		rule.from.ports = range;
	else
		rule.to.ports = range;
	assert_int_equal(compile_rules(&rule, 1, &tables, &at), 0);
	assert_int_equal(tables.entry_count, prefixes_needed(min, max));
	assert_true(tables.entry_count <= PREFIXES_AT_MOST);

	memset(covered, 0, sizeof(covered));
	for (i = 0; i < tables.entry_count; i++) {
		key = &tables.keys[i];
		bits = &tables.ruleset->masks[STAGE_IN][FAMILY_IP4][key->mask].bits;
		value = ntohs(source ? key->sport : key->dport);
		mask = ntohs(source ? bits->sport : bits->dport);
		assert_int_equal(value & ~mask, 0);
		for (port = value; port <= (value | (mask ^ 0xffff)); port++)
			covered[port]++;
	}
	for (port = 0; port <= 65535; port++) {
		if (covered[port] != (port >= min && port <= max))
			fail_msg("range %u-%u: port %u is under %u prefixes", min, max, port,
				 covered[port]);
	}
	tables_free(&tables);
}

static void ranges_split(void **state)
{
	static const unsigned int edges[] = {
		0,     1,     2,     3,     7,     8,     9,     79,    80,    81,
		255,   256,   257,   1023,  1024,  1025,  27000, 27100, 32766, 32767,
		32768, 32769, 49151, 49152, 65279, 65280, 65532, 65533, 65534, 65535,
	};
	const size_t count = sizeof(edges) / sizeof(edges[0]);
	unsigned int min, max;
	size_t i, j;

	(void)state;
	for (i = 0; i < count; i++) {
		/* From 1 on: {0, 0} says that no ports were given. */
		for (j = i ? i : 1; j < count; j++) {
			range_check(edges[i], edges[j], false);
			range_check(edges[i], edges[j], true);
		}
	}
	for (min = 1; min <= 65; min++) {
		for (max = min; max <= 65; max++)
			range_check(min, max, false);
	}
}

static void range_longest(void **state)
{
	struct rule rule = { .family = AF_INET,
			     .to.ports = { 1, 65534 },
			     .from.ports = { 1, 65534 } };
	struct tables tables;
	size_t at;

	(void)state;
	assert_int_equal(compile_rules(&rule, 1, &tables, &at), 0);
	assert_int_equal(tables.entry_count, PREFIXES_AT_MOST * PREFIXES_AT_MOST);
	assert_int_equal(tables.ruleset->mask_count[STAGE_IN][FAMILY_IP4], 15 * 15);
	tables_free(&tables);
}

static void no_rules(void **state)
{
	struct rule_key packet = { .proto = IPPROTO_TCP };
	struct tables tables;
	size_t at;

	(void)state;
	assert_int_equal(compile_rules(NULL, 0, &tables, &at), 0);
	assert_int_equal(tables.entry_count, 0);
	assert_null(tables_classify(&tables, &packet, FAMILY_IP4));
	tables_free(&tables);
}

static void first_match_wins(void **state)
{
	struct rule rules[] = {
		{ .kind = RULE_ACCEPT, .to.ports = { 81, 81 } },
		{ .kind = RULE_DROP, .to.ports = { 80, 83 } },
		{ .kind = RULE_DNAT, .to.ports = { 81, 81 } },
		{ .kind = RULE_DNAT, .to.ports = { 80, 83 } },
		{ .kind = RULE_REDIRECT },
	};
	static const size_t expected[] = { 4, 1, 0, 1, 1, 4 }; /* ports 79 … 84 */
	struct rule_key packet = { .proto = IPPROTO_TCP };
	const struct rule_entry *entry;
	struct tables tables;
	size_t at, i;

	(void)state;
	assert_int_equal(compile_rules(rules, 5, &tables, &at), 0);
	assert_int_equal(tables.entry_count, 3 * FAMILY_COUNT);
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		packet.dport = htons(79 + i);
		entry = tables_classify(&tables, &packet, FAMILY_IP4);
		assert_non_null(entry);
		assert_int_equal(entry->rank, expected[i]);
		entry = tables_classify(&tables, &packet, FAMILY_IP6);
		assert_non_null(entry);
		assert_int_equal(entry->rank, expected[i]);
	}
	tables_free(&tables);
}

/* The ports that any rule may hold for are those of protocols that have some. */
static void ports_noted(void **state)
{
	struct rule rules[] = {
		{ .kind = RULE_DNAT, .protocols = RULE_TCP, .to.ports = { 80, 81 } },
		{ .kind = RULE_DNAT, .protocols = RULE_ICMP },
		{ .kind = RULE_DROP, .protocols = RULE_ICMP | RULE_UDP },
	};
	static const size_t expected[] = { 2, 65536 };
	struct tables tables;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		size_t at, count = 0;

		assert_int_equal(compile_rules(rules, 2 + i, &tables, &at), 0);
		for (size_t word = 0; word < RULESET_PORT_WORDS; word++)
			count += __builtin_popcountll(tables.ruleset->ports[word]);
		assert_int_equal(count, expected[i]);
		tables_free(&tables);
	}
}

static void interface_unknown(void **state)
{
	struct rule rules[] = {
		{ .ifname = "eth0" },
		{ .ifname = "" },
		{ .ifname = "wna0" },
		{ .ifname = "eht0" },
	};
	struct tables tables;
	size_t at = 0;

	(void)state;
	assert_int_equal(compile_rules(rules, 4, &tables, &at), -ENODEV);
	assert_int_equal(at, 2);
	/* A failed compilation leaves nothing behind, and freeing that does no harm. */
	assert_null(tables.keys);
	tables_free(&tables);
}

static void interfaces_asked_once(void **state)
{
	struct rule rules[300] = { 0 };
	struct tables tables;
	size_t at, i;

	(void)state;
	for (i = 0; i < 300; i++) {
		strcpy(rules[i].ifname, interfaces[1 + i % 3]);
		rules[i].to.ports.min = rules[i].to.ports.max = 1 + i;
	}
	lookups = 0;
	assert_int_equal(compile_rules(rules, 300, &tables, &at), 0);
	assert_int_equal(lookups, 3);
	for (i = 0; i < 300; i++)
		assert_int_equal(tables.keys[FAMILY_COUNT * i].ifindex, 2 + i % 3);
	tables_free(&tables);
}

/* Rule i has the i-th of 33 * 33 combinations of prefix lengths: a mask of its own. */
static void rule_with_own_mask(struct rule *rule, unsigned int i)
{
	memset(rule, 0, sizeof(*rule));
	rule->kind = RULE_DROP;
	rule->family = AF_INET;
	rule->from.prefix.family = AF_INET;
	rule->from.prefix.len = i % 33;
	rule->to.prefix.family = AF_INET;
	rule->to.prefix.len = i / 33;
}

static void masks_overflow(void **state)
{
	struct rule rules[XFWD_MASKS_MAX + 2];
	struct tables tables;
	size_t at = 0, i;

	(void)state;
	for (i = 0; i <= XFWD_MASKS_MAX; i++)
		rule_with_own_mask(&rules[i], i);
	assert_int_equal(compile_rules(rules, XFWD_MASKS_MAX, &tables, &at), 0);
	tables_free(&tables);
	assert_int_equal(compile_rules(rules, XFWD_MASKS_MAX + 1, &tables, &at), -E2BIG);
	assert_int_equal(at, XFWD_MASKS_MAX);

	/* The other stage and the other family have lists of their own, and a mask that is there already takes no room. */
	rules[XFWD_MASKS_MAX].stage = STAGE_OUT;
	rules[XFWD_MASKS_MAX + 1] = rules[0];
	assert_int_equal(compile_rules(rules, XFWD_MASKS_MAX + 2, &tables, &at), 0);
	assert_int_equal(tables.ruleset->mask_count[STAGE_IN][FAMILY_IP4], XFWD_MASKS_MAX);
	tables_free(&tables);
	rules[XFWD_MASKS_MAX + 1].stage = STAGE_IN;
	rules[XFWD_MASKS_MAX + 1].family = AF_INET6;
	assert_int_equal(compile_rules(rules, XFWD_MASKS_MAX + 2, &tables, &at), 0);
	assert_int_equal(tables.ruleset->mask_count[STAGE_IN][FAMILY_IP6], 1);
	assert_int_equal(tables.ruleset->mask_count[STAGE_OUT][FAMILY_IP4], 1);
	tables_free(&tables);
}

static unsigned int ifindex_any(const char *name, void *context)
{
	(void)context;
	return atoi(name + strlen("eth")) + 1;
}

/* Those that are not there, all of them. */
static unsigned int ifindex_none(const char *name, void *context)
{
	(void)name, (void)context;
	return UINT32_MAX;
}

/* Interfaces are counted, not rules; one that is not named is none, one that is away may come back. */
static void hairpins_overflow(void **state)
{
	struct rule rules[2 * (RULESET_HAIRPINS + 1)] = { 0 };
	struct config config = { .rules = rules, .rule_count = 2 * RULESET_HAIRPINS };
	struct tables tables;
	size_t at = 0;

	(void)state;
	for (int i = 0; i < 2 * (RULESET_HAIRPINS + 1); i++) {
		rules[i].kind = RULE_DNAT;
		rules[i].hairpin = 1;
		snprintf(rules[i].ifname, sizeof(rules[i].ifname), "eth%d", i / 2);
	}
	assert_int_equal(compile(&config, ifindex_any, NULL, &tables, &at), 0);
	assert_int_equal(tables.ruleset->hairpin_count, RULESET_HAIRPINS);
	tables_free(&tables);
	config.rule_count++;
	assert_int_equal(compile(&config, ifindex_any, NULL, &tables, &at), -ENOSPC);
	assert_int_equal(at, 2 * RULESET_HAIRPINS);
	assert_int_equal(compile(&config, ifindex_none, NULL, &tables, &at), -ENOSPC);
	rules[2 * RULESET_HAIRPINS].ifname[0] = '\0';
	assert_int_equal(compile(&config, ifindex_any, NULL, &tables, &at), 0);
	tables_free(&tables);
}

static void snat_rule(struct rule *rule, unsigned int first, unsigned int last)
{
	memset(rule, 0, sizeof(*rule));
	rule->kind = RULE_SNAT;
	rule->stage = STAGE_OUT;
	rule->family = rule->target.family = AF_INET;
	rule->target.addr_min.word[0] = htonl(0x0a000000 + first);
	rule->target.addr_max.word[0] = htonl(0x0a000000 + last);
}

/* The last two words of an address of fd00::/64. */
static void snat_rule6(struct rule *rule, unsigned int high, unsigned int min, unsigned int max)
{
	snat_rule(rule, 0, 0);
	rule->family = rule->target.family = AF_INET6;
	rule->target.addr_min = (struct address){ { htonl(0xfd000000), 0, htonl(high), min } };
	rule->target.addr_max = (struct address){ { htonl(0xfd000000), 0, htonl(high), max } };
}

/* One by one, backwards, with overlaps, and of both families. */
static void pools_merged(void **state)
{
	const struct pool_range *pool;
	struct rule rules[107];
	struct tables tables;
	size_t at;

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		snat_rule(&rules[i], 299 - i, 299 - i);
	snat_rule(&rules[100], 210, 280);
	snat_rule(&rules[101], 301, 310);
	snat_rule(&rules[102], 302, 303);
	snat_rule6(&rules[103], 8, 0, htonl(5));
	snat_rule6(&rules[104], 7, htonl(9), ~0U);
	snat_rule(&rules[105], 309, 311);
	snat_rule(&rules[106], 1, 1);
	rules[106].kind = RULE_DNAT;
	assert_int_equal(compile_rules(rules, 107, &tables, &at), 0);
	assert_int_equal(tables.pools_left, 0);
	assert_int_equal(tables.ruleset->pool_count[FAMILY_IP4], 2);
	pool = tables.ruleset->pools[FAMILY_IP4];
	assert_int_equal(ntohl(pool[0].min[0]), 0x0a000000 + 200);
	assert_int_equal(ntohl(pool[0].max[0]), 0x0a000000 + 299);
	assert_int_equal(ntohl(pool[1].min[0]), 0x0a000000 + 301);
	assert_int_equal(ntohl(pool[1].max[0]), 0x0a000000 + 311);
	assert_int_equal(tables.ruleset->pool_count[FAMILY_IP6], 1);
	pool = tables.ruleset->pools[FAMILY_IP6];
	assert_memory_equal(pool->min, &rules[104].target.addr_min, sizeof(pool->min));
	assert_memory_equal(pool->max, &rules[103].target.addr_max, sizeof(pool->max));
	tables_free(&tables);
}

/* Every other address: none adjoins another. */
static void pools_overflow(void **state)
{
	struct rule rules[RULESET_POOLS + 3];
	struct tables tables;
	size_t at;

	(void)state;
	for (unsigned int i = 0; i < RULESET_POOLS + 3; i++)
		snat_rule(&rules[i], 2 * i, 2 * i);
	assert_int_equal(compile_rules(rules, RULESET_POOLS + 3, &tables, &at), 0);
	assert_int_equal(tables.ruleset->pool_count[FAMILY_IP4], RULESET_POOLS);
	assert_int_equal(tables.pools_left, 3);
	tables_free(&tables);
}

static void rules_overflow(void **state)
{
	struct tables tables;
	size_t at = 0;

	(void)state;
	assert_int_equal(compile_rules(NULL, XFWD_RULES_MAX + 1, &tables, &at), -EOVERFLOW);
	assert_int_equal(at, XFWD_RULES_MAX);
}

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* One range in `every` rules, so that the range's entries outnumber the rest; 0: no ranges. */
static void speed_measure(unsigned int every, const char *what)
{
	struct rule *rules = calloc(FORWARDS, sizeof(*rules)), *rule;
	struct tables tables;
	double start, best = 1e9;
	size_t at, i, run;

	assert_non_null(rules);
	for (i = 0; i < FORWARDS; i++) {
		rule = &rules[i];
		rule->kind = RULE_DNAT;
		rule->family = AF_INET;
		rule->protocols = RULE_TCP;
		strcpy(rule->ifname, "eth0");
		rule->to.prefix.family = AF_INET;
		rule->to.prefix.len = 32;
		rule->to.prefix.addr.word[0] = htonl(0xcb007100 + i / 1000);
		rule->to.ports.min = 1 + i % 1000 * 60;
		rule->to.ports.max = rule->to.ports.min + (every && i % every == 0 ? 50 : 0);
		rule->target.family = AF_INET;
		rule->target.addr_min.word[0] = htonl(0x0a000000 + i);
		rule->target.addr_max = rule->target.addr_min;
	}
	for (run = 0; run < 5; run++) {
		start = milliseconds();
		assert_int_equal(compile_rules(rules, FORWARDS, &tables, &at), 0);
		if (milliseconds() - start < best)
			best = milliseconds() - start;
		at = tables.entry_count;
		tables_free(&tables);
	}
	printf("# %d rules, %s: %zu entries in %.1f ms\n", FORWARDS, what, at, best);
	free(rules);
}

static void speed(void **state)
{
	(void)state;
	speed_measure(0, "one port each");
	speed_measure(10, "a range of ports in ten");
}

#define GOLDEN(name) \
	{ \
		"golden_" name, golden, NULL, NULL, name \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GOLDEN("forward"),
		GOLDEN("protocols"),
		GOLDEN("ranges"),
		GOLDEN("targets"),
		GOLDEN("order"),
		GOLDEN("masks"),
		GOLDEN("families"),
		GOLDEN("static"),
		GOLDEN("options"),
		cmocka_unit_test(ranges_split),
		cmocka_unit_test(range_longest),
		cmocka_unit_test(no_rules),
		cmocka_unit_test(first_match_wins),
		cmocka_unit_test(ports_noted),
		cmocka_unit_test(interface_unknown),
		cmocka_unit_test(interfaces_asked_once),
		cmocka_unit_test(masks_overflow),
		cmocka_unit_test(hairpins_overflow),
		cmocka_unit_test(pools_merged),
		cmocka_unit_test(pools_overflow),
		cmocka_unit_test(rules_overflow),
		cmocka_unit_test(speed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
