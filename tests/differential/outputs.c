// SPDX-License-Identifier: GPL-2.0-or-later
/* Lists of frames, and datagrams out of their parts. */
#include "outputs.h"

#include <string.h>

#include "packet.h"

void outputs_copy(struct outputs *to, const struct outputs *from)
{
	to->count = from->count;
	for (size_t i = 0; i < from->count; i++)
		to->list[i] = from->list[i];
}

void outputs_remove(struct outputs *outputs, size_t at)
{
	outputs->count--;
	for (; at < outputs->count; at++) {
		outputs->list[at].iface = outputs->list[at + 1].iface;
		outputs->list[at].frame = outputs->list[at + 1].frame;
	}
}

/* Is it the part that comes next, of the same datagram and by the same way? */
static bool follows(const struct output *part, const struct output *first, const struct view *head,
		    size_t reached, struct view *view)
{
	return part->iface == first->iface && view_read(view, &part->frame) && view->fragment &&
	       view->id == head->id && view->ends.proto == head->ends.proto &&
	       view->offset == reached &&
	       !memcmp(view->ends.addr, head->ends.addr, sizeof(view->ends.addr));
}

/* The header of a datagram that is whole now; false: what an extension header says is not known. */
static bool head_write(struct frame *whole, const struct view *head, size_t length)
{
	uint8_t *ip = whole->data + head->ip, *transport = whole->data + head->transport;

	if (head->six && head->transport != head->ip + 48)
		return false;
	whole->length = head->transport + length;
	if (head->six) {
		ip[6] = transport[-8];
		write16(ip + 4, length);
		memmove(transport - 8, transport, length);
		whole->length -= 8;
	} else {
		write16(ip + 2, whole->length - head->ip);
		write16(ip + 6, 0);
		packet_sum_header(whole, head->ip);
	}
	return true;
}

/* The parts of one datagram, put together. */
static bool join(const struct outputs *outputs, const struct output *first, struct frame *whole,
		 bool used[OUTPUT_MAX])
{
	struct view head, view;
	size_t reached = 0;
	bool is_last = false;

	if (!view_read(&head, &first->frame) || !head.fragment || head.offset)
		return false;
	*whole = first->frame;
	for (bool found = true; found && !is_last;) {
		found = false;
		for (size_t i = 0; i < outputs->count && !is_last; i++) {
			const struct output *part = &outputs->list[i];

			if (used[i] || !follows(part, first, &head, reached, &view))
				continue;
			memcpy(whole->data + head.transport + reached,
			       part->frame.data + view.transport, view.end - view.transport);
			reached += view.end - view.transport;
			used[i] = found = true;
			is_last = !view.more;
		}
	}
	return is_last && head_write(whole, &head, reached);
}

void outputs_join(struct outputs *outputs)
{
	static struct outputs joined;

	joined.count = 0;
	for (size_t i = 0; i < outputs->count; i++) {
		bool used[OUTPUT_MAX] = { false };
		struct output *to = &joined.list[joined.count];

		if (!join(outputs, &outputs->list[i], &to->frame, used))
			continue;
		to->iface = outputs->list[i].iface;
		joined.count++;
		for (size_t n = OUTPUT_MAX; n-- > 0;)
			if (used[n])
				outputs_remove(outputs, n);
		i = -1;
	}
	for (size_t i = 0; i < joined.count; i++)
		outputs->list[outputs->count++] = joined.list[i];
}

bool step_whole(const struct step *step, struct frame *whole)
{
	static struct outputs parts;

	parts.count = step->count;
	for (int i = 0; i < step->count; i++) {
		parts.list[i].iface = step->in[i].iface;
		parts.list[i].frame = step->in[i].frame;
	}
	outputs_join(&parts);
	*whole = parts.list[0].frame;
	return parts.count == 1;
}

bool output_ends(const struct outputs *outputs, struct view *view)
{
	return outputs->count == 1 && view_read(view, &outputs->list[0].frame) && view->has_ports &&
	       !view->fragment;
}
