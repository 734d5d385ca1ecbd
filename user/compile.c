// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The compiler: turns the rules, in their order, into masks and index entries.
 *
 * Owns what a rule means as masks and values: which protocols it expands to, how a range of ports
 * becomes prefixes, which family's list it belongs to. ruleset.h says how the tables are searched.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"

/* 1-65534 takes the most: two of each length from 2 to 16. */
#define PORT_PREFIXES_MAX 30
/* At most a quarter full. */
#define MASK_BUCKETS      (4 * XFWD_MASKS_MAX)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct port_prefix {
	__be16 port;
	__be16 mask;
};

/* A rule's condition, or a part of it: a packet matches where (packet & bits) == value. */
struct pattern {
	struct rule_key value;
	struct rule_key bits;
};

struct named_ifindex {
	char name[IF_NAMESIZE];
	unsigned int ifindex;
	bool hairpins; /* it is among ruleset.hairpins */
};

struct compiler {
	struct tables *tables;
	ifindex_of lookup;
	void *context;
	void *ifindexes; /* tsearch(3) tree of struct named_ifindex */
	bool ports_all; /* ruleset.ports is full */
	/* Position + 1 of the mask that hashes there or further on; 0: none. */
	uint16_t mask_buckets[STAGE_COUNT][FAMILY_COUNT][MASK_BUCKETS];
};

/* The rule that entries are being made for. */
struct subject {
	struct rule_entry entry;
	enum stage stage;
	enum family family;
};

static const struct {
	uint8_t flag;
	uint8_t proto[FAMILY_COUNT];
} protocols[] = {
	{ RULE_TCP, { IPPROTO_TCP, IPPROTO_TCP } },
	{ RULE_UDP, { IPPROTO_UDP, IPPROTO_UDP } },
	{ RULE_ICMP, { IPPROTO_ICMP, IPPROTO_ICMPV6 } },
	{ RULE_SCTP, { IPPROTO_SCTP, IPPROTO_SCTP } },
};

static const int family_numbers[FAMILY_COUNT] = { AF_INET, AF_INET6 };

/*
 * Position of the mask in its list; it is added where it is new. Rules come in order of rank, so
 * the first rule under a mask is its best, and the list is in order of best_rank as it grows.
 */
static int mask_position(struct compiler *compiler, const struct subject *subject,
			 const struct rule_key *bits)
{
	uint16_t *buckets = compiler->mask_buckets[subject->stage][subject->family];
	struct ruleset *ruleset = compiler->tables->ruleset;
	struct rule_mask *masks = ruleset->masks[subject->stage][subject->family];
	uint32_t *count = &ruleset->mask_count[subject->stage][subject->family];
	uint32_t i = rule_key_hash(bits) % MASK_BUCKETS;

	for (; buckets[i]; i = (i + 1) % MASK_BUCKETS) {
		if (rule_key_equal(&masks[buckets[i] - 1].bits, bits))
			return buckets[i] - 1;
	}

	if (*count == XFWD_MASKS_MAX)
		return -E2BIG;
	masks[*count].bits = *bits;
	masks[*count].best_rank = subject->entry.rank;
	buckets[i] = ++*count;
	return *count - 1;
}

static int pattern_add(struct compiler *compiler, const struct subject *subject,
		       struct pattern *pattern)
{
	int position = mask_position(compiler, subject, &pattern->bits);

	if (position < 0)
		return position;
	pattern->value.mask = RULE_KEY_MASK(subject->family, position);
	return tables_add(compiler->tables, &pattern->value, &subject->entry);
}

static bool range_given(struct port_range range)
{
	return range.min || range.max;
}

/* The fewest prefixes that hold the range and nothing else. Returns how many. */
static size_t range_split(struct port_range range, struct port_prefix prefixes[PORT_PREFIXES_MAX])
{
	uint32_t port = range.min, end = range.max + 1U, size;
	size_t count = 0;

	if (!range_given(range)) {
		prefixes[0] = (struct port_prefix){ 0, 0 };
		return 1;
	}
	while (port < end) {
		/* The largest block that is aligned at this port and does not pass the end. */
		size = port ? port & -port : 1U << 16;
		while (size > end - port)
			size >>= 1;
		prefixes[count].port = htons(port);
		prefixes[count].mask = htons((uint16_t) ~(size - 1));
		count++;
		port += size;
	}
	return count;
}

