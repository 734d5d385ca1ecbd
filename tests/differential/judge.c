// SPDX-License-Identifier: GPL-2.0-or-later
/* Whether both edges make the same of a packet. */
#include "judge.h"

#include <stdio.h>
#include <string.h>

#include "choice.h"
#include "excuse.h"
#include "fault.h"
#include "history.h"
#include "match.h"
#include "outputs.h"
#include "packet.h"

uint64_t excuses[EXCUSE_COUNT], packets_sent, packets_translated;

const char *const excuse_names[] = {
#define EXCUSE_NAME(name, reason) #name,
	EXCUSES(EXCUSE_NAME)
#undef EXCUSE_NAME
};

const char *const excuse_reasons[] = {
#define EXCUSE_REASON(name, reason) reason,
	EXCUSES(EXCUSE_REASON)
#undef EXCUSE_REASON
};

bool judge_begin(struct judge *j, const struct scenario *s)
{
	uint64_t unused[VERDICT_COUNT];

	history_clear(j);
	j->loose = s->manner.loose;
	if (!wire_apply(s->rules, &s->manner))
		return false;
	wire_verdicts(unused);
	return true;
}

/* What a difference looks like, in few words. */
static void describe(struct judge *j, const struct outputs rest[EDGES])
{
	struct view view;
	int length;

	length = snprintf(j->kind, sizeof(j->kind), "kernel %zu, xfwd %zu of %zu, %zu;",
			  rest[KERNEL].count, rest[XFWD].count, j->outputs[KERNEL].count,
			  j->outputs[XFWD].count);
	if (view_read(&view, &j->whole))
		length += snprintf(j->kind + length, sizeof(j->kind) - length,
				   " IPv%d %u:", view.six ? 6 : 4, view.ends.proto);
	for (int v = VERDICT_DROP_RULE; v < VERDICT_COUNT; v++)
		if (j->verdicts[v])
			length += snprintf(j->kind + length, sizeof(j->kind) - length, " %s",
					   verdict_names[v]);
}

/* The part again, of the datagram as the edge is to see it. */
static void cut_again(struct frame *part, const struct frame *whole)
{
	static struct frame before;
	struct view view;

	before = *part;
	if (view_read(&view, &before))
		packet_fragment(whole, view.id, view.offset, view.end - view.transport, part);
}

static void run_edges(const struct judge *j, const struct step *step, struct outputs raw[EDGES])
{
	static struct frame frame, whole;

	for (int e = 0; e < EDGES; e++) {
		whole = j->whole;
		translate(e, TO_EDGE, &whole);
		for (int i = 0; i < step->count; i++) {
			frame = step->in[i].frame;
			if (j->is_parts)
				cut_again(&frame, &whole);
			else
				translate(e, TO_EDGE, &frame);
			wire_send(e, step->in[i].iface, &frame);
		}
		wire_collect(e, &raw[e]);
		outputs_join(&raw[e]);
	}
}

static bool differ(struct judge *j, struct step *step)
{
	static struct outputs rest[EDGES];
	enum excuse excuse;
	struct view view;

	for (int e = 0; e < EDGES; e++)
		outputs_copy(&rest[e], &j->outputs[e]);
	outputs_match(j, step, rest);
	if (!rest[KERNEL].count && !rest[XFWD].count)
		return false;
	excuse = j->is_one ? step_excuse(j, rest) : burst_excuse(j, step);
	describe(j, rest);
	if (excuse == EXCUSE_NONE)
		return true;
	excuses[excuse]++;
	/* The one or the other may have a connection now. */
	if (view_read(&view, &j->whole))
		doubt(&view.ends);
	for (int e = 0; e < EDGES; e++)
		for (size_t i = 0; i < rest[e].count; i++)
			if (view_read(&view, &rest[e].list[i].frame))
				doubt(&view.ends);
	return false;
}

