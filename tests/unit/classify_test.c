// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tuple-space search against a first-match loop over the rules, on random rules and packets.
 *
 * Values come from small sets, so that rules overlap and hide each other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "compile.h"
#include "print.h"
#include "random.h"

#define RULESETS            1000
#define PACKETS             256
#define RULES_MAX           60

#define PICK(random, array) ((array)[random_below(random, sizeof(array) / sizeof((array)[0]))])

/* In host byte order. */
struct packet {
	uint32_t saddr;
	uint32_t daddr;
	unsigned int ifindex;
	uint16_t sport;
	uint16_t dport;
	uint8_t proto;
	uint8_t stage;
};

static const char *const interfaces[] = { "eth0", "eth1", "wan0" };

static const uint32_t addresses[] = {
	0x0a000001, 0x0a000002, 0x0a000003, 0x0a0000ff, 0x0a010203, 0x0a010202, 0x0a7fffff,
	0x0a800000, 0x7f000001, 0x80000000, 0xcb007107, 0x00000000, 0xffffffff,
};

static const uint8_t lengths[] = { 0, 1, 8, 9, 16, 24, 30, 31, 32, 32, 32 };

static const uint16_t ports[] = {
	0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 22, 80, 81, 1023, 1024, 32767, 32768, 65534, 65535,
};

static const uint8_t protos[] = { IPPROTO_TCP,  IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDP,
				  IPPROTO_ICMP, IPPROTO_GRE, 0,           255 };

static unsigned int interface_index(const char *name, void *context)
{
	unsigned int i;

	(void)context;
	for (i = 0; i < 3; i++) {
		if (!strcmp(interfaces[i], name))
			return 11 + i;
	}
	return 0;
}

static bool protocol_matches(uint8_t set, uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return !set || set & RULE_TCP;
	case IPPROTO_UDP:
		return !set || set & RULE_UDP;
	case IPPROTO_ICMP:
		return !set || set & RULE_ICMP;
	default:
		return !set;
	}
}

static bool endpoint_matches(const struct endpoint *endpoint, uint32_t addr, uint16_t port)
{
	uint32_t differs = ntohl(endpoint->prefix.addr.word[0]) ^ addr;

	if (endpoint->prefix.len && differs >> (32 - endpoint->prefix.len))
		return false;
	if (!endpoint->ports.min && !endpoint->ports.max)
		return true;
	return port >= endpoint->ports.min && port <= endpoint->ports.max;
}

static bool rule_matches(const struct rule *rule, const struct packet *packet)
{
	if (rule->stage != packet->stage)
		return false;
	if (rule->ifname[0] && interface_index(rule->ifname, NULL) != packet->ifindex)
		return false;
	return protocol_matches(rule->protocols, packet->proto) &&
	       endpoint_matches(&rule->from, packet->saddr, packet->sport) &&
	       endpoint_matches(&rule->to, packet->daddr, packet->dport);
}

/* What netfilter would do: position of the first rule that matches, or -1. */
static long first_match(const struct rule *rules, size_t count, const struct packet *packet)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (rule_matches(&rules[i], packet))
			return i;
	}
	return -1;
}

static void random_endpoint(uint64_t *random, struct endpoint *endpoint)
{
	uint16_t a = PICK(random, ports), b = PICK(random, ports);

	/* Bits beyond the prefix may be set: 10.1.2.3/8 is 10.0.0.0/8. */
	if (random_below(random, 2)) {
		endpoint->prefix.family = AF_INET;
		endpoint->prefix.addr.word[0] = htonl(PICK(random, addresses));
		endpoint->prefix.len = PICK(random, lengths);
	}
	switch (random_below(random, 6)) {
	case 0:
		endpoint->ports.min = a < b ? a : b;
		endpoint->ports.max = a < b ? b : a;
		break;
	case 1:
	case 2:
		endpoint->ports.min = endpoint->ports.max = a;
		break;
	default:
		break;
	}
}

static void random_rule(uint64_t *random, struct rule *rule)
{
	static const uint8_t kinds[STAGE_COUNT][4] = {
		[STAGE_IN] = { RULE_ACCEPT, RULE_DROP, RULE_DNAT, RULE_REDIRECT },
		[STAGE_OUT] = { RULE_ACCEPT, RULE_DROP, RULE_SNAT, RULE_MASQUERADE },
	};

	memset(rule, 0, sizeof(*rule));
	rule->stage = random_below(random, STAGE_COUNT);
	rule->kind = PICK(random, kinds[rule->stage]);
	if (random_below(random, 3))
		rule->protocols = random_below(random, (RULE_TCP | RULE_UDP | RULE_ICMP) + 1);
	if (random_below(random, 2))
		strcpy(rule->ifname, PICK(random, interfaces));
	random_endpoint(random, &rule->from);
	random_endpoint(random, &rule->to);
	if (rule->kind == RULE_DNAT || rule->kind == RULE_SNAT) {
		rule->target.family = AF_INET;
		rule->target.addr_min.word[0] = htonl(PICK(random, addresses));
		rule->target.addr_max = rule->target.addr_min;
	}
}

/* At, just inside or just outside the ends of what the rule asks for. */
static void aim_at_endpoint(uint64_t *random, const struct endpoint *endpoint, uint32_t *addr,
			    uint16_t *port)
{
	if (endpoint->prefix.len && random_below(random, 4))
		*addr = ntohl(endpoint->prefix.addr.word[0]) ^
			(random_below(random, 2) ? 0 : 1U << random_below(random, 32));
	if (endpoint->ports.max && random_below(random, 4)) {
		*port = random_below(random, 2) ? endpoint->ports.min : endpoint->ports.max;
		*port += random_below(random, 3) - 1;
	}
}

