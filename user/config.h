/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rule model: what a configuration says, as plain data. No BPF, no kernel, no I/O.
 *
 * The grammar fills it, checks read it, the compiler turns it into tables, and the running state
 * keeps each `struct rule` as it stands (hence fixed sizes and no pointers in it).
 */
#ifndef XFWD_CONFIG_H
#define XFWD_CONFIG_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "flow.h"
#include "ruleset.h"

#define RULE_NAME_MAX 32 /* with the final NUL */

/* An IPv4 address is in the first word; network byte order; unused words are 0. */
struct address {
	__be32 word[4];
};

/* len 0 with family AF_UNSPEC: not given, matches everything. */
struct prefix {
	struct address addr;
	uint8_t family; /* AF_UNSPEC, AF_INET, AF_INET6 */
	uint8_t len;
	uint8_t pad[2];
};

/* Host byte order, inclusive. {0, 0}: not given. */
struct port_range {
	uint16_t min;
	uint16_t max;
};

struct endpoint {
	struct prefix prefix;
	struct port_range ports;
};

/* rule.protocols: a set; 0 is any protocol. */
#define RULE_TCP  (1U << 0)
#define RULE_UDP  (1U << 1)
#define RULE_ICMP (1U << 2) /* of IPv6, ICMPv6 */
#define RULE_SCTP (1U << 3)

/* rule.mapping: RFC 4787 4.1 */
enum mapping {
	MAPPING_INDEPENDENT,
	MAPPING_DEPENDENT,
	MAPPING_COUNT,
};

/* rule.filtering: RFC 4787 5 */
enum filtering {
	FILTERING_ADDRESS_AND_PORT,
	FILTERING_ADDRESS,
	FILTERING_INDEPENDENT,
	FILTERING_COUNT,
};

/* rule.mss */
#define MSS_MIN        536 /* RFC 9293 3.7.1 */
#define MSS_MAX        65495 /* the longest datagram without its headers */
#define LIMIT_RATE_MAX 1000000

/* options.timeout: 14 days. At 1000 jiffies a second, half of 32 bits is 24 days. */
#define TIMEOUT_MAX    (14 * 24 * 60 * 60)

struct target {
	struct address
		addr_min; /* dnat, snat; equal for a single address; static: the prefix inside */
	struct address addr_max;
	uint8_t family; /* AF_UNSPEC: no address (redirect, masquerade, port only) */
	uint8_t pad[3];
	struct port_range ports; /* {0, 0}: keep the port where possible */
};

struct rule {
	uint32_t handle; /* 0 until the rule is in the running state */
	uint32_t slot; /* counter slot, likewise */
	uint8_t kind; /* enum rule_action_kind */
	uint8_t stage; /* enum stage */
	uint8_t protocols; /* RULE_TCP | … */
	uint8_t family; /* AF_INET, AF_INET6; AF_UNSPEC: both */
	char ifname[IF_NAMESIZE]; /* "": any attached interface */
	struct endpoint from;
	struct endpoint to; /* static: the prefix outside */
	struct target target;
	/* Options, each by its own word. */
	uint32_t limit_flows; /* of one source address; 0: no limit */
	uint32_t limit_rate; /* new ones a second; 0: no limit */
	uint16_t mss; /* bytes; 0: none; RULE_MSS_AUTO */
	uint8_t random;
	uint8_t mapping; /* enum mapping */
	uint8_t filtering; /* enum filtering */
	uint8_t hairpin;
	uint8_t pad[2];
	char name[RULE_NAME_MAX]; /* "": none */
};

enum attach_mode {
	MODE_AUTO,
	MODE_NATIVE,
	MODE_GENERIC,
	MODE_TC,
	MODE_COUNT,
};

struct interface {
	char name[IF_NAMESIZE];
	uint8_t mode; /* enum attach_mode */
	uint8_t pad[3];
};

/* One `set`; also kept as it stands in the running state. */
struct options {
	uint32_t flows;
	uint32_t timeout[TIMEOUT_COUNT]; /* seconds */
	uint8_t tcp_loose;
	uint8_t sysctl; /* set forwarding and the like where a rule needs it */
	uint8_t source_check; /* drop what claims a source that is elsewhere */
	uint8_t pad;
};

struct config {
	struct options options;
	struct interface *interfaces;
	size_t interface_count;
	struct rule *rules; /* in the user's order */
	size_t rule_count;
	size_t rule_room;
	size_t interface_room;
};

/* Defaults of every option; no rules. */
void config_init(struct config *config);
void config_free(struct config *config);
/* A copy of *rule goes to position `at` (0 … rule_count). 0 or -ENOMEM. */
int config_insert(struct config *config, size_t at, const struct rule *rule);
void config_remove(struct config *config, size_t at);
/* Adds the interface or changes its mode. 0 or -ENOMEM. */
int config_interface(struct config *config, const char *name, enum attach_mode mode);

/* All bits after the first `len`: cleared, or set as in the prefix's last address. */
struct address address_first(const struct address *addr, unsigned int len);
struct address address_last(const struct address *addr, uint8_t family, unsigned int len);
/* 32 or 128. */
unsigned int family_bits(uint8_t family);

/* The family that the rule's addresses are of; AF_UNSPEC: it has none. */
uint8_t rule_address_family(const struct rule *rule);
/* SETTING_PORTS_OUT…: of which families it is a source-NAT rule that matches ports. */
uint32_t rule_ports_out(const struct rule *rule);
/* Do the two say the same thing? Handle, slot and name do not count. */
bool rule_equal(const struct rule *a, const struct rule *b);

extern const char *const rule_kind_names[RULE_KIND_COUNT];
extern const char *const attach_mode_names[MODE_COUNT];
extern const char *const timeout_names[TIMEOUT_COUNT];
extern const char *const mapping_names[MAPPING_COUNT];
extern const char *const filtering_names[FILTERING_COUNT];

#endif