/* Every pair of a source and a destination prefix under the protocol that the pattern has. */
static int ports_add(struct compiler *compiler, const struct subject *subject,
		     const struct rule *rule, struct pattern *pattern)
{
	struct port_prefix from[PORT_PREFIXES_MAX], to[PORT_PREFIXES_MAX];
	size_t from_count = range_split(rule->from.ports, from);
	size_t to_count = range_split(rule->to.ports, to);
	size_t i, j;
	int err;

	for (i = 0; i < from_count; i++) {
		pattern->value.sport = from[i].port;
		pattern->bits.sport = from[i].mask;
		for (j = 0; j < to_count; j++) {
			pattern->value.dport = to[j].port;
			pattern->bits.dport = to[j].mask;
			err = pattern_add(compiler, subject, pattern);
			if (err)
				return err;
		}
	}
	return 0;
}

static int protocols_add(struct compiler *compiler, const struct subject *subject,
			 const struct rule *rule, struct pattern *pattern)
{
	size_t i;
	int err;

	if (!rule->protocols)
		return ports_add(compiler, subject, rule, pattern);

	pattern->bits.proto = 0xff;
	for (i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (!(rule->protocols & protocols[i].flag))
			continue;
		pattern->value.proto = protocols[i].proto[subject->family];
		err = ports_add(compiler, subject, rule, pattern);
		if (err)
			return err;
	}
	return 0;
}

static int named_ifindex_compare(const void *a, const void *b)
{
	const struct named_ifindex *x = a, *y = b;

	return strncmp(x->name, y->name, sizeof(x->name));
}

/* Asks for each name once: a hundred thousand rules commonly name the same interface. */
static int ifindex_find(struct compiler *compiler, const char name[IF_NAMESIZE],
			struct named_ifindex **found)
{
	struct named_ifindex wanted = { 0 }, *known;
	struct named_ifindex **node;

	memcpy(wanted.name, name, sizeof(wanted.name));
	node = tfind(&wanted, &compiler->ifindexes, named_ifindex_compare);
	if (node) {
		*found = *node;
		return 0;
	}

	wanted.ifindex = compiler->lookup(wanted.name, compiler->context);
	if (!wanted.ifindex)
		return -ENODEV;
	known = malloc(sizeof(*known));
	if (!known)
		return -ENOMEM;
	*known = wanted;
	if (!tsearch(known, &compiler->ifindexes, named_ifindex_compare)) {
		free(known);
		return -ENOMEM;
	}
	*found = known;
	return 0;
}

/* The packet's address has to be in the prefix; one that is not given has length 0. */
static void prefix_add(const struct prefix *prefix, __be32 value[4], __be32 bits[4])
{
	static const struct address ones = { { ~0U, ~0U, ~0U, ~0U } };
	struct address first = address_first(&prefix->addr, prefix->len),
		       mask = address_first(&ones, prefix->len);

	memcpy(value, first.word, sizeof(first.word));
	memcpy(bits, mask.word, sizeof(mask.word));
}

/* A range fills another of its size port by port; on the way out the ports matched are not ours. */
static bool ports_shift(const struct rule *rule)
{
	struct port_range matched = rule->to.ports, target = rule->target.ports;

	return (rule->kind == RULE_DNAT || rule->kind == RULE_REDIRECT) &&
	       target.max > target.min && range_given(matched) &&
	       target.max - target.min == matched.max - matched.min;
}

static __u16 action_flags(const struct rule *rule)
{
	static const __u16 filters[FILTERING_COUNT] = {
		[FILTERING_ADDRESS] = RULE_FILTER_ADDRESS,
		[FILTERING_INDEPENDENT] = RULE_FILTER_NONE,
	};
	__u16 flags = filters[rule->filtering];

	if (range_given(rule->target.ports))
		flags |= RULE_PORT_SET;
	if (ports_shift(rule))
		flags |= RULE_PORT_SHIFT;
	if (rule->random)
		flags |= RULE_PORT_RANDOM;
	if (rule->mapping == MAPPING_DEPENDENT)
		flags |= RULE_MAP_DEPENDENT;
	if (rule->hairpin)
		flags |= RULE_HAIRPIN;
	if (rule->to.prefix.len)
		flags |= RULE_TO_ADDRESS;
	if (range_given(rule->to.ports))
		flags |= RULE_TO_PORTS;
	return flags;
}

