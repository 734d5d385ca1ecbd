// SPDX-License-Identifier: GPL-2.0-or-later
/* What came out of the edges, pair by pair. */
#include "match.h"

#include <string.h>

#include "history.h"
#include "outputs.h"

/* Where in the datagram the one differs from the other, with one word made equal. */
static bool equal_but(const struct frame *a, const struct frame *b, size_t word, size_t sum)
{
	static struct frame copy;

	if (a->length != b->length || word + 2 > a->length || sum + 2 > a->length)
		return false;
	copy.length = b->length;
	memcpy(copy.data, b->data, b->length);
	write16(copy.data + word, read16(a->data + word));
	write16(copy.data + sum, read16(a->data + sum));
	return frame_equal(a, &copy);
}

/*
 * Do two errors say the same to the same, in whatever name? Of its own, an edge chooses TOS and id,
 * and xfwd sends it to the neighbour that it came from, where the kernel asks its routes.
 */
static bool equal_but_source(const struct frame *a, const struct frame *b, const struct view *view,
			     bool is_own)
{
	size_t at = view->ip + (view->six ? 8 : 12), length = address_length(view->six);
	static struct frame copy;

	if (!view->inner || a->length != b->length)
		return false;
	copy.length = b->length;
	memcpy(copy.data, b->data, b->length);
	memcpy(copy.data + at, a->data + at, length);
	if (view->six)
		memcpy(copy.data + view->check, a->data + view->check, 2);
	else
		memcpy(copy.data + view->ip + 10, a->data + view->ip + 10, 2);
	if (is_own)
		memcpy(copy.data, a->data, 6);
	if (!view->six && is_own) {
		copy.data[view->ip + 1] = a->data[view->ip + 1];
		memcpy(copy.data + view->ip + 4, a->data + view->ip + 4, 2);
	}
	return frame_equal(a, &copy);
}

/* Do the edges themselves answer this, as its time is exceeded? */
static bool is_own_answer(const struct step *step, const struct view *view)
{
	for (int i = 0; i < step->count; i++)
		if (step->in[i].frame.data[L2_LENGTH + (view->six ? 7 : 8)] <= 1)
			return true;
	return false;
}

/* Do two errors quote the same TCP, but for its segment size? */
static bool equal_but_segment(const struct frame *a, const struct frame *b, const struct view *view)
{
	static struct frame copy;
	struct view inner;

	if (!view_inner(&inner, a, view) || inner.ends.proto != IPPROTO_TCP ||
	    inner.end < inner.transport + 24 || a->length != b->length)
		return false;
	copy.length = b->length;
	memcpy(copy.data, b->data, b->length);
	memcpy(copy.data + inner.transport + 16, a->data + inner.transport + 16, 2);
	memcpy(copy.data + inner.transport + 22, a->data + inner.transport + 22, 2);
	return equal_but_source(a, &copy, view, true);
}

/* Is it about a connection that has another port at one of the two? */
static bool quotes_choice(const struct frame *frame, const struct view *view)
{
	struct view inner;
	struct ends back;

	if (!view_inner(&inner, frame, view))
		return false;
	back = ends_reverse(&inner.ends);
	for (size_t i = 0; i < mapping_count; i++)
		if (ends_equal(&mappings[i].said, &inner.ends) ||
		    ends_equal(&mappings[i].said, &back) ||
		    ends_equal(&mappings[i].in, &inner.ends))
			return true;
	return false;
}

/* Is it about a connection of which a port is translated, and the address beside it is not? */
static bool quotes_changed_port(struct judge *j, const struct frame *frame, const struct view *view)
{
	const struct known *known;
	struct view inner;
	bool is_reply;

	if (!view_inner(&inner, frame, view))
		return false;
	known = known_find(j, &inner.ends, &is_reply);
	for (int end = 0; known && end < 2; end++)
		if (known->in.port[end] != known->out.port[end] &&
		    !memcmp(known->in.addr[end], known->out.addr[end], 16))
			return true;
	return false;
}

/* Why these two may pass for the same; EXCUSE_COUNT where they are, -1 where they are not. */
static int pair_excuse(struct judge *j, const struct step *step, const struct frame *a,
		       const struct frame *b)
{
	static struct frame cut;
	struct view view;
	int excuse;

	if (frame_equal(a, b))
		return EXCUSE_COUNT;
	if (!view_read(&view, a))
		return -1;
	if (b->length > a->length && a->length == view.end) {
		cut.length = a->length;
		memcpy(cut.data, b->data, a->length);
		excuse = pair_excuse(j, step, a, &cut);
		return excuse == EXCUSE_COUNT ? EXCUSE_TRAILER : excuse;
	}
	for (int i = 0; i < step->count && !view.six; i++) {
		struct view in;

		if (view_read(&in, &step->in[i].frame) && in.id == view.id)
			break;
		if (equal_but(a, b, view.ip + 4, view.ip + 10))
			return EXCUSE_IP_ID;
	}
	if ((is_own_answer(step, &view) && equal_but_source(a, b, &view, true)) ||
	    (quotes_choice(a, &view) && equal_but_source(a, b, &view, false)))
		return EXCUSE_ANSWER_SOURCE;
	if (is_own_answer(step, &view) && equal_but_segment(a, b, &view))
		return EXCUSE_QUOTED_MSS;
	if (quotes_changed_port(j, a, &view) && equal_but_source(a, b, &view, false))
		return EXCUSE_ROUTER;
	if (mapping_count && view.check && equal_but(a, b, view.check, view.check)) {
		uint16_t sums[] = { read16(a->data + view.check), read16(b->data + view.check) };

		if ((!sums[0] && sums[1] == 0xffff) || (sums[0] == 0xffff && !sums[1]))
			return EXCUSE_ZERO_SUM;
	}
	return -1;
}

void outputs_match(struct judge *j, const struct step *step, struct outputs rest[EDGES])
{
	for (size_t a = 0; a < rest[KERNEL].count;) {
		int excuse = -1;

		for (size_t b = 0; b < rest[XFWD].count && excuse < 0; b++) {
			if (rest[KERNEL].list[a].iface != rest[XFWD].list[b].iface)
				continue;
			excuse = pair_excuse(j, step, &rest[KERNEL].list[a].frame,
					     &rest[XFWD].list[b].frame);
			if (excuse >= 0)
				outputs_remove(&rest[XFWD], b);
		}
		if (excuse < 0) {
			a++;
			continue;
		}
		outputs_remove(&rest[KERNEL], a);
		if (excuse < EXCUSE_COUNT)
			excuses[excuse]++;
	}
}
