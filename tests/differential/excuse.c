// SPDX-License-Identifier: GPL-2.0-or-later
/* Why the edges may differ in what became of a datagram. */
#include "excuse.h"

#include <string.h>

#include "choice.h"
#include "fault.h"
#include "history.h"
#include "outputs.h"

static bool counted_drop(const struct judge *j, enum verdict verdict)
{
	return j->verdicts[verdict];
}

bool is_as_known(struct judge *j, const struct view *in, const struct outputs *outputs)
{
	struct known *known;
	struct view view;
	struct ends want;
	bool is_reply;

	known = known_find(j, &in->ends, &is_reply);
	if (!known || !output_ends(outputs, &view))
		return false;
	want = is_reply ? ends_reverse(&known->in) : known->out;
	return ends_equal(&want, &view.ends);
}

static enum excuse fault_excuse(const struct judge *j, const struct fault *fault,
				const struct view *view, const struct outputs rest[EDGES])
{
	if (fault->header_sum && !j->outputs[KERNEL].count)
		return EXCUSE_WRONG_HEADER_SUM;
	if (fault->options)
		return EXCUSE_OPTIONS;
	if (fault->extension)
		return EXCUSE_EXTENSION;
	if (fault->zero_udp6)
		return EXCUSE_ZERO_UDP6;
	if (fault->malformed && !rest[XFWD].count && counted_drop(j, VERDICT_DROP_MALFORMED))
		return EXCUSE_DROPPED_MALFORMED;
	if ((fault->malformed || fault->transport_sum || fault->unsupported || fault->query) &&
	    !rest[XFWD].count && counted_drop(j, VERDICT_DROP_RULE))
		return EXCUSE_DROPPED_BY_RULE;
	if (fault->transport_sum && !counted_drop(j, VERDICT_DROP_ERROR))
		return EXCUSE_TRANSLATED_WRONG_SUM;
	if (fault->unsupported && !rest[XFWD].count && counted_drop(j, VERDICT_DROP_UNSUPPORTED))
		return EXCUSE_DROPPED_UNSUPPORTED;
	if (fault->short_dccp && !j->outputs[KERNEL].count)
		return EXCUSE_SHORT_DCCP;
	if (fault->query)
		return EXCUSE_QUERY;
	/* Netfilter knows its ports. */
	if (fault->unsupported && is_doubtful_source(&view->ends))
		return EXCUSE_FOLLOWS;
	return EXCUSE_NONE;
}

bool is_untranslated_answer(struct judge *j, const struct view *in)
{
	bool is_reply;
	struct known *known = known_find(j, &in->ends, &is_reply);

	return known && is_reply && ends_equal(&known->in, &known->out);
}

static bool is_answer(struct judge *j, const struct view *in, const struct outputs *kernel)
{
	struct ends back = ends_reverse(&in->ends);
	struct view view, inner;

	if (is_untranslated_answer(j, in))
		return true;
	if (kernel->count != 1 || !view_read(&view, &kernel->list[0].frame))
		return false;
	if (view_inner(&inner, &kernel->list[0].frame, &view))
		return ends_equal(&inner.ends, &in->ends);
	return ends_equal(&view.ends, &back);
}

/* Is it of a connection to the edge itself? */
static bool is_delivered(struct judge *j, const struct view *in)
{
	bool is_reply;
	struct known *known = known_find(j, &in->ends, &is_reply);

	return known && known->is_local && !is_reply;
}

/* Is it for somebody who is on a link by the address, and not there? Nothing comes out then. */
static bool is_for_nobody(struct judge *j, const struct view *in)
{
	const struct known *known;
	bool is_reply;

	known = known_find(j, &in->ends, &is_reply);
	return known &&
	       !wire_has_host(is_reply ? known->in.addr[FROM] : known->out.addr[TO], in->six);
}

bool is_in_turn(struct judge *j, const struct view *in)
{
	bool is_reply;

	return known_find(j, &in->ends, &is_reply) && is_reply != frame_begins(in);
}

/* A SYN from whom SYN and ACK are due, or the other way round: not tracked, its size is not lowered. */
static bool is_syn_out_of_turn(struct judge *j, const struct view *in)
{
	bool is_reply;

	return in->tcp_flags & TCP_SYN && known_find(j, &in->ends, &is_reply) &&
	       !(in->tcp_flags & TCP_ACK) == is_reply;
}

