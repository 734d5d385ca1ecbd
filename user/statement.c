// SPDX-License-Identifier: GPL-2.0-or-later
/* Owns statements: what their words mean together, and which may not be said together. */
#include <stdlib.h>
#include <string.h>

#include "parser.h"

void parser_error(struct parser *parser, const struct location *where, const char *format, ...)
{
	va_list arguments;

	if (!parser->result)
		parser->result = -EINVAL;
	/* What comes after a line's first error is mostly its consequence. */
	if (parser->bad_line == where->line)
		return;
	parser->bad_line = where->line;

	va_start(arguments, format);
	diag_verror(parser->diag, where, parser->text + parser->line_start, format, arguments);
	va_end(arguments);
}

/* Reports what is said for the second time. */
bool given_before(struct parser *parser, bool before, const char *message,
		  const struct location *where)
{
	if (before)
		parser_error(parser, where, "%s", message);
	return before;
}

void origin_begin(struct parser *parser, const struct location *where)
{
	memset(&parser->origin, 0, sizeof(parser->origin));
	parser->origin.rule = *where;
	parser->origin.source = parser->text + parser->line_start;
}

void rule_begin(struct parser *parser, enum rule_action_kind kind, const struct location *where)
{
	origin_begin(parser, where);
	memset(&parser->rule, 0, sizeof(parser->rule));
	parser->given = 0;
	parser->family_said = false;
	parser->rule.kind = kind;
	if (kind == RULE_SNAT || kind == RULE_MASQUERADE)
		parser->rule.stage = STAGE_OUT;
}

void rule_direction(struct parser *parser, enum stage stage, const struct location *where)
{
	if (given_before(parser, parser->origin.ifname.line && parser->rule.stage == stage,
			 stage == STAGE_IN ? "in is given twice" : "out is given twice", where))
		return;
	if (given_before(parser, parser->origin.ifname.line,
			 "a rule has either in or out, not both", where))
		return;
	parser->rule.stage = stage;
}

void rule_ifname(struct parser *parser, struct slice name, const struct location *where)
{
	parser->origin.ifname = *where;
	/* In quotes it is an interface of that name. */
	if (name.length == 3 && !memcmp(name.at, "any", 3))
		return;
	read_ifname(parser, unquote(name), where, parser->rule.ifname);
}

/* What is said of IPv4 and IPv6 has to agree: in addresses, protocols and words. */
void rule_family(struct parser *parser, uint8_t family, const struct location *where)
{
	if (parser->rule.family && parser->rule.family != family)
		parser_error(parser, where, "this is IPv%d, what comes before is IPv%d",
			     family == AF_INET6 ? 6 : 4, family == AF_INET6 ? 4 : 6);
	parser->rule.family = family;
}

void rule_family_word(struct parser *parser, uint8_t family, const struct location *where)
{
	if (given_before(parser, parser->family_said, "ipv4 or ipv6 is given twice", where))
		return;
	parser->family_said = true;
	rule_family(parser, family, where);
}

/* Both in network byte order, of one family. */
static bool range_is_too_wide(const struct address *min, const struct address *max)
{
	unsigned __int128 first = 0, last = 0;

	for (int i = 0; i < 4; i++) {
		first = first << 32 | ntohl(min->word[i]);
		last = last << 32 | ntohl(max->word[i]);
	}
	return (last - first) >> 64;
}

void rule_target(struct parser *parser, const struct prefix *min, const struct prefix *max,
		 const struct location *at_max)
{
	struct target *target = &parser->rule.target;

	target->family = min->family;
	target->addr_min = min->addr;
	target->addr_max = max->addr;
	if (min->len != max->len || min->len != family_bits(min->family))
		parser_error(parser, at_max, "a target is an address or a range, not a prefix");
	else if (memcmp(&min->addr, &max->addr, sizeof(min->addr)) > 0)
		parser_error(parser, at_max, "the address range ends before it begins");
	else if (min->family == AF_INET6 && range_is_too_wide(&min->addr, &max->addr))
		parser_error(parser, at_max, "the address range has more than 2^64 addresses");
}

void rule_static(struct parser *parser, const struct prefix *outside,
		 const struct location *at_outside, const struct prefix *inside,
		 const struct location *at_inside)
{
	struct rule *rule = &parser->rule;

	parser->origin.to = *at_outside;
	parser->origin.target = *at_inside;
	if (!outside->family || !inside->family)
		parser_error(parser, outside->family ? at_inside : at_outside,
			     "static needs an address or a prefix on both sides");
	else if (outside->len != inside->len)
		parser_error(parser, at_inside,
			     "both sides have to be of one length: /%d is not /%d", inside->len,
			     outside->len);
	else if (!memcmp(&outside->addr, &inside->addr, sizeof(inside->addr)))
		parser_error(parser, at_inside, "both sides are the same");
	rule->to.prefix = *outside;
	rule->target.family = inside->family;
	rule->target.addr_min = inside->addr;
	rule->target.addr_max = address_last(&inside->addr, inside->family, inside->len);
}

