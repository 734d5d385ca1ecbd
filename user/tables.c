// SPDX-License-Identifier: GPL-2.0-or-later
/* The compiled tables in plain C: filling, searching and printing them. */
#include "tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_ROOM_MIN    16

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

uint32_t rule_key_hash(const struct rule_key *key)
{
	uint32_t words[sizeof(*key) / sizeof(uint32_t)];
	uint64_t hash = 0;
	size_t i;

	memcpy(words, key, sizeof(words));
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return hash;
}

bool rule_key_equal(const struct rule_key *a, const struct rule_key *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* The bucket that holds the key, or the empty one where it belongs. */
static uint32_t *entry_bucket(const struct tables *tables, const struct rule_key *key)
{
	size_t last = 2 * tables->entry_room - 1, i = rule_key_hash(key) & last;

	while (tables->buckets[i] && !rule_key_equal(&tables->keys[tables->buckets[i] - 1], key))
		i = (i + 1) & last;
	return &tables->buckets[i];
}

/* Room is a power of two and there are two buckets to each entry, so probes stay short. */
static int entries_resize(struct tables *tables, size_t room)
{
	uint32_t *buckets;
	void *grown;
	size_t i;

	if (room > UINT32_MAX / 2)
		return -EOVERFLOW;

	grown = reallocarray(tables->keys, room, sizeof(*tables->keys));
	if (!grown)
		return -ENOMEM;
	tables->keys = grown;

	grown = reallocarray(tables->entries, room, sizeof(*tables->entries));
	if (!grown)
		return -ENOMEM;
	tables->entries = grown;

	buckets = calloc(room, 2 * sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	free(tables->buckets);
	tables->buckets = buckets;
	tables->entry_room = room;

	for (i = 0; i < tables->entry_count; i++)
		*entry_bucket(tables, &tables->keys[i]) = i + 1;
	return 0;
}

int tables_add(struct tables *tables, const struct rule_key *key, const struct rule_entry *entry)
{
	uint32_t *bucket = entry_bucket(tables, key);
	int err;

	if (*bucket)
		return 0;

	if (tables->entry_count == tables->entry_room) {
		err = entries_resize(tables, 2 * tables->entry_room);
		if (err)
			return err;
		bucket = entry_bucket(tables, key);
	}
	tables->keys[tables->entry_count] = *key;
	tables->entries[tables->entry_count] = *entry;
	*bucket = ++tables->entry_count;
	return 0;
}

int tables_init(struct tables *tables, size_t rule_count)
{
	size_t room = ENTRY_ROOM_MIN;

	memset(tables, 0, sizeof(*tables));
	tables->ruleset = calloc(1, sizeof(*tables->ruleset));
	if (!tables->ruleset)
		return -ENOMEM;

	/* Most rules are one entry. */
	while (room < rule_count)
		room *= 2;
	return entries_resize(tables, room);
}

void tables_free(struct tables *tables)
{
	free(tables->ruleset);
	free(tables->keys);
	free(tables->entries);
	free(tables->buckets);
	memset(tables, 0, sizeof(*tables));
}

static void key_and(const struct rule_key *packet, const struct rule_key *bits,
		    struct rule_key *key)
{
	int i;

	for (i = 0; i < 4; i++) {
		key->saddr[i] = packet->saddr[i] & bits->saddr[i];
		key->daddr[i] = packet->daddr[i] & bits->daddr[i];
	}
	key->ifindex = packet->ifindex & bits->ifindex;
	key->sport = packet->sport & bits->sport;
	key->dport = packet->dport & bits->dport;
	key->proto = packet->proto & bits->proto;
	key->stage = packet->stage & bits->stage;
}

/* May any rule hold? */
static bool ruleset_holds(const struct ruleset *set, const struct rule_key *packet)
{
	uint16_t port = ntohs(packet->dport);
	bool ports = packet->proto == IPPROTO_TCP || packet->proto == IPPROTO_UDP ||
		     packet->proto == IPPROTO_SCTP;

	if (!(set->interfaces[packet->stage] & RULESET_INTERFACE(packet->ifindex)))
		return false;
	return packet->stage != STAGE_IN || !ports ||
	       set->ports[RULESET_PORT_WORD(port)] & RULESET_PORT_BIT(port);
}

const struct rule_entry *tables_classify(const struct tables *tables, const struct rule_key *packet,
					 enum family family)
{
	const struct rule_mask *masks = tables->ruleset->masks[packet->stage][family];
	uint32_t count = tables->ruleset->mask_count[packet->stage][family], entry, i;
	const struct rule_entry *best = NULL;
	struct rule_key key;

	if (!ruleset_holds(tables->ruleset, packet))
		return NULL;
	for (i = 0; i < count; i++) {
		if (best && masks[i].best_rank > best->rank)
			break;
		key_and(packet, &masks[i].bits, &key);
		key.mask = RULE_KEY_MASK(family, i);
		entry = *entry_bucket(tables, &key);
		if (entry && (!best || tables->entries[entry - 1].rank < best->rank))
			best = &tables->entries[entry - 1];
	}
	return best;
}

static const char *const stage_names[STAGE_COUNT] = { "in", "out" };
static const char *const family_names[FAMILY_COUNT] = { "ip4", "ip6" };
static const int family_numbers[FAMILY_COUNT] = { AF_INET, AF_INET6 };

static int bits_set(const void *data, size_t size)
{
	const uint8_t *byte = data;
	int count = 0;
	size_t i;

	for (i = 0; i < size; i++)
		count += __builtin_popcount(byte[i]);
	return count;
}

static void address_field(const char *name, enum family family, const __be32 *value,
			  const __be32 bits[4], FILE *out)
{
	int len = bits_set(bits, 4 * sizeof(bits[0]));
	char text[INET6_ADDRSTRLEN];

	if (!len)
		return;
	fprintf(out, " %s", name);
	if (value)
		fprintf(out, " %s", inet_ntop(family_numbers[family], value, text, sizeof(text)));
	fprintf(out, "/%d", len);
}

static void port_field(const char *name, const __be16 *value, __be16 bits, FILE *out)
{
	if (!bits)
		return;
	fprintf(out, " %s", name);
	if (value)
		fprintf(out, " %u", ntohs(*value));
	fprintf(out, "/%d", bits_set(&bits, sizeof(bits)));
}

static void number_field(const char *name, const __u32 *value, __u32 bits, FILE *out)
{
	if (!bits)
		return;
	fprintf(out, " %s", name);
	if (value)
		fprintf(out, " %u", *value);
}

/* The fields that a mask looks at; with a key under it, also what they must be. */
static void fields_print(const struct rule_key *bits, const struct rule_key *key,
			 enum family family, FILE *out)
{
	__u32 proto = key ? key->proto : 0;

	number_field("ifindex", key ? &key->ifindex : NULL, bits->ifindex, out);
	number_field("proto", key ? &proto : NULL, bits->proto, out);
	address_field("saddr", family, key ? key->saddr : NULL, bits->saddr, out);
	port_field("sport", key ? &key->sport : NULL, bits->sport, out);
	address_field("daddr", family, key ? key->daddr : NULL, bits->daddr, out);
	port_field("dport", key ? &key->dport : NULL, bits->dport, out);
	fputc('\n', out);
}

static void masks_print(const struct ruleset *ruleset, enum stage stage, enum family family,
			FILE *out)
{
	const struct rule_mask *mask = ruleset->masks[stage][family];
	uint32_t i;

	for (i = 0; i < ruleset->mask_count[stage][family]; i++, mask++) {
		fprintf(out, "mask %s %s %u: rank %u", stage_names[stage], family_names[family], i,
			mask->best_rank);
		fields_print(&mask->bits, NULL, family, out);
	}
}

static void entry_print(const struct tables *tables, size_t at, FILE *out)
{
	const struct rule_key *key = &tables->keys[at];
	uint32_t position = rule_key_position(key);
	enum family family = rule_key_family(key);

	fprintf(out, "entry %s %s %u: rank %u", stage_names[key->stage], family_names[family],
		position, tables->entries[at].rank);
	fields_print(&tables->ruleset->masks[key->stage][family][position].bits, key, family, out);
}

/* All zeroes: the rule gives no address. */
static void addresses_print(const struct rule_action *action, enum family family, FILE *out)
{
	char text[INET6_ADDRSTRLEN];

	if (!bits_set(action->addr_max, sizeof(action->addr_max)))
		return;
	fprintf(out, " addr %s",
		inet_ntop(family_numbers[family], action->addr_min, text, sizeof(text)));
	if (memcmp(action->addr_min, action->addr_max, sizeof(action->addr_min)))
		fprintf(out, "-%s",
			inet_ntop(family_numbers[family], action->addr_max, text, sizeof(text)));
}

static void ports_print(const struct rule_action *action, FILE *out)
{
	if (action->flags & RULE_PORT_SET)
		fprintf(out, " port %u", action->port_min);
	if (action->port_max != action->port_min)
		fprintf(out, "-%u", action->port_max);
	if (action->flags & RULE_PORT_SHIFT)
		fprintf(out, " shift %u", action->match_port_min);
}

static void flags_print(unsigned int flags, FILE *out)
{
	static const struct {
		unsigned int flag;
		const char *name;
	} names[] = {
		{ RULE_PORT_RANDOM, "random" },
		{ RULE_MAP_DEPENDENT, "map-dependent" },
		{ RULE_FILTER_ADDRESS, "filter-address" },
		{ RULE_FILTER_NONE, "filter-none" },
		{ RULE_HAIRPIN, "hairpin" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (flags & names[i].flag)
			fprintf(out, " %s", names[i].name);
	}
}

/* Entries of one rule follow each other, mostly with one action: it is printed once. */
static bool action_is_new(const struct tables *tables, size_t at)
{
	const struct rule_entry *entry = &tables->entries[at];

	return !at || memcmp(entry, entry - 1, sizeof(*entry));
}

static void action_print(const struct rule_entry *entry, enum family family, FILE *out)
{
	const struct rule_action *action = &entry->action;

	fprintf(out, "action %u: %s slot %u", entry->rank, rule_kind_names[action->kind],
		action->slot);
	addresses_print(action, family, out);
	ports_print(action, out);
	flags_print(action->flags, out);
	if (action->limit_flows)
		fprintf(out, " limit-flows %u", action->limit_flows);
	if (action->limit_rate)
		fprintf(out, " limit-rate %u", action->limit_rate);
	if (action->mss)
		fprintf(out, " mss %u", action->mss);
	fputc('\n', out);
}

void tables_print(const struct tables *tables, FILE *out)
{
	enum family family;
	enum stage stage;
	size_t i;

	for (stage = 0; stage < STAGE_COUNT; stage++) {
		for (family = 0; family < FAMILY_COUNT; family++)
			masks_print(tables->ruleset, stage, family, out);
	}
	for (i = 0; i < tables->entry_count; i++)
		entry_print(tables, i, out);
	for (i = 0; i < tables->entry_count; i++) {
		if (action_is_new(tables, i))
			action_print(&tables->entries[i], rule_key_family(&tables->keys[i]), out);
	}
}