/* An error about no connection, or one that is not translated. */
static bool is_error_of_none(struct judge *j, const struct frame *frame, const struct view *view)
{
	const struct known *known;
	struct view inner;
	struct ends back;
	bool is_reply;

	if (!view_inner(&inner, frame, view))
		return false;
	back = ends_reverse(&inner.ends);
	known = known_find(j, &back, &is_reply);
	return !known || ends_equal(&known->in, &known->out);
}

/* Does the answer leave by another interface than what it answers came by? */
static bool is_asymmetric(struct judge *j, const struct view *in)
{
	bool is_inside = in->ends.addr[TO][0] == (in->six ? 0xfd : 10), is_reply;
	struct known *known = known_find(j, &in->ends, &is_reply);

	return known && is_inside != (known->from == ETH1);
}

/* Does another connection leave so, and get its answers? */
static bool is_taken(const struct judge *j, const struct ends *ends)
{
	for (size_t i = 0; i < j->known_count; i++)
		if (ends_equal(&j->known[i].out, ends) && !ends_equal(&j->known[i].in, ends))
			return true;
	return false;
}

/* As packets of a host whose address others are translated to. */
static bool leaves_as_seen(const struct outputs *outputs)
{
	struct view view;

	return outputs->count == 1 && view_read(&view, &outputs->list[0].frame) &&
	       was_seen(&view.ends);
}

/* As answers to what came before, of a protocol without ports? */
static bool leaves_as_answer(const struct outputs *outputs)
{
	struct view view;
	struct ends back;

	if (outputs->count != 1 || !view_read(&view, &outputs->list[0].frame))
		return false;
	back = ends_reverse(&view.ends);
	return view.has_ports && !view.check && !view.ends.port[FROM] && was_seen(&back);
}

/* Would its answers look like the beginning of a translated connection? */
static bool is_opposite(const struct judge *j, const struct ends *ends)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < j->known_count; i++)
		if (ends_equal(&j->known[i].in, &back) && !ends_equal(&j->known[i].out, &back))
			return true;
	return false;
}

/* Does the same source have a connection to the edge already, by another address? */
static bool is_beside_redirect(const struct judge *j, const struct ends *ends)
{
	for (size_t i = 0; i < j->known_count; i++) {
		const struct ends *other = &j->known[i].in;

		if (j->known[i].is_local && other->proto == ends->proto &&
		    other->port[FROM] == ends->port[FROM] &&
		    !memcmp(other->addr[FROM], ends->addr[FROM], 16) &&
		    memcmp(other->addr[TO], ends->addr[TO], 16))
			return true;
	}
	return was_redirected(ends);
}

static bool quotes_sctp(const struct outputs *outputs)
{
	struct view view, inner;

	for (size_t i = 0; i < outputs->count; i++)
		if (view_read(&view, &outputs->list[i].frame) &&
		    view_inner(&inner, &outputs->list[i].frame, &view) &&
		    inner.ends.proto == IPPROTO_SCTP)
			return true;
	return false;
}

static bool quotes_any(const struct outputs *outputs)
{
	struct view view;

	for (size_t i = 0; i < outputs->count; i++)
		if (view_read(&view, &outputs->list[i].frame) && view.inner)
			return true;
	return false;
}

static bool has_self(const struct outputs *outputs)
{
	struct view view;

	for (size_t i = 0; i < outputs->count; i++)
		if (view_read(&view, &outputs->list[i].frame) &&
		    !memcmp(view.ends.addr[FROM], view.ends.addr[TO], 16))
			return true;
	return false;
}

/* Was the connection, by a choice, sent to where it came from? Its two directions are alike then. */
static bool was_sent_back(const struct ends *ends)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < mapping_count; i++) {
		const struct choice *mapping = &mappings[i];

		if (!ends_equal(&mapping->said, &back) && !ends_equal(&mapping->in, ends))
			continue;
		for (int e = 0; e < EDGES; e++)
			if (!memcmp(mapping->actual[e].addr[TO], mapping->in.addr[FROM], 16))
				return true;
	}
	return false;
}

/* Does the packet leave as what would answer it? */
static bool is_mirrored(const struct view *in, const struct outputs *outputs)
{
	struct ends back = ends_reverse(&in->ends);
	struct view view;

	return outputs->count == 1 && view_read(&view, &outputs->list[0].frame) &&
	       ends_equal(&view.ends, &back) && view.tcp_flags == in->tcp_flags &&
	       view.icmp_type == in->icmp_type;
}

