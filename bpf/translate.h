/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a rule's action to the translation that a new flow asks for. */
#ifndef XFWD_TRANSLATE_H
#define XFWD_TRANSLATE_H

#include "maps.h"
#include "packet.h"
#include "port_alloc.h"

#define PORT_RESERVED 1024

static __always_inline int address_is_loopback(__be32 addr)
{
	return (addr & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* Multicast or limited broadcast: what has no one receiver. */
static __always_inline int address_is_multicast(__be32 addr)
{
	return (addr & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || addr == ~0U;
}

/* RFC 1122 3.2.1.3: these are never a datagram's source on a wire. */
static __always_inline int address_is_no_source(__be32 addr)
{
	return !(addr & bpf_htonl(0xff000000)) || address_is_loopback(addr) ||
	       address_is_multicast(addr);
}

/* Protocols whose checksum covers the addresses, but which the rewriter does not know. */
static __always_inline int protocol_is_unsupported(__u8 proto)
{
	return proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP;
}

static __always_inline int protocol_has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

/* One host always gets the same address of a range: the choice depends on its own address alone. */
static __always_inline __be32 translate_address(const struct rule_action *rule, __be32 host)
{
	__u32 min = bpf_ntohl(rule->addr_min[0]), width = bpf_ntohl(rule->addr_max[0]) - min + 1;
	__u32 hash = bpf_ntohl(host) * 2654435769U; /* Knuth's multiplicative hash */

	if (width <= 1)
		return rule->addr_min[0];
	return bpf_htonl(min + (__u32)(((__u64)hash * width) >> 32));
}

/* dnat and redirect. VERDICT_CONTINUE, or why not. */
static __always_inline enum verdict translate_destination(const struct packet *p,
							  const struct rule_action *rule,
							  struct flow_key4 *want)
{
	__u16 port = bpf_ntohs(want->dport), width;

	if (rule->kind == RULE_REDIRECT) {
		const struct iface *in = iface_find(p->ifindex);

		if (!in || !in->addr4)
			return VERDICT_DROP_NO_ADDRESS;
		want->daddr = in->addr4;
	} else {
		want->daddr = translate_address(rule, want->saddr);
	}
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
static __always_inline void translate_port_range(struct flow_request *req)
{
	__u16 port = bpf_ntohs(req->want.sport);

	req->keep = 1;
	req->choose = protocol_has_ports(req->want.proto) || req->want.proto == IPPROTO_ICMP;
	req->port_min = 1;
	req->port_max = 65535;
	if (!protocol_has_ports(req->want.proto))
		return;
	if (port < PORT_RESERVED)
		req->port_max = PORT_RESERVED - 1;
	else
		req->port_min = PORT_RESERVED;
}

/*
 * snat and masquerade; without a rule (NULL), the source stays, but its port may have to move so
 * that the replies of two flows can be told apart. `ifindex`: where the packet will leave.
 */
static __always_inline enum verdict translate_source(struct flow_request *req,
						     const struct rule_action *rule, __u32 ifindex)
{
	__u16 port = bpf_ntohs(req->want.sport);

	translate_port_range(req);
	if (!rule)
		return VERDICT_CONTINUE;
	if (rule->kind == RULE_MASQUERADE) {
		const struct iface *out = iface_find(ifindex);

		if (!out || !out->addr4)
			return VERDICT_DROP_NO_ADDRESS;
		req->want.saddr = out->addr4;
	} else {
		req->want.saddr = translate_address(rule, req->orig.saddr);
	}
	if (rule->flags & RULE_PORT_SET && req->choose) {
		req->port_min = rule->port_min;
		req->port_max = rule->port_max;
		req->keep = port >= rule->port_min && port <= rule->port_max;
	}
	if (rule->flags & RULE_PORT_RANDOM && req->choose)
		req->keep = 0;
	return VERDICT_CONTINUE;
}

static __always_inline enum verdict translate_claim(struct flow_request *req)
{
	switch (flow_create(req)) {
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
