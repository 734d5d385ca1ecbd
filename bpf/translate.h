/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a rule's action to the translation that a new flow asks for. */
#ifndef XFWD_TRANSLATE_H
#define XFWD_TRANSLATE_H

#include "classify.h"
#include "port_alloc.h"

#define PORT_RESERVED 1024

static __always_inline int address_is_loopback(__be32 addr)
{
	return (addr & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline int address6_is_below(const __be32 addr[4], __u32 last)
{
	return !(addr[0] | addr[1] | addr[2]) && bpf_ntohl(addr[3]) <= last;
}

static __always_inline int address6_is_link_local(const __be32 addr[4])
{
	return (addr[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* Multicast or limited broadcast: what has no one receiver. IPv6: also what is of one link alone. */
static __always_inline int address_is_multicast(const __be32 addr[4], enum family family)
{
	if (family == FAMILY_IP6)
		return (addr[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) ||
		       address6_is_link_local(addr);
	return (addr[0] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || addr[0] == ~0U;
}

/* RFC 1122 3.2.1.3, RFC 4291 2.5: these are never a routed datagram's source on a wire. */
static __always_inline int address_is_no_source(const __be32 addr[4], enum family family)
{
	if (family == FAMILY_IP6)
		return address6_is_below(addr, 1) || address_is_multicast(addr, family);
	return !(addr[0] & bpf_htonl(0xff000000)) || address_is_loopback(addr[0]) ||
	       address_is_multicast(addr, family);
}

#define KNUTH_HASH 2654435769ULL /* multiplicative; of 32 bits */

/* One host always gets the same address of a range: the choice depends on its own address alone. */
static __always_inline void translate_address(const struct rule_action *rule,
					      const struct flow_key *key, __be32 to[4])
{
	__u64 min, width, low;

	__builtin_memcpy(to, rule->addr_min, sizeof(rule->addr_min));
	if (key->family == FAMILY_IP4) {
		min = bpf_ntohl(rule->addr_min[0]);
		width = bpf_ntohl(rule->addr_max[0]) - min + 1;
		if (width > 1)
			to[0] = bpf_htonl(
				min +
				((bpf_ntohl(key->saddr[0]) * KNUTH_HASH & ~0U) * width >> 32));
		return;
	}
	min = address6_half(&rule->addr_min[2]);
	width = address6_half(&rule->addr_max[2]) - min + 1; /* 0: all of 64 bits */
	if (width == 1)
		return;
	low = hash64(address6_half(&key->saddr[0]) ^ hash64(address6_half(&key->saddr[2])));
	low = min + (width ? low % width : low);
	to[2] = bpf_htonl(low >> 32);
	to[3] = bpf_htonl((__u32)low);
}

/* static: the first bits of an address become the rule's. */
static __always_inline void translate_prefix(const struct rule_action *rule, enum family family,
					     __be32 addr[4])
{
	for (int i = 0; i < 4; i++) {
		/* from the prefix's first address to its last, all that is behind it changes */
		__be32 behind = rule->addr_min[i] ^ rule->addr_max[i];

		addr[i] = rule->addr_min[i] | (addr[i] & behind);
		if (family == FAMILY_IP4)
			break;
	}
}

/* The interface's own address, as redirect and masquerade take it. 0: it has one. */
static __always_inline int translate_to_own(__u32 ifindex, enum family family, __be32 to[4])
{
	const struct iface *iface = iface_find(ifindex);

	if (!iface)
		return -1;
	if (family == FAMILY_IP4) {
		to[0] = iface->addr4;
		return iface->addr4 ? 0 : -1;
	}
	__builtin_memcpy(to, iface->addr6, sizeof(iface->addr6));
	return iface->addr6[0] ? 0 : -1;
}

/* masquerade: the flow is bound to the interface that the packet will leave by. 0: it has an address. */
static __always_inline int translate_masquerade(struct request *r, __u32 ifindex)
{
	const struct iface *out = iface_find(ifindex);

	r->masquerade = out ? out->port : 0;
	return translate_to_own(ifindex, r->p.tuple.family, r->want.saddr);
}

/*
 * dnat and redirect, by the rule in ROOM_IN. VERDICT_CONTINUE, or why not. As the one below, a
 * function of its own to the verifier.
 */
__attribute__((noinline)) int translate_destination(void)
{
	const struct rule_action *rule = rule_in_room(ROOM_IN);
	struct request *r = request_get();
	struct flow_key *want;
	__u16 port, width;

	if (!rule || !r)
		return VERDICT_DROP_ERROR;
	want = &r->want;
	port = bpf_ntohs(want->dport);

	if (rule->kind != RULE_REDIRECT)
		translate_address(rule, &r->p.tuple, want->daddr);
	else if (translate_to_own(r->p.ifindex, r->p.tuple.family, want->daddr))
		return VERDICT_DROP_NO_ADDRESS;
	if (!(rule->flags & RULE_PORT_SET) || !protocol_has_ports(want->proto))
		return VERDICT_CONTINUE;
	width = rule->port_max - rule->port_min;
	if (rule->flags & RULE_PORT_SHIFT)
		port += rule->port_min - rule->match_port_min;
	else if (port < rule->port_min || port > rule->port_max)
		port = rule->port_min + (width ? bpf_get_prandom_u32() % (width + 1U) : 0);
	want->dport = bpf_htons(port);
	return VERDICT_CONTINUE;
}

/* The source ports that a new flow may have where its rule names none (RFC 4787 R3a, R4). */
static __always_inline void translate_port_range(struct request *r)
{
	__u16 port = bpf_ntohs(r->want.sport);

	/* an echo of identifier 0 outside would have requests from there for its answers */
	r->keep = port || !protocol_is_icmp(r->want.proto);
	r->choose = protocol_has_ports(r->want.proto) || protocol_is_icmp(r->want.proto);
	r->port_min = 1;
	r->port_max = 65535;
	if (!protocol_has_ports(r->want.proto))
		return;
	if (port < PORT_RESERVED)
		r->port_max = PORT_RESERVED - 1;
	else
		r->port_min = PORT_RESERVED;
}

/*
 * snat and masquerade, by the rule in that room; without one (ROOM_NONE), the source stays, but its
 * port may have to move so that the replies of two flows can be told apart. `ifindex`: where the
 * packet will leave.
 */
__attribute__((noinline)) int translate_source(__u32 room, __u32 ifindex)
{
	struct request *r = request_get();
	const struct rule_action *rule;
	__u16 port;

	if (!r)
		return VERDICT_DROP_ERROR;
	port = bpf_ntohs(r->want.sport);
	translate_port_range(r);
	rule = rule_in_room(room);
	if (!rule) /* none */
		return VERDICT_CONTINUE;
	if (rule->kind != RULE_MASQUERADE)
		translate_address(rule, &r->p.tuple, r->want.saddr);
	else if (translate_masquerade(r, ifindex))
		return VERDICT_DROP_NO_ADDRESS;
	if (rule->flags & RULE_PORT_SET && r->choose) {
		r->port_min = rule->port_min;
		r->port_max = rule->port_max;
		r->keep = port >= rule->port_min && port <= rule->port_max;
	}
	if (rule->flags & RULE_PORT_RANDOM && r->choose)
		r->keep = 0;
	if (!(rule->flags & RULE_MAP_DEPENDENT) && r->choose)
		mapping_begin(r, rule, ifindex);
	return VERDICT_CONTINUE;
}

/* The limits of a rule that the flow is under; those of the last one count. */
static __always_inline void translate_limit(struct request *r, const struct rule_action *rule)
{
	if (!rule->limit_flows && !rule->limit_rate)
		return;
	r->limit.slot = rule->slot;
	r->limit.flows = rule->limit_flows;
	r->limit.rate = rule->limit_rate;
}

static __always_inline enum verdict translate_claim(struct request *r)
{
	if ((r->limit.flows || r->limit.rate) && limit_hold()) {
		flow_unheld();
		return VERDICT_DROP_LIMIT;
	}
	switch (flow_create()) {
	case FLOW_CLAIMED:
	case FLOW_EXISTS:
		return VERDICT_CONTINUE;
	case FLOW_NO_PORT:
		return VERDICT_DROP_NO_PORT;
	default:
		return VERDICT_DROP_FLOW_TABLE_FULL;
	}
}

#endif
