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

/* Ports in host byte order. */
struct packet {
	struct address saddr;
	struct address daddr;
	unsigned int ifindex;
	uint16_t sport;
	uint16_t dport;
	uint8_t proto;
	uint8_t stage;
	enum family family;
};

static const uint8_t families[FAMILY_COUNT] = { AF_INET, AF_INET6 };

static const char *const interfaces[] = { "eth0", "eth1", "wan0" };

static const uint32_t addresses[] = {
	0x0a000001, 0x0a000002, 0x0a000003, 0x0a0000ff, 0x0a010203, 0x0a010202, 0x0a7fffff,
	0x0a800000, 0x7f000001, 0x80000000, 0xcb007107, 0x00000000, 0xffffffff,
};

static const uint8_t lengths[] = { 0, 1, 8, 9, 16, 24, 30, 31, 32, 32, 32 };
static const uint8_t lengths6[] = { 0, 1, 31, 32, 33, 48, 64, 65, 96, 127, 128, 128, 128 };

static const uint16_t ports[] = {
	0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 22, 80, 81, 1023, 1024, 32767, 32768, 65534, 65535,
};

static const uint8_t protos[] = { IPPROTO_TCP,  IPPROTO_TCP,  IPPROTO_UDP,
				  IPPROTO_UDP,  IPPROTO_ICMP, IPPROTO_ICMPV6,
				  IPPROTO_SCTP, IPPROTO_GRE,  0,
				  255 };

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

static bool protocol_matches(uint8_t set, const struct packet *packet)
{
	switch (packet->proto) {
	case IPPROTO_TCP:
		return !set || set & RULE_TCP;
	case IPPROTO_UDP:
		return !set || set & RULE_UDP;
	case IPPROTO_SCTP:
		return !set || set & RULE_SCTP;
	case IPPROTO_ICMP:
		return !set || (set & RULE_ICMP && packet->family == FAMILY_IP4);
	case IPPROTO_ICMPV6:
		return !set || (set & RULE_ICMP && packet->family == FAMILY_IP6);
	default:
		return !set;
	}
}

/* Bit by bit, from the first on. */
static bool prefix_matches(const struct address *prefix, unsigned int len,
			   const struct address *addr)
{
	for (unsigned int bit = 0; bit < len; bit++) {
		uint32_t differs = ntohl(prefix->word[bit / 32] ^ addr->word[bit / 32]);

		if (differs & 0x80000000 >> bit % 32)
			return false;
	}
	return true;
}

static bool endpoint_matches(const struct endpoint *endpoint, const struct address *addr,
			     uint16_t port)
{
	if (!prefix_matches(&endpoint->prefix.addr, endpoint->prefix.len, addr))
		return false;
	if (!endpoint->ports.min && !endpoint->ports.max)
		return true;
	return port >= endpoint->ports.min && port <= endpoint->ports.max;
}

/* Destinations outside on the way in, sources inside on the way out. */
static bool static_matches(const struct rule *rule, const struct packet *packet)
{
	if (packet->stage == STAGE_IN)
		return prefix_matches(&rule->to.prefix.addr, rule->to.prefix.len, &packet->daddr);
	return prefix_matches(&rule->target.addr_min, rule->to.prefix.len, &packet->saddr);
}

