// SPDX-License-Identifier: GPL-2.0-or-later
/* Owns the rule model's memory, its defaults, and what makes two rules the same. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

const char *const rule_kind_names[RULE_KIND_COUNT] = {
	[RULE_ACCEPT] = "accept",     [RULE_DROP] = "drop", [RULE_DNAT] = "dnat",
	[RULE_REDIRECT] = "redirect", [RULE_SNAT] = "snat", [RULE_MASQUERADE] = "masquerade",
	[RULE_STATIC] = "static",
};

const char *const mapping_names[MAPPING_COUNT] = {
	[MAPPING_INDEPENDENT] = "endpoint-independent",
	[MAPPING_DEPENDENT] = "endpoint-dependent",
};

const char *const filtering_names[FILTERING_COUNT] = {
	[FILTERING_ADDRESS_AND_PORT] = "address-and-port-dependent",
	[FILTERING_ADDRESS] = "address-dependent",
	[FILTERING_INDEPENDENT] = "endpoint-independent",
};

const char *const attach_mode_names[MODE_COUNT] = {
	[MODE_AUTO] = "auto",
	[MODE_NATIVE] = "native",
	[MODE_GENERIC] = "generic",
	[MODE_TC] = "tc",
};

const char *const timeout_names[TIMEOUT_COUNT] = {
#define TIMEOUT_TEXT(name, text, seconds) [TIMEOUT_##name] = text,
	XFWD_TIMEOUTS(TIMEOUT_TEXT)
#undef TIMEOUT_TEXT
};

void config_init(struct config *config)
{
	static const struct options defaults = {
		.flows = XFWD_FLOWS_DEFAULT,
		.timeout = {
#define TIMEOUT_SECONDS(name, text, seconds) [TIMEOUT_##name] = seconds,
			XFWD_TIMEOUTS(TIMEOUT_SECONDS)
#undef TIMEOUT_SECONDS
		},
		.sysctl = 1,
		.source_check = 1,
	};

	memset(config, 0, sizeof(*config));
	config->options = defaults;
}

void config_free(struct config *config)
{
	free(config->interfaces);
	free(config->rules);
	memset(config, 0, sizeof(*config));
}

/* Makes room for one more element. */
static int array_grow(void **array, size_t *room, size_t count, size_t size)
{
	size_t wanted = *room ? 2 * *room : 16;
	void *grown;

	if (count < *room)
		return 0;
	grown = reallocarray(*array, wanted, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = wanted;
	return 0;
}

int config_insert(struct config *config, size_t at, const struct rule *rule)
{
	void *rules = config->rules;
	int err;

	err = array_grow(&rules, &config->rule_room, config->rule_count, sizeof(*rule));
	if (err)
		return err;
	config->rules = rules;
	memmove(&config->rules[at + 1], &config->rules[at],
		(config->rule_count - at) * sizeof(*rule));
	config->rules[at] = *rule;
	config->rule_count++;
	return 0;
}

void config_remove(struct config *config, size_t at)
{
	config->rule_count--;
	memmove(&config->rules[at], &config->rules[at + 1],
		(config->rule_count - at) * sizeof(*config->rules));
}

int config_interface(struct config *config, const char *name, enum attach_mode mode)
{
	void *interfaces = config->interfaces;
	struct interface *interface;
	int err;

	for (size_t i = 0; i < config->interface_count; i++) {
		if (strcmp(config->interfaces[i].name, name))
			continue;
		config->interfaces[i].mode = mode;
		return 0;
	}

	err = array_grow(&interfaces, &config->interface_room, config->interface_count,
			 sizeof(*interface));
	if (err)
		return err;
	config->interfaces = interfaces;
	interface = &config->interfaces[config->interface_count++];
	memset(interface, 0, sizeof(*interface));
	strncpy(interface->name, name, sizeof(interface->name) - 1);
	interface->mode = mode;
	return 0;
}

unsigned int family_bits(uint8_t family)
{
	return family == AF_INET6 ? 128 : 32;
}

/* The bits of word `at` that are in a prefix of that length. */
static __be32 prefix_bits(unsigned int len, unsigned int at)
{
	if (len >= 32 * (at + 1))
		return ~0U;
	return len > 32 * at ? htonl(~0U << (32 * (at + 1) - len)) : 0;
}

struct address address_first(const struct address *addr, unsigned int len)
{
	struct address first;

	for (unsigned int i = 0; i < 4; i++)
		first.word[i] = addr->word[i] & prefix_bits(len, i);
	return first;
}

struct address address_last(const struct address *addr, uint8_t family, unsigned int len)
{
	struct address last = {};

	for (unsigned int i = 0; i < family_bits(family) / 32; i++)
		last.word[i] = addr->word[i] | ~prefix_bits(len, i);
	return last;
}

static bool address_equal(const struct address *a, const struct address *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool ports_equal(struct port_range a, struct port_range b)
{
	return a.min == b.min && a.max == b.max;
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->prefix.family == b->prefix.family && a->prefix.len == b->prefix.len &&
	       address_equal(&a->prefix.addr, &b->prefix.addr) && ports_equal(a->ports, b->ports);
}

static bool target_equal(const struct target *a, const struct target *b)
{
	return a->family == b->family && address_equal(&a->addr_min, &b->addr_min) &&
	       address_equal(&a->addr_max, &b->addr_max) && ports_equal(a->ports, b->ports);
}

static bool options_equal(const struct rule *a, const struct rule *b)
{
	return a->limit_flows == b->limit_flows && a->limit_rate == b->limit_rate &&
	       a->mss == b->mss && a->random == b->random && a->mapping == b->mapping &&
	       a->filtering == b->filtering && a->hairpin == b->hairpin;
}

bool rule_equal(const struct rule *a, const struct rule *b)
{
	return a->kind == b->kind && a->stage == b->stage && a->protocols == b->protocols &&
	       a->family == b->family && !strcmp(a->ifname, b->ifname) &&
	       endpoint_equal(&a->from, &b->from) && endpoint_equal(&a->to, &b->to) &&
	       target_equal(&a->target, &b->target) && options_equal(a, b);
}

uint8_t rule_address_family(const struct rule *rule)
{
	if (rule->from.prefix.family)
		return rule->from.prefix.family;
	return rule->to.prefix.family ? rule->to.prefix.family : rule->target.family;
}

uint32_t rule_ports_out(const struct rule *rule)
{
	if ((rule->kind != RULE_SNAT && rule->kind != RULE_MASQUERADE) ||
	    (!rule->from.ports.min && !rule->to.ports.min))
		return 0;
	return (rule->family == AF_INET6 ? 0 : SETTING_PORTS_OUT4) |
	       (rule->family == AF_INET ? 0 : SETTING_PORTS_OUT6);
}
