// SPDX-License-Identifier: GPL-2.0-or-later
/* What has gone through the edges under the rules in force. */
#include "history.h"

#include <string.h>

struct choice mappings[KNOWN_MAX];
size_t mapping_count;

struct ends doubtful[DOUBTFUL_MAX];
size_t doubtful_count;

/*
 * Packets of the first direction are as said when they come in, and as the edge chose when they
 * leave; answers the other way round. `inner`: what an error is about goes the other way.
 */
static const struct ends *mapping_find(enum edge edge, enum direction direction, bool inner,
				       const struct ends *ends, struct ends *reversed)
{
	bool is_answer = inner == (direction == FROM_EDGE);
	struct ends seen = is_answer ? ends_reverse(ends) : *ends;

	for (size_t i = mapping_count; i-- > 0;) {
		const struct ends *said = &mappings[i].said, *actual = &mappings[i].actual[edge];
		const struct ends *to = direction == TO_EDGE ? actual : said;

		if (!ends_equal(direction == TO_EDGE ? said : actual, &seen))
			continue;
		*reversed = ends_reverse(to);
		return is_answer ? reversed : to;
	}
	return NULL;
}

/* Of an answer that leaves as it came. Where the edge chose what was there before, it has to. */
static const struct ends *answer_find(enum edge edge, const struct ends *ends,
				      struct ends *reversed)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < mapping_count; i++)
		if (ends_equal(&mappings[i].in, &back))
			return NULL;
	return mapping_find(edge, FROM_EDGE, true, ends, reversed);
}

/* The link-layer addresses of neighbours end as their own do. */
static void link_follows(struct frame *frame, const struct view *view, const struct ends *to)
{
	size_t last = address_length(view->six) - 1;

	if (frame->data[5] == view->ends.addr[TO][last])
		frame->data[5] = to->addr[TO][last];
}

bool translate(enum edge edge, enum direction direction, struct frame *frame)
{
	struct view view, inner;
	const struct ends *to;
	struct ends reversed, outer;

	if (!mapping_count || !view_read(&view, frame))
		return false;
	if (view_inner(&inner, frame, &view) && inner.has_ports) {
		to = mapping_find(edge, direction, true, &inner.ends, &reversed);
		if (!to)
			return false;
		frame_redirect(frame, &inner, &view, to);
		outer = view.ends;
		for (int i = 0; i < 2; i++) {
			if (!memcmp(outer.addr[i], inner.ends.addr[!i], 16))
				memcpy(outer.addr[i], to->addr[!i], 16);
		}
		link_follows(frame, &view, &outer);
		frame_redirect(frame, &view, NULL, &outer);
		return true;
	}
	to = view.has_ports ? mapping_find(edge, direction, false, &view.ends, &reversed) : NULL;
	if (!to && view.has_ports && direction == FROM_EDGE) /* an answer that was not translated */
		to = answer_find(edge, &view.ends, &reversed);
	if (!to)
		return false;
	if (direction == TO_EDGE &&
	    frame->data[11] == view.ends.addr[FROM][address_length(view.six) - 1])
		frame->data[11] = to->addr[FROM][address_length(view.six) - 1];
	link_follows(frame, &view, to);
	frame_redirect(frame, &view, NULL, to);
	return true;
}

void mapping_set(const struct ends *in, const struct ends *said, const struct ends actual[EDGES])
{
	size_t at = 0;

	while (at < mapping_count && !ends_equal(&mappings[at].said, said))
		at++;
	if (at == KNOWN_MAX)
		at = 0;
	else if (at == mapping_count)
		mapping_count++;
	mappings[at].in = *in;
	mappings[at].said = *said;
	memcpy(mappings[at].actual, actual, sizeof(mappings[at].actual));
}

struct known *known_find(struct judge *j, const struct ends *ends, bool *is_reply)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < j->known_count; i++) {
		struct known *known = &j->known[i];

		*is_reply = ends_equal(&known->out, &back);
		if (*is_reply || ends_equal(&known->in, ends))
			return known;
	}
	return NULL;
}

/* What came in, for the kernel tracks that, too. */
static struct ends seen[4 * KNOWN_MAX];
static size_t seen_count;

void see(const struct ends *ends)
{
	if (seen_count < sizeof(seen) / sizeof(seen[0]))
		seen[seen_count++] = *ends;
}

bool was_seen(const struct ends *ends)
{
	for (size_t i = 0; i < seen_count; i++)
		if (ends_equal(&seen[i], ends))
			return true;
	return false;
}

/* What came in with its last hop, and began a connection to xfwd alone. */
static struct ends expired[KNOWN_MAX];
static size_t expired_count;

void expire(const struct ends *ends)
{
	if (expired_count < KNOWN_MAX)
		expired[expired_count++] = *ends;
}

bool was_expired(uint8_t proto, uint16_t port_from)
{
	for (size_t i = 0; i < expired_count; i++)
		if (expired[i].proto == proto && expired[i].port[FROM] == port_from)
			return true;
	return false;
}

bool was_redirected(const struct ends *ends)
{
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].proto == ends->proto && seen[i].port[FROM] == ends->port[FROM] &&
		    seen[i].port[TO] == ends->port[TO] && ends->port[TO] &&
		    !memcmp(seen[i].addr[FROM], ends->addr[FROM], 16) &&
		    memcmp(seen[i].addr[TO], ends->addr[TO], 16))
			return true;
	return false;
}

void doubt(const struct ends *ends)
{
	if (doubtful_count < DOUBTFUL_MAX)
		doubtful[doubtful_count++] = *ends;
}

bool is_doubtful(const struct ends *ends)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < doubtful_count; i++)
		if (ends_equal(&doubtful[i], ends) || ends_equal(&doubtful[i], &back))
			return true;
	return false;
}

bool is_doubtful_source(const struct ends *ends)
{
	for (size_t i = 0; i < doubtful_count; i++)
		if (doubtful[i].proto == ends->proto &&
		    doubtful[i].port[FROM] == ends->port[FROM] &&
		    !memcmp(doubtful[i].addr[FROM], ends->addr[FROM], 16))
			return true;
	return false;
}

void history_clear(struct judge *j)
{
	j->known_count = 0;
	mapping_count = 0;
	doubtful_count = 0;
	seen_count = 0;
	expired_count = 0;
}