static bool has_doubtful(const struct outputs *outputs)
{
	struct view view;

	for (size_t i = 0; i < outputs->count; i++)
		if (view_read(&view, &outputs->list[i].frame) && is_doubtful(&view.ends))
			return true;
	return false;
}

/* Parts of a datagram, without its first? */
static bool are_later_parts(const struct outputs *outputs)
{
	struct view view;

	for (size_t i = 0; i < outputs->count; i++)
		if (!view_read(&view, &outputs->list[i].frame) || !view.offset)
			return false;
	return outputs->count;
}

static enum excuse parts_excuse(const struct outputs rest[EDGES])
{
	if (quotes_any(&rest[KERNEL]) || quotes_any(&rest[XFWD]))
		return EXCUSE_QUOTED_PART;
	return are_later_parts(&rest[XFWD]) ? EXCUSE_REST : EXCUSE_NONE;
}

static enum excuse error_excuse(struct judge *j, const struct frame *frame, const struct view *view,
				const struct outputs rest[EDGES])
{
	struct known *known;
	struct view inner;
	struct ends back;
	bool is_reply;

	if (!view_inner(&inner, frame, view))
		return EXCUSE_NONE;
	if (is_doubtful(&inner.ends))
		return EXCUSE_FOLLOWS;
	if (is_extension(&inner))
		return EXCUSE_EXTENSION;
	if (inner.end < inner.transport + 8 && counted_drop(j, VERDICT_DROP_MALFORMED))
		return EXCUSE_DROPPED_MALFORMED;
	if (inner.ends.proto == IPPROTO_SCTP)
		return EXCUSE_SCTP_QUOTE;
	if (inner.end < inner.transport + 8 && !rest[KERNEL].count &&
	    j->verdicts[VERDICT_PASS_NO_RULE])
		return EXCUSE_SHORT_QUOTE;
	if (inner.ends.proto == IPPROTO_TCP && inner.end >= inner.transport + 18 &&
	    inner.end < inner.transport + 20)
		return EXCUSE_QUOTED_SUM;
	back = ends_reverse(&inner.ends);
	known = known_find(j, &back, &is_reply);
	if (is_icmp(&inner) && (!known || known->is_local || is_reply != frame_begins(&inner)))
		return EXCUSE_TRANSLATED_ECHO;
	/* Netfilter forgets a connection that is answered with a reset. */
	return known && known->is_closing ? EXCUSE_TRANSLATED_STATE : EXCUSE_NONE;
}

enum excuse step_excuse(struct judge *j, const struct outputs rest[EDGES])
{
	const struct frame *frame = &j->whole;
	enum excuse excuse;
	struct fault fault;
	struct view view;
	bool is_ip = view_read(&view, frame), is_reply;

