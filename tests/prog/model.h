/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the edge has to do with a packet, in the plainest way: rules looked through from the first
 * on, flows in a list, checksums over everything. It follows what the rules mean, not the programs.
 *
 * Where the edge is free to choose (a port out of a range), the model asks for what was chosen, and
 * judges whether it was allowed.
 */
#ifndef XFWD_TESTS_MODEL_H
#define XFWD_TESTS_MODEL_H

#include "config.h"
#include "frame.h"
#include "harness.h"

/* In host byte order. For ICMP echo both ports are the identifier. */
struct tuple {
	uint32_t saddr, daddr;
	uint16_t sport, dport;
	uint8_t proto;
};

struct model_flow {
	struct tuple tuple[2]; /* of packets as they arrive: original, reply */
	bool ends_here[2]; /* packets of that direction are for this host */
	int rule[STAGE_COUNT]; /* position, or -1 */
	bool masqueraded; /* the original direction is to leave by this interface */
	enum iface_id by;
	uint8_t tcp_seen[2]; /* TCP_… of any segment of the direction; TCP_ACK: without SYN */
	uint16_t ack_high[2]; /* upper half of what the direction acknowledged last */
};

struct model_fragment {
	struct tuple tuple; /* with the ports */
	uint16_t id;
	bool has_ports;
	struct place place; /* where its bytes are counted */
	size_t missing; /* 0 when all of them have passed */
};

struct model_counter {
	uint64_t flows, packets, bytes;
};

#define MODEL_FLOWS 512

struct model {
	const struct config *config;
	bool guard; /* a rule leads to a loopback address */
	struct model_flow flows[MODEL_FLOWS];
	size_t flow_count;
	struct model_fragment fragments[MODEL_FLOWS];
	size_t fragment_count;
	struct model_counter *counters; /* one a rule */
	bool counters_unknown; /* a packet was dropped for a choice that nobody saw */
	/* The translated tuple of the flow that began with `first`; false: there is none. */
	bool (*chosen)(void *context, const struct tuple *first, struct tuple *translated);
	void *context;
	const char *complaint; /* of a choice that was not allowed, or a flow that should not be */
};

void model_init(struct model *model, const struct config *config);
void model_free(struct model *model);
/* Call it after the packet was run, so that choices can be looked up. */
void model_run(struct model *model, struct place place, const struct frame *in,
	       struct outcome *outcome);

/* The first rule that matches, or -1. */
int model_first_match(const struct config *config, enum stage stage, enum iface_id iface,
		      const struct tuple *tuple);
struct tuple tuple_reverse(const struct tuple *tuple);
bool tuple_equal(const struct tuple *a, const struct tuple *b);
/* "udp 10.0.0.2:5 -> 10.0.0.3:6", in one of a few buffers. */
const char *tuple_text(const struct tuple *tuple);

/* Is it an address that a snat rule lends out? */
bool model_in_pool(const struct config *config, uint32_t addr);

#endif
