// SPDX-License-Identifier: GPL-2.0-or-later
/* Rules of ours in the words of nf_tables, for both address families. */
#include "nft.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"

const uint16_t nft_segments[NFT_SEGMENTS] = { RULE_MSS_AUTO, 536, 1000, 1300 };

struct text {
	char *at;
	size_t left;
};

static void say(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct text *text, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text->at, text->left, format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= text->left)
		abort();
	text->at += length;
	text->left -= length;
}

static void say_address(struct text *text, const struct address *addr, uint8_t family)
{
	char word[INET6_ADDRSTRLEN];

	address_print(addr, family, word);
	say(text, "%s", word);
}

static void say_endpoint(struct text *text, const struct endpoint *e, const char *addr,
			 const char *proto, const char *port)
{
	if (e->prefix.family) {
		say(text, "%s %s ", e->prefix.family == AF_INET ? "ip" : "ip6", addr);
		say_address(text, &e->prefix.addr, e->prefix.family);
		say(text, "/%u ", e->prefix.len);
	}
	if (e->ports.min)
		say(text, "%s %s %u-%u ", proto, port, e->ports.min, e->ports.max);
}

static void say_target(struct text *text, const struct target *target,
		       const struct port_range *ports)
{
	bool brackets = target->family == AF_INET6 && ports->min;

	if (target->family || ports->min)
		say(text, "to ");
	if (target->family) {
		say(text, brackets ? "[" : "");
		say_address(text, &target->addr_min, target->family);
		say(text, brackets ? "]" : "");
		if (memcmp(&target->addr_min, &target->addr_max, sizeof(target->addr_min))) {
			say(text, brackets ? "-[" : "-");
			say_address(text, &target->addr_max, target->family);
			say(text, brackets ? "]" : "");
		}
	}
	if (ports->min)
		say(text, ports->min == ports->max ? ":%u" : ":%u-%u", ports->min, ports->max);
}

/* One rule of ours for one protocol; `port` is a destination port of its own, or 0. */
static void say_rule(struct text *text, const struct rule *rule, const char *proto, uint16_t port)
{
	struct port_range target = rule->target.ports;
	struct endpoint to = rule->to;

	if (port) {
		target.min = target.max = rule->target.ports.min + port - rule->to.ports.min;
		to.ports.min = to.ports.max = port;
	}
	say(text, "%s ", rule->stage == STAGE_IN ? "iifname" : "oifname");
	if (rule->ifname[0])
		say(text, "\"%s\" ", rule->ifname);
	else
		say(text, "{ \"eth0\", \"eth1\" } ");
	if (proto)
		say(text, "meta l4proto %s ", proto);
	say_endpoint(text, &rule->from, "saddr", proto, "sport");
	say_endpoint(text, &to, "daddr", proto, "dport");
	for (int i = 0; i < NFT_SEGMENTS; i++)
		if (rule->mss == nft_segments[i])
			say(text, "ct mark set ct mark | %d ", 1 << i);
	say(text, "%s ", rule_kind_names[rule->kind]);
	say_target(text, &rule->target, &target);
	say(text, "%s\n", rule->random ? " random" : "");
}

/* nft cannot shift a range: a rule for each port. */
static bool rule_shifts(const struct rule *rule)
{
	const struct port_range *from = &rule->to.ports, *to = &rule->target.ports;

	return rule->stage == STAGE_IN && from->min && from->max > from->min &&
	       from->max - from->min == to->max - to->min && from->min != to->min;
}

static bool rule_is_of(const struct rule *rule, uint8_t family)
{
	uint8_t of = rule->family ? rule->family : rule_address_family(rule);

	if (!of && rule->kind == RULE_MASQUERADE)
		of = AF_INET;
	return !of || of == family;
}

static void say_rules(struct text *text, const struct config *config, enum stage stage,
		      uint8_t family)
{
	const char *const protos[] = { "tcp", "udp", family == AF_INET ? "icmp" : "ipv6-icmp",
				       "sctp" };

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];

		if (rule->stage != stage || !rule_is_of(rule, family))
			continue;
		if (!rule->protocols)
			say_rule(text, rule, NULL, 0);
		for (int bit = 0; bit < 4; bit++) {
			if (!(rule->protocols & 1 << bit))
				continue;
			if (!rule_shifts(rule)) {
				say_rule(text, rule, protos[bit], 0);
				continue;
			}
			for (uint32_t p = rule->to.ports.min; p <= rule->to.ports.max; p++)
				say_rule(text, rule, protos[bit], p);
		}
	}
}

/*
 * Of connections that are marked by rules, behind all translation. What the route's MTU leaves cannot
 * be asked for at input: all links here have 1500 bytes.
 */
static void say_segments(struct text *text, const char *hook)
{
	bool is_input = !strcmp(hook, "input");

	say(text, "chain %s { type filter hook %s priority 200;\n", hook, hook);
	for (int i = 0; i < NFT_SEGMENTS; i++) {
		for (int six = 0; six < 2; six++) {
			say(text, "meta nfproto %s tcp flags & syn == syn ct mark & %d == %d ",
			    six ? "ipv6" : "ipv4", 1 << i, 1 << i);
			if (nft_segments[i] != RULE_MSS_AUTO)
				say(text, "tcp option maxseg size set %u\n", nft_segments[i]);
			else if (!is_input)
				say(text, "tcp option maxseg size set rt mtu\n");
			else
				say(text, "tcp option maxseg size set %d\n", six ? 1440 : 1460);
		}
	}
	say(text, "}\n");
}

void nft_ruleset(const struct config *config, char *buffer, size_t size)
{
	struct text text = { buffer, size };

	/* Connections are tracked for those alone who ask for it. */
	say(&text, "flush ruleset\ntable inet tracking { chain in { type filter hook prerouting "
		   "priority -200;\nct state invalid accept\n}\n}\n");
	for (int six = 0; six < 2; six++) {
		uint8_t family = six ? AF_INET6 : AF_INET;

		say(&text, "table %s nat {\nchain in { type nat hook prerouting priority -100;\n",
		    six ? "ip6" : "ip");
		say_rules(&text, config, STAGE_IN, family);
		say(&text, "}\nchain out { type nat hook postrouting priority 100;\n");
		say_rules(&text, config, STAGE_OUT, family);
		say(&text, "}\n}\n");
	}
	say(&text, "table inet segments {\n");
	say_segments(&text, "postrouting");
	say_segments(&text, "input");
	say(&text, "}\n");
}