#define KIND(kind) (1U << RULE_##kind)
#define ANY_SOURCE (KIND(SNAT) | KIND(MASQUERADE))
#define ANY_FLOW   (KIND(DNAT) | KIND(REDIRECT) | ANY_SOURCE)

/* Which kinds of rules an option goes with, and what is said of others. */
static const struct {
	const char *twice;
	unsigned int kinds;
	const char *elsewhere;
} rule_options[] = {
	{ "random is given twice", ANY_SOURCE, "random goes with snat and masquerade only" },
	{ "mapping is given twice", ANY_SOURCE, "mapping goes with snat and masquerade only" },
	{ "filtering is given twice", ANY_SOURCE, "filtering goes with snat and masquerade only" },
	{ "hairpin is given twice", KIND(DNAT), "hairpin goes with dnat only" },
	{ "limit flows is given twice", ANY_FLOW,
	  "limit goes with dnat, redirect, snat and masquerade only" },
	{ "limit rate is given twice", ANY_FLOW,
	  "limit goes with dnat, redirect, snat and masquerade only" },
	{ "mss is given twice", ANY_FLOW,
	  "mss goes with dnat, redirect, snat and masquerade only" },
};

/* Notes that the option is given; false where it may not be. */
bool rule_option(struct parser *parser, unsigned int option, const struct location *where)
{
	int at = __builtin_ctz(option);

	if (given_before(parser, parser->given & option, rule_options[at].twice, where))
		return false;
	parser->given |= option;
	if (rule_options[at].kinds & 1U << parser->rule.kind)
		return true;
	parser_error(parser, where, "%s", rule_options[at].elsewhere);
	return false;
}

/*
 * Where each destination sees another port, one port may be several hosts', told apart by who they
 * talk to: what comes from elsewhere is nobody's.
 */
static void check_filtering(struct parser *parser, const struct location *where)
{
	if (parser->rule.mapping == MAPPING_DEPENDENT && parser->rule.filtering)
		parser_error(parser, where, "filtering %s needs mapping endpoint-independent",
			     filtering_names[parser->rule.filtering]);
}

void rule_mapping(struct parser *parser, enum mapping mapping, const struct location *where)
{
	if (!rule_option(parser, GIVEN_MAPPING, where))
		return;
	parser->rule.mapping = mapping;
	check_filtering(parser, where);
}

void rule_filtering(struct parser *parser, enum filtering filtering, const struct location *where)
{
	if (!rule_option(parser, GIVEN_FILTERING, where))
		return;
	parser->rule.filtering = filtering;
	check_filtering(parser, where);
}

void rule_mss(struct parser *parser, uint16_t mss, const struct location *where)
{
	if (!rule_option(parser, GIVEN_MSS, where))
		return;
	parser->rule.mss = mss;
	if (parser->rule.protocols && !(parser->rule.protocols & RULE_TCP))
		parser_error(parser, where, "mss needs tcp");
}

void rule_default(struct parser *parser)
{
	/* Translating IPv6 sources is rarely wanted, and never by accident. */
	if (parser->rule.kind == RULE_MASQUERADE && !parser->rule.family)
		parser->rule.family = AF_INET;
}

void interface_begin(struct parser *parser, struct slice name, const struct location *where,
		     const struct location *at_name)
{
	origin_begin(parser, where);
	parser->origin.ifname = *at_name;
	parser->mode = -1;
	read_ifname(parser, unquote(name), at_name, parser->ifname);
}

void set_timeout(struct parser *parser, struct slice name, const struct location *at_name,
		 struct slice value, const struct location *at_value)
{
	uint32_t seconds = read_duration(parser, value, at_value);
	int timeout = read_timeout(parser, name, at_name);

	if (timeout >= 0)
		parser->config->options.timeout[timeout] = seconds;
}

void rule_end(struct parser *parser)
{
	struct origins *origins = parser->origins;
	int err;

	if (parser->bad_line == parser->origin.rule.line)
		return;
	err = origin_append(&origins->rules, origins->rule_count, &parser->origin);
	if (!err)
		err = config_insert(parser->config, parser->config->rule_count, &parser->rule);
	if (!err)
		origins->rule_count++;
	else
		parser->result = err;
}

void interface_end(struct parser *parser)
{
	enum attach_mode mode = parser->mode < 0 ? MODE_AUTO : (enum attach_mode)parser->mode;
	struct origins *origins = parser->origins;
	struct config *config = parser->config;
	size_t at = 0;

	if (!parser->ifname[0])
		return;
	if (config_interface(config, parser->ifname, mode))
		goto out_of_memory;
	while (strcmp(config->interfaces[at].name, parser->ifname))
		at++;
	if (at < origins->interface_count) {
		origins->interfaces[at] = parser->origin;
		return;
	}
	if (origin_append(&origins->interfaces, origins->interface_count, &parser->origin))
		goto out_of_memory;
	origins->interface_count++;
	return;

out_of_memory:
	parser->result = -ENOMEM;
}
