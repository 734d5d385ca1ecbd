// SPDX-License-Identifier: GPL-2.0-or-later
/* Random rules that both edges can be told. */
#include "rules.h"

#include <stdio.h>
#include <string.h>

#include "ends.h"
#include "nft.h"
#include "print.h"
#include "../prog/harness.h"

#define RULES_MAX 10

struct choice {
	const char *addr;
	uint8_t length;
};

static const struct choice prefixes[2][10] = {
	{
		{ "198.51.100.1", 32 },
		{ "198.51.100.1", 32 },
		{ "198.51.100.2", 32 },
		{ "198.51.100.0", 24 },
		{ "10.0.0.0", 24 },
		{ "10.0.0.0", 8 },
		{ "10.0.0.2", 31 },
		{ "203.0.113.5", 32 },
		{ "203.0.113.0", 24 },
		{ "128.0.0.0", 1 },
	},
	{
		{ "2001:db8::1", 128 },
		{ "2001:db8::1", 128 },
		{ "2001:db8::2", 128 },
		{ "2001:db8::", 64 },
		{ "fd00:1::", 64 },
		{ "fd00::", 8 },
		{ "fd00:1::2", 127 },
		{ "2001:db8:5::5", 128 },
		{ "2001:db8:5::", 48 },
		{ "2000::", 3 },
	},
};

/* Where packets are sent to; some are ranges. */
static const char *const dnat_targets[2][8][2] = {
	{
		{ "10.0.0.2", "10.0.0.2" },
		{ "10.0.0.3", "10.0.0.3" },
		{ "10.0.0.4", "10.0.0.7" },
		{ "10.0.1.5", "10.0.1.5" },
		{ "198.51.100.3", "198.51.100.3" },
		{ "203.0.113.5", "203.0.113.5" },
		{ "198.51.100.1", "198.51.100.1" },
		{ "10.0.0.1", "10.0.0.1" },
	},
	{
		{ "fd00:1::2", "fd00:1::2" },
		{ "fd00:1::3", "fd00:1::3" },
		{ "fd00:1::4", "fd00:1::7" },
		{ "fd00:2::5", "fd00:2::5" },
		{ "2001:db8::3", "2001:db8::3" },
		{ "2001:db8:5::5", "2001:db8:5::5" },
		{ "2001:db8::1", "2001:db8::1" },
		{ "fd00:1::1", "fd00:1::1" },
	},
};

static const char *const snat_targets[2][5][2] = {
	{
		{ "198.51.100.1", "198.51.100.1" },
		{ "198.51.100.77", "198.51.100.77" },
		{ "10.0.0.1", "10.0.0.1" },
		{ "203.0.113.9", "203.0.113.9" },
		{ "198.51.100.80", "198.51.100.83" },
	},
	{
		{ "2001:db8::1", "2001:db8::1" },
		{ "2001:db8::77", "2001:db8::77" },
		{ "fd00:1::1", "fd00:1::1" },
		{ "2001:db8:9::9", "2001:db8:9::9" },
		{ "2001:db8::80", "2001:db8::83" },
	},
};

static const struct port_range ranges[] = {
	{ 53, 53 },     { 80, 80 },     { 80, 80 },     { 1000, 1003 },  { 5000, 5003 },
	{ 5000, 5000 }, { 5001, 5016 }, { 1020, 1030 }, { 1024, 65535 }, { 8080, 8080 },
};

static const struct port_range wide_ranges[] = {
	{ 1024, 65535 }, { 20000, 29999 }, { 5001, 5256 }, { 600, 1023 }
};

static const struct port_range sources[] = { { 1024, 16383 }, { 16384, 32767 }, { 80, 80 } };

static const char *const hosts[2][12] = {
	{ "198.51.100.1", "198.51.100.1", "198.51.100.2", "198.51.100.3", "10.0.0.1", "10.0.0.2",
	  "10.0.0.3", "203.0.113.5", "203.0.113.6", "10.0.1.5", "10.0.0.5", "198.51.100.77" },
	{ "2001:db8::1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "fd00:1::1", "fd00:1::2",
	  "fd00:1::3", "2001:db8:5::5", "2001:db8:5::6", "fd00:2::5", "fd00:1::5", "2001:db8::77" },
};

static void put_address(const char *text, struct address *addr)
{
	uint8_t bytes[16];

	address_of(text, bytes);
	memcpy(addr->word, bytes, 16);
}

