// SPDX-License-Identifier: GPL-2.0-or-later
/* Random rules and packets. */
#include "generate.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "print.h"
#include "../unit/random.h"

/* The first ranges are one mask each: masks of both ends multiply, and there are only 256. */
#define ONE_MASK 6

static const struct prefix_choice {
	uint32_t addr;
	uint8_t length;
} prefixes[] = {
	{ ADDR(198, 51, 100, 1), 32 }, { ADDR(198, 51, 100, 1), 32 }, { ADDR(198, 51, 100, 2), 32 },
	{ ADDR(198, 51, 100, 0), 24 }, { ADDR(10, 0, 0, 0), 24 },     { ADDR(10, 0, 0, 2), 32 },
	{ ADDR(10, 0, 0, 2), 31 },     { ADDR(10, 0, 0, 0), 8 },      { ADDR(203, 0, 113, 5), 32 },
	{ ADDR(128, 0, 0, 0), 1 },
};

static const uint32_t dnat_targets[] = {
	ADDR(10, 0, 0, 2),  ADDR(10, 0, 0, 3),  ADDR(10, 0, 0, 2),     ADDR(198, 51, 100, 3),
	ADDR(10, 0, 1, 5),  ADDR(10, 0, 0, 99), ADDR(203, 0, 113, 5),  ADDR(198, 51, 100, 1),
	ADDR(192, 0, 2, 7), ADDR(10, 0, 1, 6),  ADDR(198, 51, 100, 2),
};

static const uint32_t snat_targets[] = {
	ADDR(198, 51, 100, 1),
	ADDR(198, 51, 100, 77),
	ADDR(10, 0, 0, 1),
	ADDR(203, 0, 113, 9),
};

static const struct port_range ranges[] = {
	{ 53, 53 },     { 80, 80 },     { 80, 80 },     { 1000, 1003 },  { 5000, 5003 },
	{ 5000, 5000 }, { 5001, 5016 }, { 1020, 1030 }, { 1024, 65535 }, { 8080, 8080 },
};

/* Where the test's own source ports are. */
static const struct port_range plain_sources[] = {
	{ 8192, 16383 },
	{ 16384, 32767 },
};

/* Wide: two flows that choose at random do not meet, and no test packet has such a port. */
static const struct port_range plain_ranges[] = {
	{ 20000, 29999 },
	{ 30000, 65535 },
};

static const uint32_t hosts[] = {
	ADDR(198, 51, 100, 1), ADDR(198, 51, 100, 1), ADDR(198, 51, 100, 2),  ADDR(198, 51, 100, 3),
	ADDR(10, 0, 0, 1),     ADDR(10, 0, 0, 2),     ADDR(10, 0, 0, 3),      ADDR(203, 0, 113, 5),
	ADDR(10, 0, 1, 5),     ADDR(192, 0, 2, 7),    ADDR(198, 51, 100, 77),
};

static const uint32_t odd_hosts[] = {
	ADDR(127, 0, 0, 1),
	ADDR(224, 0, 0, 5),
	ADDR(0, 0, 0, 0),
	ADDR(10, 0, 0, 99),
};

static const uint16_t ports[] = {
	0, 1, 53, 80, 80, 1000, 1001, 1003, 1023, 1024, 5000, 5000, 5001, 5004, 8080, 65535,
};

static const uint8_t protos[] = {
	IPPROTO_TCP, IPPROTO_TCP,  IPPROTO_TCP, IPPROTO_UDP,  IPPROTO_UDP,
	IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_GRE, IPPROTO_SCTP, IPPROTO_SCTP,
};

unsigned int generate_count(unsigned int count)
{
	const char *text = getenv("XFWD_RULESETS");

	if (text)
		return strtoul(text, NULL, 0);
	return (count + harness_slower() - 1) / harness_slower();
}

/* ---- rules ---- */

static void random_prefix(uint64_t *random, struct prefix *prefix)
{
	struct prefix_choice choice = PICK(random, prefixes);

	prefix->family = AF_INET;
	prefix->len = choice.length;
	prefix->addr.word[0] = htonl(choice.addr);
}

static void random_target(uint64_t *random, const struct taste *taste, struct rule *rule)
{
	bool source = rule->stage == STAGE_OUT;
	uint32_t addr = source ? PICK(random, snat_targets) : PICK(random, dnat_targets);

	if (!source && taste->plain)
		addr = dnat_targets[random_below(random, 4)];
	else if (!source && !random_below(random, 40))
		addr = ADDR(127, 0, 0, 1);
	if (rule->kind == RULE_DNAT || rule->kind == RULE_SNAT) {
		rule->target.family = AF_INET;
		rule->target.addr_min.word[0] = htonl(addr);
		rule->target.addr_max = rule->target.addr_min;
	}
	if (!rule->protocols || rule->protocols & RULE_ICMP || random_below(random, 2))
		return;
	rule->target.ports = PICK(random, ranges);
	if (taste->plain && source)
		rule->target.ports = PICK(random, plain_ranges);
}

