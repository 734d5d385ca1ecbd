// SPDX-License-Identifier: GPL-2.0-or-later
/* Owns what a rule may not say although the grammar allows it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "rule_set.h"

static bool has_ports(struct port_range ports)
{
	return ports.min != 0;
}

static bool has_target(const struct rule *rule)
{
	return rule->target.family || has_ports(rule->target.ports);
}

static size_t fail(struct diag *diag, const struct rule_origin *origin,
		   const struct location *where, const char *message)
{
	diag_error(diag, where->line ? where : &origin->rule, origin->source, "%s", message);
	return 1;
}

/* Destinations change before routing, sources after it. */
static size_t check_stage(const struct rule *rule, const struct rule_origin *origin,
			  struct diag *diag)
{
	static const char *const messages[RULE_KIND_COUNT] = {
		[RULE_DNAT] = "dnat works on the way in: say \"in\"",
		[RULE_REDIRECT] = "redirect works on the way in: say \"in\"",
		[RULE_SNAT] = "snat works on the way out: say \"out\"",
		[RULE_MASQUERADE] = "masquerade works on the way out: say \"out\"",
	};
	bool is_source = rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE;

	if (!messages[rule->kind] || rule->stage == (is_source ? STAGE_OUT : STAGE_IN))
		return 0;
	return fail(diag, origin, &origin->ifname, messages[rule->kind]);
}

/* What is said of a target of a wrong form; NULL where none is. */
static const char *target_message(const struct rule *rule)
{
	switch (rule->kind) {
	case RULE_ACCEPT:
		return has_target(rule) ? "accept takes no target" : NULL;
	case RULE_DROP:
		return has_target(rule) ? "drop takes no target" : NULL;
	case RULE_DNAT:
		if (!has_target(rule))
			return "dnat needs a target: -> ADDRESS[:PORT]";
		return rule->target.family ? NULL
					   : "dnat needs an address; for a port of this host use "
					     "redirect";
	case RULE_REDIRECT:
		return rule->target.family ? "redirect leads to this host and takes a port only; "
					     "for another address use dnat"
					   : NULL;
	case RULE_SNAT:
		if (!has_target(rule))
			return "snat needs a target: -> ADDRESS[:PORT-PORT]";
		return rule->target.family ? NULL
					   : "snat needs an address; for the interface's own use "
					     "masquerade";
	case RULE_MASQUERADE:
		return rule->target.family ? "masquerade takes the interface's address; for "
					     "another use snat"
					   : NULL;
	case RULE_STATIC:
		return NULL;
	}
	return NULL;
}

/* What is said of addresses that packets cannot be sent to; NULL where they can. */
static const char *receiver_message4(const struct address *min, const struct address *max)
{
	if (!min->word[0])
		return "0.0.0.0 cannot be a target";
	/* Multicast and reserved (RFC 1112), broadcast (RFC 919): all from 224.0.0.0 on. */
	if (ntohl(max->word[0]) >> 29 == 7)
		return "a multicast, reserved or broadcast address cannot be a target";
	return NULL;
}

static const char *receiver_message6(const struct address *min, const struct address *max)
{
	const struct address loopback = { { 0, 0, 0, htonl(1) } };
	const struct address local = { { htonl(0xfe800000) } };
	const struct address local_end = { { htonl(0xfebfffff), ~0U, ~0U, ~0U } };

	if (memcmp(min, &loopback, sizeof(*min)) < 0)
		return ":: cannot be a target";
	if (!memcmp(min, &loopback, sizeof(*min)))
		return "nothing from a wire is taken for ::1; for this host use redirect";
	if (memcmp(min, &local_end, sizeof(*min)) <= 0 && memcmp(max, &local, sizeof(*max)) >= 0)
		return "a link-local address cannot be a target";
	if (ntohl(max->word[0]) >> 24 == 0xff)
		return "a multicast address cannot be a target";
	return NULL;
}

static const char *receiver_message(uint8_t family, const struct address *min,
				    const struct address *max)
{
	if (!family)
		return NULL;
	return family == AF_INET6 ? receiver_message6(min, max) : receiver_message4(min, max);
}

/* Each side is the target of what comes from the other. */
static size_t check_static(const struct rule *rule, const struct rule_origin *origin,
			   struct diag *diag)
{
	const struct prefix *outside = &rule->to.prefix;
	struct address last = address_last(&outside->addr, outside->family, outside->len);
	const char *message = receiver_message(outside->family, &outside->addr, &last);

	if (rule->kind != RULE_STATIC || !message)
		return 0;
	return fail(diag, origin, &origin->to, message);
}

static size_t check_target(const struct rule *rule, const struct rule_origin *origin,
			   struct diag *diag)
{
	const struct target *target = &rule->target;
	const char *message = target_message(rule);

	if (!message)
		message = receiver_message(target->family, &target->addr_min, &target->addr_max);
	if (message)
		return fail(diag, origin, &origin->target, message);
	return check_static(rule, origin, diag);
}

static size_t check_ports(const struct rule *rule, const struct rule_origin *origin,
			  struct diag *diag)
{
	bool is_source = rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE;
	const struct location *where;

	if (rule->protocols && !(rule->protocols & RULE_ICMP))
		return 0;
	if (has_ports(rule->from.ports))
		where = &origin->from;
	else if (has_ports(rule->to.ports))
		where = &origin->to;
	else if (has_ports(rule->target.ports) && !is_source) /* there: where it has any */
		where = &origin->target;
	else
		return 0;
	return fail(diag, origin, where,
		    rule->protocols ? "icmp has no ports" : "a port needs tcp, udp or sctp");
}