static void action_fill(struct rule_action *action, const struct rule *rule)
{
	action->kind = rule->kind;
	action->flags = action_flags(rule);
	action->mss = rule->mss;
	action->slot = rule->slot;
	action->limit_flows = rule->limit_flows;
	action->limit_rate = rule->limit_rate;
	action->port_min = rule->target.ports.min;
	action->port_max = rule->target.ports.max;
	if (action->flags & RULE_PORT_SHIFT)
		action->match_port_min = rule->to.ports.min;
	memcpy(action->addr_min, rule->target.addr_min.word, sizeof(action->addr_min));
	memcpy(action->addr_max, rule->target.addr_max.word, sizeof(action->addr_max));
}

/* Packets from elsewhere are asked about under this interface, too; one that is away may come back. */
static int hairpin_add(struct ruleset *ruleset, struct named_ifindex *interface)
{
	if (interface->hairpins)
		return 0;
	if (ruleset->hairpin_count == RULESET_HAIRPINS)
		return -ENOSPC;
	ruleset->hairpins[ruleset->hairpin_count++] = interface->ifindex;
	interface->hairpins = true;
	return 0;
}

/* Destinations that a rule of the stage in has: of ICMP alone, none. */
static void ports_note(struct compiler *compiler, const struct rule *rule)
{
	struct port_range ports = rule->to.ports;
	bool all = !range_given(ports);

	if (compiler->ports_all || rule->protocols == RULE_ICMP)
		return;
	compiler->ports_all = all;
	for (__u32 port = ports.min, last = all ? UINT16_MAX : ports.max; port <= last; port++)
		compiler->tables->ruleset->ports[RULESET_PORT_WORD(port)] |= RULESET_PORT_BIT(port);
}

/* What a pattern of the rule asks of every packet in that stage: an interface, if it names one. */
static int pattern_begin(struct compiler *compiler, const struct rule *rule, enum stage stage,
			 struct pattern *pattern)
{
	struct named_ifindex *interface = NULL;
	__u64 interfaces = ~0ULL;
	int err;

	memset(pattern, 0, sizeof(*pattern));
	pattern->value.stage = stage;
	pattern->bits.stage = 0xff;
	if (rule->ifname[0]) {
		err = ifindex_find(compiler, rule->ifname, &interface);
		if (err)
			return err;
		pattern->value.ifindex = interface->ifindex;
		pattern->bits.ifindex = UINT32_MAX;
		interfaces = RULESET_INTERFACE(pattern->value.ifindex);
	}
	compiler->tables->ruleset->interfaces[stage] |= interfaces;
	if (stage == STAGE_IN)
		ports_note(compiler, rule);
	if (rule->hairpin && interface)
		return hairpin_add(compiler->tables->ruleset, interface);
	return 0;
}

/* In the lists of one family. */
static int family_add(struct compiler *compiler, struct subject *subject, const struct rule *rule)
{
	struct pattern pattern;
	int err;

	subject->stage = rule->stage;
	err = pattern_begin(compiler, rule, rule->stage, &pattern);
	if (err)
		return err;
	prefix_add(&rule->from.prefix, pattern.value.saddr, pattern.bits.saddr);
	prefix_add(&rule->to.prefix, pattern.value.daddr, pattern.bits.daddr);
	return protocols_add(compiler, subject, rule, &pattern);
}

/* One direction: what has an address of one prefix gets that of the other. */
static int static_half_add(struct compiler *compiler, struct subject *subject,
			   const struct rule *rule, const struct prefix *match,
			   const struct prefix *target)
{
	struct address last = address_last(&target->addr, target->family, target->len);
	struct rule_action *action = &subject->entry.action;
	struct pattern pattern;
	int err;

	memcpy(action->addr_min, target->addr.word, sizeof(action->addr_min));
	memcpy(action->addr_max, last.word, sizeof(action->addr_max));
	err = pattern_begin(compiler, rule, subject->stage, &pattern);
	if (err)
		return err;
	if (subject->stage == STAGE_IN)
		prefix_add(match, pattern.value.daddr, pattern.bits.daddr);
	else
		prefix_add(match, pattern.value.saddr, pattern.bits.saddr);
	return pattern_add(compiler, subject, &pattern);
}

