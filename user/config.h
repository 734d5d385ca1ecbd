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
#define RULE_ICMP (1U << 2)

struct target {
	struct address addr_min; /* dnat, snat; equal for a single address */
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
	uint8_t random; /* option `random` */
	char ifname[IF_NAMESIZE]; /* "": any attached interface */
	struct endpoint from;
	struct endpoint to;
	struct target target;
	char name[RULE_NAME_MAX]; /* option `name`; "": none */
};

_Static_assert(sizeof(struct rule) == 148,
	       "part of the pinned layout: bump XFWD_LAYOUT when it changes");

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
	uint8_t pad[2];
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

/* Is it a source-NAT rule that matches ports? */
bool rule_source_has_ports(const struct rule *rule);
/* Do the two say the same thing? Handle, slot and name do not count. */
bool rule_equal(const struct rule *a, const struct rule *b);

extern const char *const rule_kind_names[RULE_KIND_COUNT];
extern const char *const attach_mode_names[MODE_COUNT];
extern const char *const timeout_names[TIMEOUT_COUNT];

#endif