static void random_rule(uint64_t *random, const struct taste *taste, struct rule *rule)
{
	static const uint8_t kinds[STAGE_COUNT][6] = {
		{ RULE_ACCEPT, RULE_DROP, RULE_DNAT, RULE_DNAT, RULE_DNAT, RULE_REDIRECT },
		{ RULE_ACCEPT, RULE_DROP, RULE_SNAT, RULE_SNAT, RULE_MASQUERADE, RULE_MASQUERADE },
	};
	static const uint8_t sets[] = { RULE_TCP,  RULE_TCP | RULE_UDP,
					RULE_UDP,  RULE_TCP | RULE_UDP,
					RULE_ICMP, RULE_TCP | RULE_ICMP,
					RULE_SCTP, RULE_TCP | RULE_SCTP };

	memset(rule, 0, sizeof(*rule));
	rule->stage = random_below(random, STAGE_COUNT);
	rule->kind = PICK(random, kinds[rule->stage]);
	if (random_below(random, 6))
		rule->protocols = PICK(random, sets);
	if (random_below(random, 4))
		strcpy(rule->ifname, PICK(random, iface_names));
	if (!random_below(random, 3))
		random_prefix(random, &rule->from.prefix);
	if (random_below(random, 2))
		random_prefix(random, &rule->to.prefix);
	if (rule->protocols && !(rule->protocols & RULE_ICMP)) {
		if (!random_below(random, 6))
			rule->from.ports = taste->plain ? PICK(random, plain_sources)
							: ranges[random_below(random, ONE_MASK)];
		if (random_below(random, 2))
			rule->to.ports = PICK(random, ranges);
	}
	if (rule->kind == RULE_ACCEPT || rule->kind == RULE_DROP)
		return;
	random_target(random, taste, rule);
	rule->random = !taste->plain && rule->stage == STAGE_OUT && !random_below(random, 8);
}

static bool is_new(const struct config *config, const struct rule *rule)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (rule_equal(&config->rules[i], rule))
			return false;
	return true;
}

void generate_rules(uint64_t *random, const struct taste *taste, char *text, size_t size)
{
	int count = 1 + random_below(random, taste->rules_max);
	struct config config;
	size_t used = 0;

	config_init(&config);
	if (!taste->plain && !random_below(random, 6))
		used += snprintf(text, size, "set tcp loose on\n");
	while (count--) {
		char line[RULE_TEXT_MAX];
		struct rule rule;

		random_rule(random, taste, &rule);
		if (!is_new(&config, &rule) || config_insert(&config, config.rule_count, &rule))
			continue;
		rule_print(&rule, line);
		used += snprintf(text + used, size - used, "%s\n", line);
	}
	config_free(&config);
}

/* ---- packets ---- */

static void spec_tuple(struct spec *spec, const struct tuple *tuple)
{
	spec->saddr = tuple->saddr;
	spec->daddr = tuple->daddr;
	spec->sport = tuple->sport;
	spec->dport = tuple->dport;
	spec->proto = tuple->proto;
}

/* One that a rule may match. */
static void aim_at_rule(uint64_t *random, const struct config *config, struct spec *spec)
{
	const struct rule *rule = &config->rules[random_below(random, config->rule_count)];

	if (rule->from.prefix.len == 32)
		spec->saddr = ntohl(rule->from.prefix.addr.word[0]);
	if (rule->to.prefix.len == 32)
		spec->daddr = ntohl(rule->to.prefix.addr.word[0]);
	if (rule->from.ports.min)
		spec->sport = rule->from.ports.min + random_below(random, 5);
	if (rule->to.ports.min)
		spec->dport = rule->to.ports.min + random_below(random, 5);
	if (rule->protocols & RULE_TCP)
		spec->proto = IPPROTO_TCP;
	else if (rule->protocols & RULE_UDP)
		spec->proto = IPPROTO_UDP;
	else if (rule->protocols & RULE_SCTP)
		spec->proto = IPPROTO_SCTP;
	else if (rule->protocols)
		spec->proto = IPPROTO_ICMP;
}