/* Of a connection that both have: how far it is. Closing, too, is what comes in no right order. */
static void follow(struct judge *j, const struct view *in)
{
	struct known *known;
	bool is_reply, is_same;

	known = known_find(j, &in->ends, &is_reply);
	if (!known)
		return;
	is_same = j->outputs[KERNEL].count == 1 && j->outputs[XFWD].count == 1 &&
		  frame_equal(&j->outputs[KERNEL].list[0].frame, &j->outputs[XFWD].list[0].frame) &&
		  is_as_known(j, in, &j->outputs[KERNEL]);
	/* Requests both ways, with one identifier. */
	if (is_icmp(in) && !is_in_turn(j, in)) {
		doubt(&known->in);
		doubt(&known->out);
	}
	known->is_doubtful |= is_doubtful(&in->ends) || !is_same;
	known->is_closing |= in->ends.proto ==
			     IPPROTO_SCTP; /* no bursts: its state is not followed */
	if (in->ends.proto != IPPROTO_TCP) {
		known->passed[is_reply] |= is_same && (!is_icmp(in) || is_in_turn(j, in));
		return;
	}
	switch (in->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) {
	case TCP_SYN:
		known->is_closing |= is_reply || known->passed[0] || known->passed[1];
		break;
	case TCP_SYN | TCP_ACK:
		known->is_closing |= !is_reply || known->passed[0];
		known->passed[1] |= is_same;
		break;
	case TCP_ACK:
		known->passed[0] |= is_same && !is_reply && known->passed[1];
		break;
	default:
		known->is_closing = true;
	}
}

bool judge_step(struct judge *j, struct step *step)
{
	static struct outputs raw[EDGES];
	struct fault fault;
	struct view view;
	bool is_ip;

	j->is_one = step_whole(step, &j->whole);
	j->is_parts = view_read(&view, &step->in[0].frame) && view.fragment && j->is_one;
	run_edges(j, step, raw);
	wire_verdicts(j->verdicts);
	packets_sent += step->count;
	is_ip = view_read(&view, &j->whole);
	fault = frame_fault(&j->whole, &view, is_ip);
	if (j->is_one && view.has_ports && !view.fragment && !fault.malformed &&
	    !fault.header_sum && !fault.transport_sum)
		learn(j, step, &view, raw);
	for (int e = 0; e < EDGES; e++) {
		for (size_t i = 0; i < raw[e].count; i++)
			translate(e, FROM_EDGE, &raw[e].list[i].frame);
		outputs_copy(&j->outputs[e], &raw[e]);
	}
	if (is_ip && raw[KERNEL].count == 1) {
		struct view out;

		packets_translated += view_read(&out, &raw[KERNEL].list[0].frame) &&
				      !ends_equal(&out.ends, &view.ends);
	}
	if (differ(j, step))
		return false;
	/* May be of that connection to the one, and of another to the other. */
	if (is_ip && view.ends.proto == IPPROTO_TCP && frame_begins(&view) &&
	    is_untranslated_answer(j, &view))
		doubt(&view.ends);
	/* Netfilter takes up no connection whose first packet goes no further. */
	if (is_ip && j->verdicts[VERDICT_ANSWER_TTL]) {
		doubt(&view.ends);
		expire(&view.ends);
	}
	for (int i = 0; i < step->count && !j->is_parts; i++)
		if (view_read(&view, &step->in[i].frame) && view.has_ports)
			see(&view.ends);
	is_ip = view_read(&view, &j->whole);
	if (j->is_parts && view.has_ports)
		see(&view.ends);
	if (j->is_one && is_ip && !fault.malformed && !fault.header_sum && !fault.transport_sum &&
	    !fault.zero_udp6)
		follow(j, &view);
	return true;
}

void judge_explain(const struct judge *j, const struct step *step)
{
	static const char *const titles[] = { "the kernel's edge sent", "xfwd's edge sent" };

	printf("# %s\n", j->kind);
	for (int i = 0; i < step->count; i++) {
		struct view view;

		if (view_read(&view, &step->in[i].frame))
			printf("# %s, TCP flags %02x, ICMP type %u\n", ends_text(&view.ends),
			       view.tcp_flags, view.icmp_type);
		printf("# to %s:\n", iface_names[step->in[i].iface]);
		frame_dump("packet", &step->in[i].frame);
	}
	for (int e = 0; e < EDGES; e++)
		for (size_t i = 0; i < j->outputs[e].count; i++) {
			const struct output *output = &j->outputs[e].list[i];
			struct view view;

			printf("# out of %s: %s\n", iface_names[output->iface],
			       view_read(&view, &output->frame) ? ends_text(&view.ends) : "?");
			frame_dump(titles[e], &output->frame);
		}
	for (int v = 0; v < VERDICT_COUNT; v++)
		if (j->verdicts[v])
			printf("# xfwd counted %s: %ju\n", verdict_names[v],
			       (uintmax_t)j->verdicts[v]);
}
