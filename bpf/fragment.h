/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments: the ports of the first, remembered for those that follow it; and those that came before
 * it, held until it is there (RFC 4787 R14).
 */
#ifndef XFWD_FRAGMENT_H
#define XFWD_FRAGMENT_H

#include "flow_table.h"

/* RFC 1122 3.3.2 keeps fragments for 60 to 120 seconds; Linux for 30. */
#define FRAGMENT_SECONDS 30

static __always_inline void fragment_key(struct __sk_buff *skb, const struct request *r,
					 struct fragment_key *key)
{
	const struct packet *p = &r->p;
	__be16 id = 0;

	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->saddr, p->tuple.saddr, sizeof(key->saddr));
	__builtin_memcpy(key->daddr, p->tuple.daddr, sizeof(key->daddr));
	if (packet_is_ip4(p))
		bpf_skb_load_bytes(skb, p->l3_offset + __builtin_offsetof(struct iphdr, id), &id,
				   sizeof(id));
	key->id = packet_is_ip4(p) ? id : r->fragment_id;
	key->proto = packet_is_ip4(p) ? p->tuple.proto : 0;
	key->family = p->tuple.family;
}

/* What a frame held, or to be held, takes: off the stack. */
struct fragment_room {
	struct held_key key;
	struct fragment fragment;
	struct held held;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fragment_room);
} fragment_rooms SEC(".maps");

static __always_inline struct fragment_room *fragment_room(struct __sk_buff *skb,
							   const struct request *r)
{
	struct fragment_room *room;
	__u32 zero = 0;

	room = bpf_map_lookup_elem(&fragment_rooms, &zero);
	if (!room)
		return NULL;
	fragment_key(skb, r, &room->key.datagram);
	room->key.number = 0;
	return room;
}

/*
 * The datagram's entry, while it is not too old. What comes in once all of it has passed is of another
 * with the same id: IPv4's is of 16 bits (RFC 4963). What leaves may have come in before.
 */
static __always_inline struct fragment *fragment_find(const struct request *r,
						      const struct fragment_room *room)
{
	struct fragment *known = bpf_map_lookup_elem(&fragments, &room->key.datagram);

	if (!known || packet_now(&r->p) - known->seen > FRAGMENT_SECONDS * r->hz)
		return NULL;
	return known->missing || r->p.hook == HOOK_TC_EGRESS ? known : NULL;
}

/* Of the datagram: what its first fragment says, and where it was for if that was changed here. */
static __always_inline int fragment_note(const struct request *r, struct fragment_room *room,
					 __be32 daddr)
{
	__builtin_memset(&room->fragment, 0, sizeof(room->fragment));
	room->fragment.sport = r->p.tuple.sport;
	room->fragment.dport = r->p.tuple.dport;
	room->fragment.seen = packet_now(&r->p);
	room->fragment.daddr = daddr;
	room->fragment.proto = r->p.tuple.proto;
	room->fragment.hook = r->p.hook;
	room->fragment.ifindex = r->p.ifindex;
	room->fragment.missing = -packet_l4_length(&r->p);
	room->fragment.has_ports = !!(r->p.shape & PACKET_PORTS);
	return bpf_map_update_elem(&fragments, &room->key.datagram, &room->fragment, BPF_ANY);
}

/* The same to a later one. Without ports it goes on like the first, which had none. */
static __always_inline void fragment_tell(struct request *r, const struct fragment *known)
{
	r->p.tuple.proto = known->proto;
	if (!known->has_ports)
		return;
	r->p.tuple.sport = known->sport;
	r->p.tuple.dport = known->dport;
	r->p.shape |= PACKET_PORTS;
}

/*
 * A later fragment: with the last to pass, in whatever order, nothing is missing. The last in the
 * datagram begins where the bytes of all others end, so it adds what they take away. They are counted
 * in one place alone, which is where the first was seen last: a bridge and its port see the same ones,
 * and so do both hooks. What is seen of it after that, at the other hook or twice, changes nothing.
 */
static __always_inline void fragment_count(struct __sk_buff *skb, const struct request *r,
					   struct fragment *known)
{
	const struct packet *p = &r->p;
	__be16 word;
	__u32 by;

	if (!packet_is_ip4(p) || !known->missing || known->hook != p->hook ||
	    known->ifindex != p->ifindex ||
	    bpf_skb_load_bytes(skb, p->l3_offset + __builtin_offsetof(struct iphdr, frag_off),
			       &word, sizeof(word)))
		return;
	by = word & bpf_htons(IP_MF) ? -packet_l4_length(p) : (bpf_ntohs(word) & IP_OFFSET) * 8U;
	__sync_fetch_and_add(&known->missing, by);
}

