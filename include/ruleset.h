/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The compiled rules: what user space writes and the classifier reads.
 *
 * A ruleset is two inner maps that are replaced together: the masks, and an index from masked packet
 * to what its rule does. `settings.generation` says which of two sets is in force.
 *
 * Classification is tuple-space search: each distinct combination of masks in use is one hash
 * lookup. Among the rules that match, the lowest rank wins: the user's order, as in netfilter.
 * Port ranges are split into prefixes, each an entry of its own.
 */
#ifndef XFWD_RULESET_H
#define XFWD_RULESET_H

#include "flow.h"
#include "bounds.h"

/* netfilter's PREROUTING and POSTROUTING. */
enum stage {
	STAGE_IN,
	STAGE_OUT,
	STAGE_COUNT,
};

/*
 * A packet as the rules see it, and, ANDed with a mask, the key of the index. IPv4 addresses are in
 * the first word. All of it in network byte order but the interface index.
 */
struct rule_key {
	__be32 saddr[4];
	__be32 daddr[4];
	__u32 ifindex; /* in: where it came from; out: where it goes */
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 stage; /* enum stage */
	__u16 mask; /* RULE_KEY_MASK(); never masked */
};

/* Masks are counted for each stage and family, but all of them share one index. */
#define RULE_KEY_MASK(family, position) ((family)*XFWD_MASKS_MAX + (position))

struct rule_mask {
	struct rule_key bits; /* stage is all ones; mask is 0 */
	__u32 best_rank; /* lowest rank of any rule under this mask; masks are in this order */
};

/* Which bit of ruleset.interfaces an interface has; several may share one. */
#define RULESET_INTERFACE(ifindex) (1ULL << (63 & (ifindex)))

/* Outside interfaces that hosts inside may be led back from. */
#define RULESET_HAIRPINS           7

/* The addresses of a snat rule: what comes to them and belongs to nobody goes no further. */
#define RULESET_POOLS              31

struct pool_range {
	__be32 min[4];
	__be32 max[4];
};

/* ruleset.ports: which word a port (in host byte order) has its bit in, and which bit that is. */
#define RULESET_PORT_WORDS      (65536 / 64)
#define RULESET_PORT_WORD(port) ((port) / 64)
#define RULESET_PORT_BIT(port)  (1ULL << ((port) % 64))

struct ruleset {
	__u32 pool_count[FAMILY_COUNT];
	struct pool_range pools[FAMILY_COUNT][RULESET_POOLS];
	__u32 hairpin_count;
	__u32 hairpins[RULESET_HAIRPINS]; /* interfaces of dnat rules that have that option */
	/* Where a rule may hold, and none does where they say no: nothing is searched then. */
	__u64 interfaces[STAGE_COUNT];
	__u64 ports[RULESET_PORT_WORDS]; /* destinations, in the stage in */
	__u32 mask_count[STAGE_COUNT][FAMILY_COUNT];
	struct rule_mask masks[STAGE_COUNT][FAMILY_COUNT][XFWD_MASKS_MAX];
};

enum rule_action_kind {
	RULE_ACCEPT,
	RULE_DROP,
	RULE_DNAT,
	RULE_REDIRECT,
	RULE_SNAT,
	RULE_MASQUERADE,
	RULE_STATIC, /* one to one, without flows; in: the destination changes, out: the source */
	RULE_KIND_COUNT,
};

/* rule_action.flags */
#define RULE_PORT_SHIFT     (1U << 0) /* target range as wide as the matched one: shift port by port */
#define RULE_PORT_SET       (1U << 1) /* the target names a port or a range of ports */
#define RULE_PORT_RANDOM    (1U << 2) /* never keep the port */
/* snat and masquerade. RFC 4787 4.1: one address and port inside has one outside, unless: */
#define RULE_MAP_DEPENDENT  (1U << 3) /* each destination may see another */
/* RFC 4787 5: who may answer. Without any of the two, the one address and port that was sent to. */
#define RULE_FILTER_ADDRESS (1U << 4) /* any port of an address that was sent to */
#define RULE_FILTER_NONE    (1U << 5) /* anyone */
#define RULE_HAIRPIN        (1U << 6) /* dnat: also for those on the target's own side */
#define RULE_TO_ADDRESS     (1U << 7) /* it names the address that it translates */
#define RULE_TO_PORTS       (1U << 8) /* and these ports */

/* rule_action.mss */
#define RULE_MSS_AUTO       0xffff /* what the route's MTU leaves */

