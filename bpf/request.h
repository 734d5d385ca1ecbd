/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet that the fast path cannot finish, and the flow that it asks for.
 *
 * What is rare is done by functions of their own to the verifier, which share no registers with the
 * program: what they need of the packet is in this CPU's request, and so is room to work in, off the
 * stack, which is 512 bytes for a program and all that it calls. (Each asks for the request itself:
 * as an argument it would be memory of no map to the verifier, which Linux 5.15 takes for no key.)
 */
#ifndef XFWD_REQUEST_H
#define XFWD_REQUEST_H

#include "maps.h"
#include "packet.h"

/* What a rule lets one source have; see rule_action. */
struct request_limit {
	__u32 slot;
	__u32 flows;
	__u32 rate;
};

struct request {
	struct packet p; /* as it came; without pointers */
	__be32 fragment_id; /* IPv6: of the datagram that a fragment belongs to */
	__u32 setting_flags; /* SETTING_… */
	__u32 hz; /* jiffies a second */
	__be32 gateway[4]; /* of p.hop, when it was looked up */
	__u32 gateway_is_ip4;
	/* the flow */
	struct flow_key want; /* how it should leave, its source port being the first choice */
	__u16 port_min; /* the source ports allowed, host byte order */
	__u16 port_max;
	__u32 tries; /* of them, at the most */
	__u8 keep; /* try the first choice before any other */
	__u8 choose; /* there are others: port_min to port_max */
	__u8 flags; /* FLOW_HOLDS, for both directions */
	__u8 mapping; /* MAPPING_… */
	__u8 take_over; /* ports of mappings that no flow holds may be had */
	__u8 known; /* the flow table has its tuple */
	__u8 to_local; /* FLOW_TO_LOCAL for the original direction */
	__u8 from_local; /* and for the reply direction */
	__u8 refused; /* the flow only notes that its packet was not let in */
	__u8 claim; /* CLAIM_…: what is to be done for the flow that the packet asks for */
	__u16 masquerade; /* the position in `ports` of the interface that the flow is bound to; 0: none */
	__u8 unclaimed; /* the packet's verdict where CLAIM_IF_FREE finds no room */
	__u32 rule_in;
	__u32 rule_out;
	struct request_limit limit;
	__u32 hairpin; /* the outside interface whose address an inside host has sent to */
	__u16 mss; /* the largest TCP segment that may be announced; 0: any */
	__u8 mss_auto; /* and no more than the routes leave */
	__u8 mapping_asked; /* MAPPING_… before a claim that may have to be taken back */
	__u32 claimed; /* set where this request made the flow, and no other CPU's */
	__u32 stateless; /* `entry` is how the packet is to be translated: it has no flow */
	/* the last search for a port that found none: not of this packet, but to spare another one */
	__u64 vain_subject;
	__u32 vain_at; /* jiffies */
	/* how often a next hop has been drawn in that jiffy, likewise */
	__u32 draws;
	__u32 drew_at; /* jiffies */
	/* the last next hop that the service was told of, likewise */
	struct hop_key told;
	__u32 told_at;
	/* room to work in */
	struct flow_key sought; /* in the flow table */
	__u32 home; /* its home there */
	struct flow_key key;
	struct flow_key back;
	struct flow_key peer;
	struct bpf_fib_lookup fib;
	struct bpf_sock_tuple sock;
	struct mapping_key mapping_key;
	struct mapping_key taken_key;
	struct endpoint_key outside_key;
	struct outside outside;
	struct permit_key permit_key;
	struct source_key source_key;
	union {
		struct flow flow;
		struct flow4 flow4;
		struct flow6 flow6;
	} entry;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct request);
} requests SEC(".maps");

static __always_inline struct request *request_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&requests, &zero);
}

static __always_inline void request_tuple(struct flow_key *to, const struct flow_key *from)
{
	if (from->family == FAMILY_IP4) {
		to->saddr[0] = from->saddr[0];
		to->saddr[1] = to->saddr[2] = to->saddr[3] = 0;
		to->daddr[0] = from->daddr[0];
		to->daddr[1] = to->daddr[2] = to->daddr[3] = 0;
	} else {
		__builtin_memcpy(to->saddr, from->saddr, sizeof(to->saddr));
		__builtin_memcpy(to->daddr, from->daddr, sizeof(to->daddr));
	}
	to->sport = from->sport;
	to->dport = from->dport;
	to->proto = from->proto;
	to->family = from->family;
}

/* This CPU's request, for the packet as it came. */
static __always_inline struct request *request_new(const struct packet *p)
{
	struct request *r = request_get();

	if (!r)
		return NULL;
	/* Member by member: a struct packet that is copied as a whole is not kept in registers. */
	r->p.hook = p->hook;
	r->p.ifindex = p->ifindex;
	r->p.came_from = p->came_from;
	r->setting_flags = settings.flags;
	r->hz = settings.hz;
	r->p.generation = p->generation;
	r->p.clock = p->clock;
	request_tuple(&r->p.tuple, &p->tuple);
	request_tuple(&r->want, &p->tuple);
	r->p.hop.route = p->hop.route;
	r->p.shape = p->shape;
	r->p.l3_offset = p->l3_offset;
	r->p.l4_offset = p->l4_offset;
	r->p.l3_length = p->l3_length;
	r->p.route_length = p->route_length;
	r->p.flow_info = p->flow_info;
	r->p.ttl = p->ttl;
	r->p.tos = p->tos;
	r->p.tcp_flags = p->tcp_flags;
	r->p.frames = p->frames;
	r->keep = 0;
	r->choose = 0;
	r->to_local = 0;
	r->from_local = 0;
	r->refused = 0;
	r->claim = 0;
	r->masquerade = 0;
	r->rule_in = 0;
	r->rule_out = 0;
	r->claimed = 0;
	r->stateless = 0;
	r->flags = 0;
	r->mapping = 0;
	r->take_over = 0;
	r->limit.flows = 0;
	r->limit.rate = 0;
	r->hairpin = 0;
	return r;
}

#endif