	fault = frame_fault(frame, &view, is_ip);
	excuse = fault_excuse(j, &fault, &view, rest);
	if (excuse != EXCUSE_NONE || !is_ip)
		return excuse;
	if (view.fragment)
		return EXCUSE_FRAGMENTS;
	excuse = j->is_parts ? parts_excuse(rest) : EXCUSE_NONE;
	if (excuse != EXCUSE_NONE)
		return excuse;
	if (view.ends.proto == (view.six ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return EXCUSE_OTHER_ICMP;
	if (view.ends.proto == IPPROTO_GRE)
		return EXCUSE_GRE;
	/* Of two without ports, the second leads nowhere, unless they go to different addresses. */
	if ((counted_drop(j, VERDICT_DROP_NO_PORT) || !rest[KERNEL].count) && mapping_count &&
	    !view.ends.port[FROM] && view.has_ports && !rest[XFWD].count != !rest[KERNEL].count)
		return EXCUSE_ADDRESS_OF_RANGE;
	if (counted_drop(j, VERDICT_DROP_NO_PORT) &&
	    was_expired(view.ends.proto, view.ends.port[FROM]))
		return EXCUSE_EXPIRED;
	if (view.ends.proto == IPPROTO_SCTP && view.chunk != SCTP_INIT &&
	    !known_find(j, &view.ends, &is_reply))
		return EXCUSE_SCTP_MIDDLE;
	if (quotes_sctp(&rest[KERNEL]))
		return EXCUSE_SCTP_QUOTE;
	if (is_taken(j, &view.ends) || is_opposite(j, &view.ends) ||
	    (!rest[KERNEL].count && leaves_as_seen(&rest[XFWD])))
		return EXCUSE_PORT_CLASH;
	if (!rest[KERNEL].count && leaves_as_answer(&rest[XFWD]))
		return EXCUSE_OWN_PEER;
	if (is_beside_redirect(j, &view.ends))
		return EXCUSE_BESIDE_REDIRECT;
	if (has_self(&rest[KERNEL]) || has_self(&rest[XFWD]) || was_sent_back(&view.ends) ||
	    is_mirrored(&view, &rest[KERNEL]))
		return EXCUSE_SELF;
	if (j->verdicts[VERDICT_DROP_UNSOLICITED] && !rest[XFWD].count)
		return EXCUSE_UNSOLICITED;
	if (is_doubtful(&view.ends) || has_doubtful(&rest[KERNEL]) || has_doubtful(&rest[XFWD]))
		return EXCUSE_FOLLOWS;
	if (!known_find(j, &view.ends, &is_reply) && !frame_begins(&view) && !view.inner &&
	    !rest[XFWD].count) {
		if (counted_drop(j, VERDICT_DROP_STRAY))
			return EXCUSE_DROPPED_STRAY;
		if (counted_drop(j, VERDICT_DROP_RULE))
			return EXCUSE_DROPPED_BY_RULE;
	}
	if (frame_begins(&view) && choice_decides(rest))
		return EXCUSE_PORT_OF_RANGE;
	if (counted_drop(j, VERDICT_DROP_UNSOLICITED) && !rest[XFWD].count)
		return EXCUSE_SILENT;
	if (counted_drop(j, VERDICT_DROP_RULE) && !rest[XFWD].count &&
	    is_answer(j, &view, &rest[KERNEL]))
		return EXCUSE_DROPPED_ANSWER;
	excuse = error_excuse(j, frame, &view, rest);
	if (excuse != EXCUSE_NONE)
		return excuse;
	if (!rest[XFWD].count && is_error_of_none(j, frame, &view) &&
	    (counted_drop(j, VERDICT_DROP_STRAY) || counted_drop(j, VERDICT_DROP_RULE)))
		return EXCUSE_DROPPED_ERROR;
	if (is_untranslated_answer(j, &view) && view.ends.proto == IPPROTO_TCP &&
	    frame_begins(&view))
		return EXCUSE_OPENS_AGAIN;
	if (is_untranslated_answer(j, &view) && is_asymmetric(j, &view))
		return EXCUSE_ASYMMETRIC;
	if (is_icmp(&view) && view.has_ports && !is_in_turn(j, &view))
		return EXCUSE_TRANSLATED_ECHO;
	if (view.ends.proto != IPPROTO_TCP && view.ends.proto != IPPROTO_SCTP)
		return EXCUSE_NONE;
	if (is_as_known(j, &view, &j->outputs[XFWD]) &&
	    (!is_as_known(j, &view, &j->outputs[KERNEL]) || is_syn_out_of_turn(j, &view)))
		return EXCUSE_TRANSLATED_STATE;
	if (known_find(j, &view.ends, &is_reply) && j->verdicts[VERDICT_ANSWER_TTL])
		return EXCUSE_TRANSLATED_STATE;
	if (is_delivered(j, &view) && j->verdicts[VERDICT_DELIVER])
		return EXCUSE_TRANSLATED_STATE;
	if (is_for_nobody(j, &view) && !is_as_known(j, &view, &j->outputs[KERNEL]) &&
	    !rest[XFWD].count && j->verdicts[VERDICT_FORWARD])
		return EXCUSE_TRANSLATED_STATE;
	return EXCUSE_NONE;
}

bool known_is_steady(const struct known *known)
{
	return !known->is_local && known->passed[0] && known->passed[1] && !known->is_closing &&
	       !known->is_doubtful;
}

enum excuse burst_excuse(struct judge *j, const struct step *step)
{
	struct view view;
	bool is_reply;

	for (int i = 0; i < step->count; i++) {
		const struct known *known;

		if (!view_read(&view, &step->in[i].frame))
			return EXCUSE_FOLLOWS;
		known = known_find(j, &view.ends, &is_reply);
		if (!known || !known_is_steady(known))
			return EXCUSE_FOLLOWS;
	}
	return EXCUSE_NONE;
}