/* Destinations on the way in, sources on the way out. */
static int static_add(struct compiler *compiler, struct subject *subject, const struct rule *rule)
{
	const struct prefix *outside = &rule->to.prefix;
	struct prefix inside = *outside;
	int err;

	inside.addr = rule->target.addr_min;
	subject->stage = STAGE_IN;
	err = static_half_add(compiler, subject, rule, outside, &inside);
	if (err)
		return err;
	subject->stage = STAGE_OUT;
	return static_half_add(compiler, subject, rule, &inside, outside);
}

static bool is_for_family(const struct rule *rule, enum family family)
{
	return !rule->family || rule->family == family_numbers[family];
}

static int rule_compile(struct compiler *compiler, const struct rule *rule, uint32_t rank)
{
	struct subject subject = { .entry.rank = rank };
	int err = 0;

	action_fill(&subject.entry.action, rule);
	for (enum family family = 0; family < FAMILY_COUNT && !err; family++) {
		if (!is_for_family(rule, family))
			continue;
		subject.family = family;
		err = rule->kind == RULE_STATIC ? static_add(compiler, &subject, rule)
						: family_add(compiler, &subject, rule);
	}
	return err;
}

/* Addresses are in network byte order, IPv4's in the first word. */
static int pool_compare(const void *a, const void *b)
{
	const struct pool_range *x = a, *y = b;

	return memcmp(x->min, y->min, sizeof(x->min));
}

/* Is there no address between the two? `b` begins no earlier than `a`. */
static bool pools_adjoin(const struct pool_range *a, const struct pool_range *b, enum family family)
{
	int word = family == FAMILY_IP4 ? 0 : 3;
	struct pool_range next = *a;

	do {
		next.max[word] = htonl(ntohl(next.max[word]) + 1);
	} while (!next.max[word] && word--);
	return memcmp(next.max, b->min, sizeof(b->min)) >= 0;
}

/* Sorted ranges to the fewest that hold the same. Returns how many. */
static size_t pools_merge(struct pool_range *pools, size_t count, enum family family)
{
	struct pool_range *last = pools;

	for (size_t i = 1; i < count; i++) {
		if (!pools_adjoin(last, &pools[i], family))
			*++last = pools[i];
		else if (memcmp(last->max, pools[i].max, sizeof(last->max)) < 0)
			memcpy(last->max, pools[i].max, sizeof(last->max));
	}
	return count ? last - pools + 1 : 0;
}

/* The addresses that rules of the family lend out. What there is no room for is counted. */
static int pools_make(const struct config *config, enum family family, struct tables *tables)
{
	struct pool_range *pools = calloc(config->rule_count + 1, sizeof(*pools));
	struct ruleset *ruleset = tables->ruleset;
	size_t count = 0, kept;

	if (!pools)
		return -ENOMEM;
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];

		if (rule->kind != RULE_SNAT || !is_for_family(rule, family))
			continue;
		memcpy(pools[count].min, rule->target.addr_min.word, sizeof(pools->min));
		memcpy(pools[count++].max, rule->target.addr_max.word, sizeof(pools->max));
	}
	qsort(pools, count, sizeof(*pools), pool_compare);
	count = pools_merge(pools, count, family);
	kept = count < RULESET_POOLS ? count : RULESET_POOLS;
	memcpy(ruleset->pools[family], pools, kept * sizeof(*pools));
	ruleset->pool_count[family] = kept;
	tables->pools_left += count - kept;
	free(pools);
	return 0;
}

int compile(const struct config *config, ifindex_of lookup, void *context, struct tables *tables,
	    size_t *at)
{
	struct compiler compiler = {
		.tables = tables,
		.lookup = lookup,
		.context = context,
	};
	size_t i = 0;
	int err;

	if (config->rule_count > XFWD_RULES_MAX) {
		memset(tables, 0, sizeof(*tables));
		*at = XFWD_RULES_MAX;
		return -EOVERFLOW;
	}

	err = tables_init(tables, config->rule_count);
	if (err)
		goto out;
	for (i = 0; i < config->rule_count; i++) {
		err = rule_compile(&compiler, &config->rules[i], i);
		if (err)
			break;
	}
	for (enum family family = 0; family < FAMILY_COUNT && !err; family++)
		err = pools_make(config, family, tables);

out:
	tdestroy(compiler.ifindexes, free);
	if (err) {
		*at = i;
		tables_free(tables);
	}
	return err;
}