/* The addresses are of the family that the index's key is of. Ports are in host byte order. */
struct rule_action {
	__u8 kind; /* enum rule_action_kind */
	__u8 pad;
	__u16 flags;
	__u16 mss; /* the most, in bytes, that TCP may be told; 0: as it is; RULE_MSS_AUTO */
	__u16 port_min; /* with RULE_PORT_SET */
	__u16 port_max;
	__u16 match_port_min; /* with RULE_PORT_SHIFT */
	__u32 slot; /* of its counters, from 1 */
	__u32 limit_flows; /* that one source address may have; 0: any number */
	__u32 limit_rate; /* that one source address may begin in a second; 0: any number */
	__be32 addr_min[4]; /* target addresses; redirect and masquerade have none */
	__be32 addr_max[4]; /* less than 2^64 after the first; static: the ends of a prefix */
} __attribute__((aligned(8))); /* it is copied, in words */

/* The index's value. The action is in it, and not in a map of its own, to save a memory access. */
struct rule_entry {
	__u32 rank; /* position in the user's order, from 0 */
	__u32 pad;
	struct rule_action action;
};

/* Per CPU; slots number them from 1 on. */
struct rule_counter {
	__u64 flows;
	__u64 packets;
	__u64 bytes;
};

struct rule_counter_group {
	struct rule_counter of[XFWD_COUNTER_GROUP];
};

#define RULE_COUNTER_CHUNK(slot) ((slot) / XFWD_COUNTER_CHUNK)
#define RULE_COUNTER_GROUP(slot) ((slot) % XFWD_COUNTER_CHUNK / XFWD_COUNTER_GROUP)
#define RULE_COUNTER_PLACE(slot) ((slot) % XFWD_COUNTER_GROUP)

struct verdict_counter {
	__u64 packets;
	__u64 bytes;
};

/* settings.flags */
#define SETTING_TCP_LOOSE      (1U << 0) /* a TCP segment without SYN may begin a flow */
#define SETTING_GUARD_LOOPBACK (1U << 1) /* route_localnet is on: 127/8 may not come from a wire */
#define SETTING_PORTS_OUT4     (1U << 2) /* a source-NAT rule of IPv4 matches ports */
#define SETTING_SOURCE_CHECK   (1U << 3) /* a source that is routed elsewhere is forged */
#define SETTING_PORTS_OUT6     (1U << 4) /* as PORTS_OUT4, of IPv6 */

struct settings {
	__u32 layout; /* XFWD_LAYOUT */
	__u32 generation; /* goes up with each change of rules; its lowest bit: the ruleset in force */
	__u32 flags;
	__u32 flow_max;
	__u32 hz; /* jiffies a second */
	__u32 timeout[TIMEOUT_COUNT]; /* jiffies */
	__u32 timeout_least; /* the shortest of them: no flow used since then can have expired */
	__u64 secret; /* ports are drawn with it */
};

/* iface.flags */
#define IFACE_ATTACHED_EGRESS (1U << 0) /* our tc_egress runs there */
#define IFACE_NO_ETHERNET     (1U << 1) /* layer 3 device: frames begin with the IP header */
#define IFACE_KNOWN           (1U << 2) /* always set: an entry of zeroes is none */
#define IFACE_TAKES_REDIRECTS (1U << 3) /* XDP may send frames there, through `tx_ports` */
#define IFACE_LOOSE_SOURCE    (1U << 4) /* rp_filter is 2: any route back will do */
#define IFACE_XDP             (1U << 5) /* its frames are XDP's to translate, too */
#define IFACE_VLAN            (1U << 6) /* frames to it get tags; `tx_ports` has what lies under it */
#define IFACE_TO_PEER         (1U << 7) /* of one packet: to the other end at once; see route_recall() */

/* What the pipeline knows of an interface; the key is its index. */
struct iface {
	__be32 addr4; /* first address, as netfilter's redirect and masquerade choose; 0: none */
	__be32 addr6[4]; /* the best global one */
	__u32 flags;
	__u8 mac[6];
	__u16 port; /* position in `ports`; 0: none */
};

_Static_assert(sizeof(struct rule_key) == 44, "no hidden padding");
_Static_assert(sizeof(struct rule_mask) == 48, "no hidden padding");
_Static_assert(sizeof(struct rule_action) == 56, "no hidden padding");
_Static_assert(sizeof(struct rule_entry) == 64, "a cache line of values");
_Static_assert(sizeof(struct settings) == 64, "no hidden padding");
_Static_assert(sizeof(struct iface) == 32, "no hidden padding");

#endif