static bool rule_matches(const struct rule *rule, const struct packet *packet)
{
	if (rule->family && rule->family != families[packet->family])
		return false;
	if (rule->ifname[0] && interface_index(rule->ifname, NULL) != packet->ifindex)
		return false;
	if (rule->kind == RULE_STATIC)
		return static_matches(rule, packet);
	return rule->stage == packet->stage && protocol_matches(rule->protocols, packet) &&
	       endpoint_matches(&rule->from, &packet->saddr, packet->sport) &&
	       endpoint_matches(&rule->to, &packet->daddr, packet->dport);
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

static struct address random_address(uint64_t *random, uint8_t family)
{
	struct address addr = { { htonl(PICK(random, addresses)) } };

	if (family == AF_INET6) {
		addr.word[1] = random_below(random, 2) ? ~0U : 0;
		addr.word[2] = random_below(random, 2) ? ~0U : 0;
		addr.word[3] = htonl(PICK(random, addresses));
	}
	return addr;
}

static void random_prefix(uint64_t *random, uint8_t family, struct prefix *prefix)
{
	/* Bits beyond the prefix may be set: 10.1.2.3/8 is 10.0.0.0/8. */
	prefix->family = family;
	prefix->addr = random_address(random, family);
	prefix->len = family == AF_INET6 ? PICK(random, lengths6) : PICK(random, lengths);
}

static void random_endpoint(uint64_t *random, uint8_t family, struct endpoint *endpoint)
{
	uint16_t a = PICK(random, ports), b = PICK(random, ports);

	if (family && random_below(random, 2))
		random_prefix(random, family, &endpoint->prefix);
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

static void random_static(uint64_t *random, struct rule *rule)
{
	rule->stage = STAGE_IN;
	rule->kind = RULE_STATIC;
	rule->protocols = 0;
	rule->family = families[random_below(random, FAMILY_COUNT)];
	random_prefix(random, rule->family, &rule->to.prefix);
	rule->target.family = rule->family;
	rule->target.addr_min = random_address(random, rule->family);
}

static void random_rule(uint64_t *random, struct rule *rule)
{
	static const uint8_t kinds[STAGE_COUNT][4] = {
		[STAGE_IN] = { RULE_ACCEPT, RULE_DROP, RULE_DNAT, RULE_REDIRECT },
		[STAGE_OUT] = { RULE_ACCEPT, RULE_DROP, RULE_SNAT, RULE_MASQUERADE },
	};
	static const uint8_t of_family[] = { AF_UNSPEC, AF_INET, AF_INET, AF_INET6, AF_INET6 };

	memset(rule, 0, sizeof(*rule));
	rule->stage = random_below(random, STAGE_COUNT);
	rule->kind = PICK(random, kinds[rule->stage]);
	rule->family = PICK(random, of_family);
	if (random_below(random, 3))
		rule->protocols =
			random_below(random, (RULE_TCP | RULE_UDP | RULE_ICMP | RULE_SCTP) + 1);
	if (random_below(random, 2))
		strcpy(rule->ifname, PICK(random, interfaces));
	if (!random_below(random, 8)) {
		random_static(random, rule);
		return;
	}
	random_endpoint(random, rule->family, &rule->from);
	random_endpoint(random, rule->family, &rule->to);
	if (rule->family && (rule->kind == RULE_DNAT || rule->kind == RULE_SNAT)) {
		rule->target.family = rule->family;
		rule->target.addr_min = random_address(random, rule->family);
		rule->target.addr_max = rule->target.addr_min;
	}
}

/* In the prefix, or off by a bit. */
static void aim_at_prefix(uint64_t *random, const struct prefix *prefix, struct address *addr)
{
	unsigned int bit = random_below(random, family_bits(prefix->family));

	if (!prefix->len || !random_below(random, 4))
		return;
	*addr = prefix->addr;
	if (random_below(random, 2))
		addr->word[bit / 32] ^= htonl(0x80000000 >> bit % 32);
}

/* At, just inside or just outside the ends of what the rule asks for. */
static void aim_at_endpoint(uint64_t *random, const struct endpoint *endpoint, struct address *addr,
			    uint16_t *port)
{
	aim_at_prefix(random, &endpoint->prefix, addr);
	if (endpoint->ports.max && random_below(random, 4)) {
		*port = random_below(random, 2) ? endpoint->ports.min : endpoint->ports.max;
		*port += random_below(random, 3) - 1;
	}
}

/* Half of the packets are aimed at a rule, or almost none would hit a narrow one. */
static void random_packet(uint64_t *random, const struct rule *rules, size_t count,
			  struct packet *packet)
{
	const struct rule *rule =
		count && random_below(random, 2) ? &rules[random_below(random, count)] : NULL;
	struct prefix inside;

	packet->stage = random_below(random, STAGE_COUNT);
	packet->family = random_below(random, FAMILY_COUNT);
	if (rule && rule->family)
		packet->family = rule->family == AF_INET6 ? FAMILY_IP6 : FAMILY_IP4;
	packet->ifindex = 11 + random_below(random, 4); /* one more than there are names for */
	packet->proto = PICK(random, protos);
	packet->saddr = random_address(random, families[packet->family]);
	packet->daddr = random_address(random, families[packet->family]);
	packet->sport = PICK(random, ports);
	packet->dport = PICK(random, ports);
	if (!rule)
		return;

	if (rule->ifname[0] && random_below(random, 4))
		packet->ifindex = interface_index(rule->ifname, NULL);
	aim_at_endpoint(random, &rule->to, &packet->daddr, &packet->dport);
	if (rule->kind == RULE_STATIC) {
		inside = rule->to.prefix;
		inside.addr = rule->target.addr_min;
		aim_at_prefix(random, &inside, &packet->saddr);
		return;
	}
	packet->stage = rule->stage;
	aim_at_endpoint(random, &rule->from, &packet->saddr, &packet->sport);
}

static struct rule_key packet_key(const struct packet *packet)
{
	struct rule_key key = {
		.ifindex = packet->ifindex,
		.sport = htons(packet->sport),
		.dport = htons(packet->dport),
		.proto = packet->proto,
		.stage = packet->stage,
	};

	memcpy(key.saddr, packet->saddr.word, sizeof(key.saddr));
	memcpy(key.daddr, packet->daddr.word, sizeof(key.daddr));
	return key;
}

static void mismatch(const struct rule *rules, size_t count, const struct packet *packet,
		     long expected, long found)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], text[RULE_TEXT_MAX];
	size_t i;

	for (i = 0; i < count; i++) {
		rule_print(&rules[i], text);
		printf("# %2zu %s\n", i, text);
	}
	address_print(&packet->saddr, families[packet->family], from);
	address_print(&packet->daddr, families[packet->family], to);
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
		entry = tables_classify(tables, &key, packet.family);
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
	enum family family;

	for (stage = 0; stage < STAGE_COUNT; stage++) {
		for (family = 0; family < FAMILY_COUNT; family++) {
			mask = tables->ruleset->masks[stage][family];
			for (i = 1; i < tables->ruleset->mask_count[stage][family]; i++)
				assert_true(mask[i - 1].best_rank <= mask[i].best_rank);
		}
	}
	for (i = 0; i < tables->entry_count; i++) {
		key = &tables->keys[i];
		family = rule_key_family(key);
		assert_true(rule_key_position(key) <
			    tables->ruleset->mask_count[key->stage][family]);
		mask = &tables->ruleset->masks[key->stage][family][rule_key_position(key)];
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
