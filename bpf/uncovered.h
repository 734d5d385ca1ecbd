/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What nothing here is for, told by a few looks at the ruleset: a packet that has no flow, and that no
 * rule could hold for, nor for its answer. It is most of what passes a machine that forwards a few
 * ports. Whatever is less simple than that goes the whole way, which begins in admit.h and ends alike.
 */
#ifndef XFWD_UNCOVERED_H
#define XFWD_UNCOVERED_H

#include "begin.h"

/* The ruleset in force, where packets between this interface and the stack can only meet stage in. */
static __always_inline const struct ruleset *ruleset_simple(const struct packet *p)
{
	const struct ruleset *set = ruleset_get(p->generation & 1);

	if (!set || set->hairpin_count || set->pool_count[p->tuple.family & 1] ||
	    set->interfaces[STAGE_OUT] & RULESET_INTERFACE(p->ifindex))
		return NULL;
	return set;
}

/* May it be for an outside endpoint that is mapped? */
static __always_inline int may_be_mapped(const struct packet *p)
{
	struct request *r;

	if (!sweeper.mappings)
		return 0;
	r = request_get();
	if (!r)
		return 1;
	endpoint_set(&r->outside_key, &p->tuple, p->tuple.daddr, p->tuple.dport);
	return bpf_map_lookup_elem(&outsides, &r->outside_key) != NULL;
}

/* Its answer meets no rule, as none of the stage out is for this interface. */
static __always_inline int ingress_is_uncovered(const struct packet *p, const struct ruleset *set)
{
	return !ruleset_holds(set, STAGE_IN, p->ifindex, p->tuple.proto, p->tuple.dport) &&
	       !address_is_no_source(p->tuple.saddr, p->tuple.family) && !may_be_mapped(p);
}

/*
 * Its answer would come in here, and go where it came from, if it was forwarded. And it may be this
 * host's own, where a flow has its answers.
 */
static __always_inline int egress_is_uncovered(const struct packet *p, const struct ruleset *set)
{
	struct request *r;

	if ((p->came_from && set->interfaces[STAGE_OUT] & RULESET_INTERFACE(p->came_from)) ||
	    ruleset_holds(set, STAGE_IN, p->ifindex, p->tuple.proto, p->tuple.sport))
		return 0;
	if (!port_is_destination(p->tuple.sport))
		return 1;
	r = request_get();
	if (!r)
		return 0;
	flow_key_reverse(&p->tuple, &r->sought);
	return bucket_find() < 0;
}

/* No flow has the packet. */
static __always_inline int is_uncovered(const struct packet *p)
{
	const struct ruleset *set;

	if (!(p->shape & PACKET_PORTS) || p->shape & PACKET_FRAGMENT ||
	    !protocol_has_ports(p->tuple.proto))
		return 0;
	set = ruleset_simple(p);
	if (!set)
		return 0;
	return p->hook == HOOK_TC_EGRESS ? egress_is_uncovered(p, set)
					 : ingress_is_uncovered(p, set);
}

#endif
