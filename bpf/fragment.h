/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragments: the ports of the first, remembered for those that follow it. */
#ifndef XFWD_FRAGMENT_H
#define XFWD_FRAGMENT_H

#include "flow_table.h"

/* RFC 1122 3.3.2 keeps fragments for 60 to 120 seconds; Linux for 30. */
#define FRAGMENT_SECONDS 30

static __always_inline void fragment_key(const struct packet *p, struct fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->saddr, p->tuple.saddr, sizeof(key->saddr));
	__builtin_memcpy(key->daddr, p->tuple.daddr, sizeof(key->daddr));
	key->id = p->id;
	key->proto = p->tuple.proto;
	key->family = p->tuple.family;
}

/* A first fragment: those behind it will need its ports, to match a flow or a rule. */
static __always_inline void fragment_remember(const struct packet *p)
{
	struct fragment frag = {
		.sport = p->tuple.sport,
		.dport = p->tuple.dport,
		.seen = p->now,
	};
	struct fragment_key key;

	fragment_key(p, &key);
	bpf_map_update_elem(&fragments, &key, &frag, BPF_ANY);
}

/* Gives a later fragment the ports of its datagram, if its first part was seen. */
static __always_inline void fragment_resolve(struct packet *p)
{
	struct fragment_key key;
	struct fragment *frag;

	fragment_key(p, &key);
	frag = bpf_map_lookup_elem(&fragments, &key);
	if (!frag || p->now - frag->seen > FRAGMENT_SECONDS * p->settings->hz)
		return;
	p->tuple.sport = frag->sport;
	p->tuple.dport = frag->dport;
	p->shape |= PACKET_PORTS;
}

#endif