/* Half of the packets are aimed at a rule, or almost none would hit a narrow one. */
static void random_packet(uint64_t *random, const struct rule *rules, size_t count,
			  struct packet *packet)
{
	const struct rule *rule;

	packet->stage = random_below(random, STAGE_COUNT);
	packet->ifindex = 11 + random_below(random, 4); /* one more than there are names for */
	packet->proto = PICK(random, protos);
	packet->saddr = PICK(random, addresses);
	packet->daddr = PICK(random, addresses);
	packet->sport = PICK(random, ports);
	packet->dport = PICK(random, ports);
	if (!count || random_below(random, 2))
		return;

	rule = &rules[random_below(random, count)];
	packet->stage = rule->stage;
	if (rule->ifname[0] && random_below(random, 4))
		packet->ifindex = interface_index(rule->ifname, NULL);
	aim_at_endpoint(random, &rule->from, &packet->saddr, &packet->sport);
	aim_at_endpoint(random, &rule->to, &packet->daddr, &packet->dport);
}

static struct rule_key packet_key(const struct packet *packet)
{
	struct rule_key key = {
		.saddr = { htonl(packet->saddr) },
		.daddr = { htonl(packet->daddr) },
		.ifindex = packet->ifindex,
		.sport = htons(packet->sport),
		.dport = htons(packet->dport),
		.proto = packet->proto,
		.stage = packet->stage,
	};

	return key;
}

static void mismatch(const struct rule *rules, size_t count, const struct packet *packet,
		     long expected, long found)
{
	struct address saddr = { { htonl(packet->saddr) } }, daddr = { { htonl(packet->daddr) } };
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], text[RULE_TEXT_MAX];
	size_t i;

	for (i = 0; i < count; i++) {
		rule_print(&rules[i], text);
		printf("# %2zu %s\n", i, text);
	}
	address_print(&saddr, AF_INET, from);
	address_print(&daddr, AF_INET, to);
	printf("# packet: %s interface %u protocol %u %s:%u -> %s:%u\n",
	       packet->stage == STAGE_IN ? "in" : "out", packet->ifindex, packet->proto, from,
	       packet->sport, to, packet->dport);
	fail_msg("first match is rule %ld, the tables say %ld", expected, found);
}

static void packets_compare(uint64_t *random, const struct rule *rules, size_t count,
			    const struct tables *tables, size_t *matched)
{
	const struct rule_entry *entry;
	struct packet packet;
	struct rule_key key;
	long expected, found;
	size_t i;

	for (i = 0; i < PACKETS; i++) {
		random_packet(random, rules, count, &packet);
		key = packet_key(&packet);
		entry = tables_classify(tables, &key, FAMILY_IP4);
		found = entry ? (long)entry->rank : -1;
		expected = first_match(rules, count, &packet);
		if (found != expected)
			mismatch(rules, count, &packet, expected, found);
		*matched += expected >= 0;
	}
}

/* What the BPF program relies on and a comparison of answers alone would not show. */
static void tables_check(const struct tables *tables)
{
	const struct rule_key *key;
	const struct rule_mask *mask;
	const uint8_t *value, *bits;
	size_t i, j, stage;

	for (stage = 0; stage < STAGE_COUNT; stage++) {
		mask = tables->ruleset->masks[stage][FAMILY_IP4];
		for (i = 1; i < tables->ruleset->mask_count[stage][FAMILY_IP4]; i++)
			assert_true(mask[i - 1].best_rank <= mask[i].best_rank);
		assert_int_equal(tables->ruleset->mask_count[stage][FAMILY_IP6], 0);
	}
	for (i = 0; i < tables->entry_count; i++) {
		key = &tables->keys[i];
		mask = &tables->ruleset->masks[key->stage][FAMILY_IP4][key->mask];
		assert_true(key->mask < tables->ruleset->mask_count[key->stage][FAMILY_IP4]);
		assert_true(tables->entries[i].rank >= mask->best_rank);
		value = (const uint8_t *)key;
		bits = (const uint8_t *)&mask->bits;
		for (j = 0; j < offsetof(struct rule_key, mask); j++)
			assert_int_equal(value[j] & ~bits[j], 0);
	}
}

static void random_rulesets(void **state)
{
	uint64_t random = random_seed();
	size_t compiled = 0, refused = 0, matched = 0, at, i;
	struct rule rules[RULES_MAX];
	struct config config = { .rules = rules };
	struct tables tables;
	int err;

	(void)state;
	while (compiled < RULESETS) {
		config.rule_count = random_below(&random, RULES_MAX + 1);
		for (i = 0; i < config.rule_count; i++)
			random_rule(&random, &rules[i]);
		err = compile(&config, interface_index, NULL, &tables, &at);
		/* Too many masks is a fair answer to so wild a ruleset; take another. */
		if (err == -E2BIG && ++refused < RULESETS)
			continue;
		assert_int_equal(err, 0);
		tables_check(&tables);
		packets_compare(&random, rules, config.rule_count, &tables, &matched);
		tables_free(&tables);
		compiled++;
	}
	printf("# %zu rulesets, %d packets each, %zu%% match a rule; %zu with too many masks\n",
	       compiled, PACKETS, matched * 100 / (compiled * PACKETS), refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_rulesets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