static void random_ends(uint64_t *random, const struct model *model, struct spec *spec)
{
	spec->proto = PICK(random, protos);
	spec->saddr = random_below(random, 30) ? PICK(random, hosts) : PICK(random, odd_hosts);
	spec->daddr = random_below(random, 30) ? PICK(random, hosts) : PICK(random, odd_hosts);
	spec->sport = PICK(random, ports);
	spec->dport = PICK(random, ports);
	if (!random_below(random, 50))
		spec->proto = random_below(random, 2) ? IPPROTO_UDPLITE : IPPROTO_DCCP;
	if (model->flow_count && random_below(random, 2)) {
		const struct model_flow *flow =
			&model->flows[random_below(random, model->flow_count)];

		spec_tuple(spec, &flow->tuple[random_below(random, 2)]);
	} else if (model->config->rule_count && random_below(random, 3)) {
		aim_at_rule(random, model->config, spec);
	}
	/* An address that begins a connection to itself, ports and all, is nobody's. */
	if (spec->saddr == spec->daddr)
		spec->saddr ^= 1;
}

static void random_kind(uint64_t *random, struct spec *spec)
{
	static const uint8_t flags[] = {
		TCP_SYN,           TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_ACK | TCP_PSH,
		TCP_FIN | TCP_ACK, TCP_RST, TCP_SYN | TCP_PSH, 0x3f,
	};
	static const uint8_t types[] = { 8, 8, 0, 3, 11, 13 };
	static const uint8_t chunks[] = { SCTP_INIT,  SCTP_INIT, SCTP_INIT,       SCTP_INIT_ACK,
					  SCTP_ABORT, SCTP_DATA, SCTP_COOKIE_ECHO };

	static const uint32_t numbers[] = { 0,          0,          0,          0x01110304,
					    0x01120304, 0x01130304, 0x01010304, 0xfff80304 };

	spec->tcp_flags = PICK(random, flags);
	spec->seq = PICK(random, numbers);
	spec->ack = PICK(random, numbers);
	spec->icmp_type = PICK(random, types);
	spec->chunk = PICK(random, chunks);
	spec->vtag = random_below(random, 20) ? 0 : random_next(random);
	spec->payload = random_below(random, 40);
	spec->pattern = random_next(random);
	spec->id = random_below(random, 4);
	spec->tos = random_below(random, 8) ? 0 : random_below(random, 256);
	spec->ttl = random_below(random, 10) ? 64 : 1 + random_below(random, 2);
	spec->options = random_below(random, 10) ? 0 : random_below(random, 11);
	spec->flags = random_below(random, 2) ? IP_DONT : 0;
	if (!random_below(random, 8))
		spec->payload = 560 + random_below(random, 60);
	if (!random_below(random, 12))
		spec->check = 1 + random_below(random, 3);
	if (spec->check == CHECK_NONE && spec->proto != IPPROTO_UDP && spec->proto != IPPROTO_SCTP)
		spec->check = CHECK_FULL;
	if (!random_below(random, 12)) {
		spec->payload |= 32;
		spec->flags = random_below(random, 2) ? IP_MORE : 0;
		spec->part_at = random_below(random, 2) ? 0 : 24;
		spec->part_length = random_below(random, 4) ? 24 : 8;
	}
}

static void random_mistake(uint64_t *random, struct spec *spec)
{
	switch (random_below(random, 11)) {
	case 0:
		spec->ihl = 1 + random_below(random, 15);
		break;
	case 1:
		spec->doff = 1 + random_below(random, 15);
		break;
	case 2:
		spec->tot_len_off = random_below(random, 81) - 40;
		break;
	case 3:
		spec->udp_len_off = random_below(random, 61) - 30;
		break;
	case 4:
		spec->cut = random_below(random, 20);
		break;
	case 5:
		spec->payload = random_below(random, 4);
		spec->tot_len_off = -(int)random_below(random, 12);
		spec->padding = random_below(random, 30);
		break;
	case 6:
		spec->vlan = 5;
		break;
	case 7:
		spec->ethertype = random_below(random, 2) ? 0x88cc : 0x0806;
		break;
	case 8:
		spec->dmac ^= random_below(random, 2) ? 0x10 : 0x010000000000ULL;
		break;
	case 9:
		spec->version = 1 + random_below(random, 15);
		break;
	default:
		spec->padding = random_below(random, 46);
	}
}

void generate_packet(uint64_t *random, const struct model *model, struct place *place,
		     struct spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	place->program = random_below(random, PROGRAMS);
	place->iface = random_below(random, IFACES);
	place->local = random_below(random, 2);
	spec->dmac = MAC_EDGE(place->iface);
	spec->smac = MAC_HOST(place->iface, 2);
	random_ends(random, model, spec);
	random_kind(random, spec);
	if (!random_below(random, 10))
		random_mistake(random, spec);
}