/* Keeps a frame that came too soon. VERDICT_HELD, or VERDICT_CONTINUE where there is no room for it. */
static __always_inline enum verdict fragment_hold(struct __sk_buff *skb, const struct request *r,
						  struct fragment_room *room)
{
	__u32 length = skb->len;

	if (r->p.l3_offset != ETH_HLEN || !length_is_within(&length, ETH_HLEN, HELD_FRAME) ||
	    bpf_skb_load_bytes(skb, 0, room->held.frame, length))
		return VERDICT_CONTINUE;
	room->held.seen = packet_now(&r->p);
	room->held.length = length;
	for (int i = 0; i < XFWD_HELD_OF_ONE; i++) {
		room->key.number = i;
		if (!bpf_map_update_elem(&held_fragments, &room->key, &room->held, BPF_NOEXIST))
			return VERDICT_HELD;
	}
	return VERDICT_CONTINUE;
}

/* One frame that waited comes in again, in the place of the packet. 1: there are no more. */
static __always_inline int fragment_release_one(struct __sk_buff *skb, struct fragment_room *room)
{
	const struct held *held = bpf_map_lookup_elem(&held_fragments, &room->key);
	__u32 length;
	int err;

	if (!held)
		return 1;
	length = held->length;
	if (!length_is_within(&length, ETH_HLEN, HELD_FRAME))
		return 1;
	err = bpf_skb_change_tail(skb, length, 0);
	if (!err)
		err = bpf_skb_store_bytes(skb, 0, held->frame, length, 0);
	bpf_map_delete_elem(&held_fragments, &room->key);
	if (!err)
		bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	return 0;
}

/* A first fragment that others waited for: it comes in again, and they behind it. */
static __always_inline enum verdict fragment_release(struct __sk_buff *skb,
						     struct fragment_room *room)
{
	if (!bpf_map_lookup_elem(&held_fragments, &room->key))
		return VERDICT_CONTINUE;
	bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	for (int i = 0; i < XFWD_HELD_OF_ONE; i++) {
		room->key.number = i;
		if (fragment_release_one(skb, room))
			break;
	}
	return VERDICT_RELEASED;
}

/*
 * Remembers a first fragment's ports, or gives a later one those of its datagram. VERDICT_CONTINUE:
 * what is to be known is in the request.
 */
__attribute__((noinline)) int fragment_admit(struct __sk_buff *skb)
{
	struct request *r = request_get();
	struct fragment_room *room;
	struct fragment *known;

	if (!r)
		return VERDICT_DROP_ERROR;
	room = fragment_room(skb, r);
	if (!room)
		return VERDICT_DROP_ERROR;
	if (!(r->p.shape & PACKET_NO_L4)) {
		fragment_note(r, room, 0);
		return r->p.hook == HOOK_TC_INGRESS ? fragment_release(skb, room)
						    : VERDICT_CONTINUE;
	}
	known = fragment_find(r, room);
	if (!known)
		return r->p.hook == HOOK_TC_INGRESS ? fragment_hold(skb, r, room)
						    : VERDICT_CONTINUE;
	fragment_tell(r, known);
	fragment_count(skb, r, known);
	return VERDICT_CONTINUE;
}

/*
 * A datagram that is too long for its path is fragmented by the stack, between the two halves of its
 * translation: coming in it gets its new destination address, that the stack may route it; going
 * out, the rest is done to each fragment. Here it is noted what the destination was.
 */
__attribute__((noinline)) int fragment_note_half(struct __sk_buff *skb, __be32 new_daddr)
{
	struct request *r = request_get();
	struct fragment_room *room;

	if (!r)
		return -1;
	room = fragment_room(skb, r);
	if (!room)
		return -1;
	room->key.datagram.daddr[0] = new_daddr;
	return fragment_note(r, room, r->p.tuple.daddr[0]);
}

/* Going out: the tuple as it came in. 0, or -1 where nothing is known of it. */
__attribute__((noinline)) int fragment_recall_half(struct __sk_buff *skb)
{
	struct request *r = request_get();
	struct fragment_room *room;
	struct fragment *known;

	if (!r)
		return -1;
	room = fragment_room(skb, r);
	if (!room)
		return -1;
	known = fragment_find(r, room);
	if (!known || !known->daddr)
		return -1;
	r->p.tuple.daddr[0] = known->daddr;
	fragment_tell(r, known);
	return 0;
}

#endif