static void random_prefix(uint64_t *random, bool six, struct prefix *prefix)
{
	struct choice choice = PICK(random, prefixes[six]);

	prefix->family = six ? AF_INET6 : AF_INET;
	prefix->len = choice.length;
	put_address(choice.addr, &prefix->addr);
}

static void random_target(uint64_t *random, bool six, struct rule *rule)
{
	const char *const *addr = rule->stage == STAGE_OUT ? PICK(random, snat_targets[six])
							   : PICK(random, dnat_targets[six]);

	if (rule->kind == RULE_DNAT || rule->kind == RULE_SNAT) {
		rule->target.family = six ? AF_INET6 : AF_INET;
		put_address(addr[0], &rule->target.addr_min);
		put_address(addr[1], &rule->target.addr_max);
	}
	if (!rule->protocols || rule->protocols & RULE_ICMP || random_below(random, 2))
		return;
	rule->target.ports = PICK(random, ranges);
	/* Of few ports, there is soon none left, at one edge sooner than at the other. */
	if (rule->stage == STAGE_OUT)
		rule->target.ports = PICK(random, wide_ranges);
}

static void random_ends(uint64_t *random, bool six, struct rule *rule)
{
	if (!random_below(random, 3))
		random_prefix(random, six, &rule->from.prefix);
	if (random_below(random, 2))
		random_prefix(random, six, &rule->to.prefix);
	if (!rule->protocols || rule->protocols & RULE_ICMP)
		return;
	if (!random_below(random, 6))
		rule->from.ports = PICK(random, sources);
	if (random_below(random, 2))
		rule->to.ports = PICK(random, ranges);
}

static void random_rule(uint64_t *random, struct rule *rule)
{
	static const uint8_t kinds[STAGE_COUNT][6] = {
		{ RULE_ACCEPT, RULE_DROP, RULE_DNAT, RULE_DNAT, RULE_DNAT, RULE_REDIRECT },
		{ RULE_ACCEPT, RULE_DROP, RULE_SNAT, RULE_SNAT, RULE_MASQUERADE, RULE_MASQUERADE },
	};
	static const uint8_t sets[] = { RULE_TCP,  RULE_TCP | RULE_UDP,
					RULE_UDP,  RULE_TCP | RULE_UDP,
					RULE_ICMP, RULE_TCP | RULE_ICMP };
	bool six = random_below(random, 2);

	memset(rule, 0, sizeof(*rule));
	rule->stage = random_below(random, STAGE_COUNT);
	rule->kind = PICK(random, kinds[rule->stage]);
	if (random_below(random, 6))
		rule->protocols = PICK(random, sets);
	if (rule->protocols && !random_below(random, 4))
		rule->protocols = RULE_SCTP | (random_below(random, 2) ? RULE_UDP : 0);
	if (random_below(random, 4))
		strcpy(rule->ifname, PICK(random, iface_names));
	random_ends(random, six, rule);
	if (rule->kind != RULE_ACCEPT && rule->kind != RULE_DROP)
		random_target(random, six, rule);
	if (!rule_address_family(rule) && random_below(random, 2))
		rule->family = six ? AF_INET6 : AF_INET;
	if (rule->kind != RULE_ACCEPT && rule->kind != RULE_DROP &&
	    (!rule->protocols || rule->protocols & RULE_TCP) && !random_below(random, 4))
		rule->mss = PICK(random, nft_segments);
	/* Netfilter's mapping; and the other, which is the same until two want one port. */
	if (rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE)
		rule->mapping = random_below(random, 3) ? MAPPING_DEPENDENT : MAPPING_INDEPENDENT;
}

/* Some differ in what they need not say. */
static bool is_new(const char *text, const char *line)
{
	size_t length = strlen(line);

	for (; *text; text += strcspn(text, "\n") + 1)
		if (!strncmp(text, line, length) && text[length] == '\n')
			return false;
	return true;
}

void rules_random(uint64_t *random, char *text, size_t size)
{
	int count = 1 + random_below(random, RULES_MAX);
	size_t used = 0;

	text[0] = '\0';
	while (count--) {
		char line[RULE_TEXT_MAX];
		struct rule rule;

		random_rule(random, &rule);
		rule_print(&rule, line);
		if (is_new(text, line))
			used += snprintf(text + used, size - used, "%s\n", line);
	}
}

void host_random(uint64_t *random, bool six, uint8_t addr[16])
{
	address_of(PICK(random, hosts[six]), addr);
}
