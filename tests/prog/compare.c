// SPDX-License-Identifier: GPL-2.0-or-later
/* What the programs did against what the model says. */
#include "compare.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "counters.h"
#include "flows.h"
#include "print.h"

static bool chosen(void *context, const struct tuple *first, struct tuple *translated)
{
	struct harness *h = context;
	struct flow_key key = {
		.saddr = { htonl(first->saddr) },
		.daddr = { htonl(first->daddr) },
		.sport = htons(first->sport),
		.dport = htons(first->dport),
		.proto = first->proto,
		.family = FAMILY_IP4,
	};
	struct flow_entry flow;

	if (!flow_tables_find(&h->tables, &key, &flow))
		return false;
	*translated = (struct tuple){ .saddr = ntohl(flow.ip4.saddr),
				      .daddr = ntohl(flow.ip4.daddr),
				      .sport = ntohs(flow.flow.sport),
				      .dport = ntohs(flow.flow.dport),
				      .proto = first->proto };
	return true;
}

void compare_listen(struct model *model, struct harness *h)
{
	model->chosen = chosen;
	model->context = h;
}

/* What answers say is for tests on the wire to read. */
static bool is_answer(enum verdict verdict)
{
	return verdict == VERDICT_ANSWER_TTL || verdict == VERDICT_ANSWER_MTU;
}

bool compare_outcomes(const struct model *model, struct place place, const struct frame *in,
		      const struct outcome *want, const struct outcome *got)
{
	bool same = got->verdict == want->verdict && got->action == want->action;

	if (want->any_drop && got->verdict >= VERDICT_DROP_RULE)
		return true;
	if (same && is_answer(want->verdict))
		return true;
	if ((want->verdict == VERDICT_ANSWER_TTL && got->verdict == VERDICT_DROP_TTL) ||
	    (want->verdict == VERDICT_ANSWER_MTU && got->verdict == VERDICT_DROP_MTU))
		return true; /* too many answers in a short time, or none is due */
	/* Nobody sees the bytes of what is dropped. */
	if (same && !model->complaint &&
	    (got->verdict >= VERDICT_HELD || frame_equal(&want->out, &got->out)))
		return true;
	printf("# %s on %s%s\n", program_names[place.program], iface_names[place.iface],
	       place.program == TC_EGRESS && place.local ? ", made by this host" : "");
	if (model->complaint)
		printf("# %s\n", model->complaint);
	printf("# verdict: want %s got %s; action: want %d got %d\n", verdict_names[want->verdict],
	       verdict_names[got->verdict], want->action, got->action);
	frame_dump("packet", in);
	if (!frame_equal(&want->out, &got->out))
		frame_explain(&want->out, &got->out);
	for (size_t i = 0; i < model->flow_count; i++)
		printf("# flow %s | %s\n", tuple_text(&model->flows[i].tuple[0]),
		       tuple_text(&model->flows[i].tuple[1]));
	return false;
}

static int count_flow(const struct flow_view *flow, void *context)
{
	(void)flow;
	++*(size_t *)context;
	return 0;
}

void compare_counters(const struct model *model, struct harness *h)
{
	const struct config *config = &h->session.config;
	struct flow_filter all = { 0 };
	struct counter_reader reader;
	size_t flows = 0;

	assert_int_equal(counter_reader_open(&reader, &h->session.state), 0);
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct model_counter *want = &model->counters[i];
		struct rule_counter got;
		char text[RULE_TEXT_MAX];

		assert_int_equal(counter_read(&reader, config->rules[i].slot, &got), 0);
		if (model->counters_unknown ||
		    (got.flows == want->flows && got.packets == want->packets &&
		     got.bytes == want->bytes))
			continue;
		rule_print(&config->rules[i], text);
		fail_msg("counters of rule %zu (%s): want %ju flows %ju packets %ju bytes, got %ju "
			 "%ju %ju",
			 i, text, (uintmax_t)want->flows, (uintmax_t)want->packets,
			 (uintmax_t)want->bytes, (uintmax_t)got.flows, (uintmax_t)got.packets,
			 (uintmax_t)got.bytes);
	}
	counter_reader_close(&reader);
	assert_int_equal(flows_each(&h->session.state, &all, count_flow, &flows), 0);
	assert_int_equal(flows, model->flow_count);
}