size_t check_rule(const struct rule *rule, const struct rule_origin *origin, struct diag *diag)
{
	size_t found = check_stage(rule, origin, diag);

	found += check_target(rule, origin, diag);
	/* Of a line that is wrong already, a second mistake is mostly the same one. */
	return found ? found : check_ports(rule, origin, diag);
}

static size_t report_same(const struct rule_origin *origin, const struct rule_origin *first,
			  struct diag *diag)
{
	if (first->rule.member)
		diag_error(diag, &origin->rule, origin->source, "same rule as %s",
			   first->rule.member);
	else if (!strcmp(origin->rule.file, first->rule.file))
		diag_error(diag, &origin->rule, origin->source, "same rule as line %d",
			   first->rule.line);
	else
		diag_error(diag, &origin->rule, origin->source, "same rule as %s:%d",
			   first->rule.file, first->rule.line);
	return 1;
}

/* Rules that say again what an earlier one says. */
static size_t check_same(const struct config *config, const struct origins *origins,
			 struct diag *diag)
{
	struct rule_set set;
	size_t found = 0;

	if (rule_set_init(&set, config->rules, config->rule_count)) {
		struct location nowhere = { .file = "xfwd" };

		diag_error(diag, &nowhere, NULL, "%s", strerror(ENOMEM));
		return 1;
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		size_t first = rule_set_add(&set, i);

		if (first != i)
			found += report_same(&origins->rules[i], &origins->rules[first], diag);
	}
	rule_set_free(&set);
	return found;
}

/* The programs ask about each of these interfaces for packets from elsewhere. */
static size_t check_hairpins(const struct config *config, const struct origins *origins,
			     struct diag *diag)
{
	const char *names[RULESET_HAIRPINS];
	size_t count = 0;

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule_origin *origin = &origins->rules[i];
		const struct rule *rule = &config->rules[i];
		size_t at = 0;

		if (!rule->hairpin || !rule->ifname[0])
			continue;
		while (at < count && strcmp(names[at], rule->ifname))
			at++;
		if (at == RULESET_HAIRPINS) {
			diag_error(diag, &origin->ifname, origin->source,
				   "hairpin on more than %d interfaces", RULESET_HAIRPINS);
			return 1;
		}
		if (at == count)
			names[count++] = rule->ifname;
	}
	return 0;
}

size_t check_config(const struct config *config, const struct origins *origins, struct diag *diag)
{
	const struct rule_origin *origin;
	size_t found = 0;

	if (config->rule_count > XFWD_RULES_MAX) {
		origin = &origins->rules[XFWD_RULES_MAX];
		diag_error(diag, &origin->rule, origin->source, "more than %d rules",
			   XFWD_RULES_MAX);
		found++;
	}
	if (config->interface_count > XFWD_INTERFACES_MAX) {
		origin = &origins->interfaces[XFWD_INTERFACES_MAX];
		diag_error(diag, &origin->rule, origin->source, "more than %d interfaces",
			   XFWD_INTERFACES_MAX);
		found++;
	}
	for (size_t i = 0; i < config->rule_count; i++)
		found += check_rule(&config->rules[i], &origins->rules[i], diag);
	found += check_hairpins(config, origins, diag);
	return found + check_same(config, origins, diag);
}

/* A place where an interface is named. */
struct mention {
	const char *name;
	const struct rule_origin *origin;
};

/* By name; of one name, the first to be reported. */
static int mention_compare(const void *left, const void *right)
{
	const struct mention *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (order)
		return order;
	return a->origin < b->origin ? -1 : a->origin > b->origin;
}

/* Sorted; a place that says `any`, or nothing, is none. */
static size_t mentions_collect(const struct config *config, const struct origins *origins,
			       struct mention *mentions)
{
	size_t count = 0;

	for (size_t i = 0; i < config->interface_count; i++)
		mentions[count++] =
			(struct mention){ config->interfaces[i].name, &origins->interfaces[i] };
	for (size_t i = 0; i < config->rule_count; i++) {
		if (config->rules[i].ifname[0])
			mentions[count++] =
				(struct mention){ config->rules[i].ifname, &origins->rules[i] };
	}
	qsort(mentions, count, sizeof(*mentions), mention_compare);
	return count;
}

static size_t check_exists(const struct mention *mention, const char *const *names, size_t count,
			   struct diag *diag)
{
	const struct rule_origin *origin = mention->origin;
	const char *nearest;

	for (size_t i = 0; i < count; i++) {
		if (!strcmp(names[i], mention->name))
			return 0;
	}
	nearest = diag_nearest(mention->name, names, count);
	if (nearest)
		diag_error(diag, &origin->ifname, origin->source,
			   "no interface \"%s\"; did you mean \"%s\"?", mention->name, nearest);
	else
		diag_error(diag, &origin->ifname, origin->source, "no interface \"%s\"",
			   mention->name);
	return 1;
}

size_t check_interfaces(const struct config *config, const struct origins *origins,
			const char *const *names, size_t count, struct diag *diag)
{
	size_t mention_count, found = 0;
	struct mention *mentions;

	mentions = calloc(config->rule_count + config->interface_count + 1, sizeof(*mentions));
	if (!mentions) {
		struct location nowhere = { .file = "xfwd" };

		diag_error(diag, &nowhere, NULL, "%s", strerror(ENOMEM));
		return 1;
	}
	mention_count = mentions_collect(config, origins, mentions);
	for (size_t i = 0; i < mention_count; i++) {
		if (!i || strcmp(mentions[i].name, mentions[i - 1].name))
			found += check_exists(&mentions[i], names, count, diag);
	}
	free(mentions);
	return found;
}
