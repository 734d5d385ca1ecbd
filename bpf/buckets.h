/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Entries of the flow table: finding, adding and removing them by their keys. bucket.h of the public
 * headers says how they lie there.
 */
#ifndef XFWD_BUCKETS_H
#define XFWD_BUCKETS_H

#include "known_ports.h"
#include "maps.h"
#include "request.h"

static __always_inline struct flow_bucket4 *bucket4_at(__u32 at)
{
	return bpf_map_lookup_elem(&flows4, &at);
}

static __always_inline struct flow_bucket6 *bucket6_at(__u32 at)
{
	void *table = late_map(&flows6);

	return table ? bpf_map_lookup_elem(table, &at) : NULL;
}

/* What both families' buckets begin with. */
static __always_inline __u32 *bucket_tag(enum family family, __u32 at)
{
	if (family == FAMILY_IP4)
		return (__u32 *)bucket4_at(at);
	return (__u32 *)bucket6_at(at);
}

/* Of a bucket that is there. */
static __always_inline struct flow *bucket_flow(enum family family, void *tag)
{
	barrier_var(tag); /* or clang reckons first and asks whether it is there afterwards */
	if (family == FAMILY_IP4)
		return &((struct flow_bucket4 *)tag)->entry.flow;
	return &((struct flow_bucket6 *)tag)->entry.flow;
}

static __always_inline int bucket_is(enum family family, const void *tag,
				     const struct flow_key *key)
{
	return family == FAMILY_IP4 ? bucket4_is(tag, key) : bucket6_is(tag, key);
}

/* ---- finding ---- */

#define BUCKET_NONE (-1)

/*
 * Rows of neighbours are gone through a few at a time, in functions of their own: few packets come
 * here, and so the verifier looks at one step's loop and at the loop of steps, not at their product.
 */
#define BUCKET_STEP 8

/* One step of a search for r->sought, from so far behind r->home: how far it is, or BUCKET_NONE. */
static __always_inline int bucket_seek_step(enum family family, __u32 from, __u32 reach)
{
	const struct request *r = request_get();
	const __u32 *tag;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; r && i < BUCKET_STEP && from + i <= reach; i++) {
		tag = bucket_tag(family, r->home + from + i);
		if (tag && bucket_is(family, tag, &r->sought))
			return from + i;
	}
	return BUCKET_NONE;
}

__attribute__((noinline)) int bucket4_seek_step(__u32 from, __u32 reach)
{
	return bucket_seek_step(FAMILY_IP4, from, reach);
}

__attribute__((noinline)) int bucket6_seek_step(__u32 from, __u32 reach)
{
	return bucket_seek_step(FAMILY_IP6, from, reach);
}

/* How far behind r->home the bucket is that has r->sought, or BUCKET_NONE. */
static __always_inline int bucket_seek(enum family family, __u32 reach)
{
	int at = BUCKET_NONE;

#pragma clang loop unroll(disable)
	for (__u32 i = 1; i <= BUCKET_REACH_MAX && i <= reach && at < 0; i += BUCKET_STEP)
		at = family == FAMILY_IP4 ? bucket4_seek_step(i, reach)
					  : bucket6_seek_step(i, reach);
	return at;
}

/* The bucket behind r->home, or there, that has r->sought; or BUCKET_NONE. */
static __always_inline int bucket_find_of(enum family family, const struct request *r)
{
	const __u32 *tag = bucket_tag(family, r->home);
	int behind;

	if (!tag)
		return BUCKET_NONE;
	if (bucket_is(family, tag, &r->sought))
		return r->home;
	behind = bucket_seek(family, BUCKET_REACH(*tag));
	return behind < 0 ? BUCKET_NONE : (int)r->home + behind;
}

/* Sets r->home for r->sought. 0: done. */
__attribute__((noinline)) int bucket_home(void)
{
	struct request *r = request_get();

	if (!r)
		return -ENOENT;
	r->home = flow_home(&r->sought, settings.secret, settings.flow_max);
	return 0;
}

/*
 * Which bucket has r->sought, or BUCKET_NONE; sets r->home. One function for all but known flows'
 * packets: what a program is longer by, the kernel takes longer to load it, and the more so as it grows.
 */
__attribute__((noinline)) int bucket_find(void)
{
	struct request *r = request_get();

	if (!r || bucket_home())
		return BUCKET_NONE;
	return r->sought.family == FAMILY_IP4 ? bucket_find_of(FAMILY_IP4, r)
					      : bucket_find_of(FAMILY_IP6, r);
}

/* The same for a key that is in registers, and need not leave them unless there is a long search. */
static __always_inline void *bucket_find_near(enum family family, const struct flow_key *key)
{
	__u32 home = flow_home(key, settings.secret, settings.flow_max), reach, *tag;
	struct request *r;
	int at;

	tag = bucket_tag(family, home);
	if (!tag || likely(bucket_is(family, tag, key)))
		return tag;
	reach = BUCKET_REACH(*tag);
	if (!reach)
		return NULL;
	tag = bucket_tag(family, home + 1);
	if (!tag || bucket_is(family, tag, key))
		return tag;
	r = reach > 1 ? request_get() : NULL;
	if (!r)
		return NULL;
	request_tuple(&r->sought, key);
	at = bucket_find();
	return at < 0 ? NULL : bucket_tag(family, at);
}

/* ---- adding ---- */

/* A microsecond or two, for another CPU to be done with something. */
__attribute__((noinline)) int pause(void)
{
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < 64; i++)
		bpf_ktime_get_ns();
	return i;
}

#define LOCK_TRIES  8
#define LOCK_ROUNDS 64 /* of so many tries and a pause: a hundred microseconds */

/* 0, or -EBUSY. */
__attribute__((noinline)) int bucket_lock_try(__u32 family, __u32 home)
{
	__u32 *tag = bucket_tag(family, home);

#pragma clang loop unroll(disable)
	for (int i = 0; i < LOCK_TRIES && tag; i++)
		if (!(*(volatile __u32 *)tag & BUCKET_LOCKED) &&
		    !(__sync_fetch_and_or(tag, BUCKET_LOCKED) & BUCKET_LOCKED))
			return 0;
	return -EBUSY;
}

/*
 * Locks r->home, for bucket_add(). 0, or -EBUSY: a holder takes a fraction of a microsecond, and an
 * interrupt may come in between; longer it takes only if its CPU, a virtual one, was taken away.
 */
__attribute__((noinline)) int bucket_lock(void)
{
	const struct request *r = request_get();

#pragma clang loop unroll(disable)
	for (int i = 0; i < LOCK_ROUNDS && r; i++) {
		if (!bucket_lock_try(r->sought.family, r->home))
			return 0;
		pause();
	}
	return -EBUSY;
}

/*
 * What was written before is seen by those who see this. The result is asked for, as an addition
 * without it is one that arm64 does not order.
 */
static __always_inline void bucket_change(__u32 *tag, __u32 by)
{
	__u32 before = __sync_fetch_and_add(tag, by);

	barrier_var(before);
}

static __always_inline void bucket_unlock(__u32 *tag)
{
	bucket_change(tag, -BUCKET_LOCKED);
}

/*
 * Takes a bucket where nothing is, nor has been a moment ago: two jiffies, or one ahead, of a CPU that
 * has read the clock later. 1: it is taken.
 */
static __always_inline int bucket_take(enum family family, __u32 *tag, __u32 now)
{
	const struct flow *last = bucket_flow(family, tag);
	__u32 old = *(volatile __u32 *)tag;

	if (old & BUCKET_TAKEN || (last->used && now + 1 - last->used < 3))
		return 0;
	return __sync_val_compare_and_swap(tag, old, old | BUCKET_TAKEN) == old;
}

static __always_inline void bucket_give_back(__u32 *tag)
{
	bucket_change(tag, -BUCKET_TAKEN);
}

static __always_inline int bucket_choose_step(enum family family, __u32 from)
{
	const struct request *r = request_get();
	__u32 now = (__u32)bpf_jiffies64(), *tag;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; r && i < BUCKET_STEP; i++) {
		tag = bucket_tag(family, r->home + from + i);
		if (tag && bucket_take(family, tag, now))
			return from + i;
	}
	return BUCKET_NONE;
}

__attribute__((noinline)) int bucket4_choose_step(__u32 from)
{
	return bucket_choose_step(FAMILY_IP4, from);
}

__attribute__((noinline)) int bucket6_choose_step(__u32 from)
{
	return bucket_choose_step(FAMILY_IP6, from);
}

/* Takes the nearest bucket that may be had. How far from r->home, or BUCKET_NONE. */
static __always_inline int bucket_choose(enum family family)
{
	int at = BUCKET_NONE;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i <= BUCKET_REACH_MAX && at < 0; i += BUCKET_STEP)
		at = family == FAMILY_IP4 ? bucket4_choose_step(i) : bucket6_choose_step(i);
	return at;
}

/* A taken bucket is filled; then it can be found. Only who has taken it changes the bits that do so. */
static __always_inline void bucket_fill(enum family family, void *tag, const struct request *r)
{
	__u32 before = *(__u32 *)tag & BUCKET_PROTO;
	const struct flow_key *key = &r->sought;
	struct flow_bucket4 *b4 = tag;
	struct flow_bucket6 *b6 = tag;

	if (family == FAMILY_IP4) {
		b4->saddr = key->saddr[0];
		b4->daddr = key->daddr[0];
		b4->sport = key->sport;
		b4->dport = key->dport;
		b4->entry = r->entry.flow4;
	} else {
		__builtin_memcpy(b6->saddr, key->saddr, sizeof(b6->saddr));
		__builtin_memcpy(b6->daddr, key->daddr, sizeof(b6->daddr));
		b6->sport = key->sport;
		b6->dport = key->dport;
		b6->entry = r->entry.flow6;
	}
	bucket_change(tag, BUCKET_LIVE + key->proto - before);
}

/* Behind r->home, which is locked. 0, -EEXIST or -E2BIG. */
static __always_inline int bucket_add_of(enum family family, const struct request *r)
{
	__u32 *at_home = bucket_tag(family, r->home), reach, *tag;
	int behind;

	if (!at_home)
		return -E2BIG;
	reach = BUCKET_REACH(*at_home);
	if (bucket_is(family, at_home, &r->sought) || bucket_seek(family, reach) > 0)
		return -EEXIST;
	behind = bucket_choose(family);
	tag = behind < 0 ? NULL : bucket_tag(family, r->home + behind);
	if (!tag)
		return -E2BIG;
	bucket_fill(family, tag, r);
	if ((__u32)behind > reach)
		bucket_change(at_home, (behind - reach) * BUCKET_REACH_ONE);
	return 0;
}

/*
 * Adds r->entry under r->sought, behind r->home, which is locked and will not be any more. 0, -EEXIST
 * where there is one, or -E2BIG where there is no room.
 */
__attribute__((noinline)) int bucket_add(void)
{
	const struct request *r = request_get();
	__u32 *at_home;
	int err;

	if (!r)
		return -E2BIG;
	flow_ports_note(&r->sought);
	err = r->sought.family == FAMILY_IP4 ? bucket_add_of(FAMILY_IP4, r)
					     : bucket_add_of(FAMILY_IP6, r);
	at_home = bucket_tag(r->sought.family, r->home);
	if (at_home)
		bucket_unlock(at_home);
	return err;
}

/* Sets r->sought and r->home, and has the home brought here while there is other work to do. */
static __always_inline void bucket_seek_soon(struct request *r, const struct flow_key *key)
{
	const volatile __u32 *tag;

	r->sought = *key;
	tag = bucket_home() ? NULL : bucket_tag(r->sought.family, r->home);
	if (tag)
		*tag;
}

/* ---- removing ---- */

/* Is it an entry that has its home there? */
static __always_inline int bucket_is_of(enum family family, const __u32 *tag, __u32 home)
{
	struct flow_key key;

	if (!(*tag & BUCKET_LIVE))
		return 0;
	if (family == FAMILY_IP4)
		bucket4_key((const void *)tag, &key);
	else
		bucket6_key((const void *)tag, &key);
	return flow_home(&key, settings.secret, settings.flow_max) == home;
}

/* Goes back from there to the last entry of r->home: how far behind it is, as far as this step sees. */
static __always_inline int bucket_reach_step(enum family family, __u32 reach)
{
	const struct request *r = request_get();
	const __u32 *tag;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; r && i < BUCKET_STEP && reach; i++) {
		tag = bucket_tag(family, r->home + reach);
		if (tag && bucket_is_of(family, tag, r->home))
			break;
		reach--;
	}
	return reach;
}

__attribute__((noinline)) int bucket4_reach_step(__u32 reach)
{
	return bucket_reach_step(FAMILY_IP4, reach);
}

__attribute__((noinline)) int bucket6_reach_step(__u32 reach)
{
	return bucket_reach_step(FAMILY_IP6, reach);
}

/*
 * An entry of r->home has gone: if it was the last, the next before it is that now. One step is
 * enough: a reach that stays too long costs those who look a little time, until another one goes.
 */
static __always_inline void bucket_draw_in(enum family family, const struct request *r,
					   __u32 *at_home)
{
	__u32 before, reach;

	if (bucket_lock_try(family, r->home))
		return;
	before = BUCKET_REACH(*at_home);
	reach = family == FAMILY_IP4 ? bucket4_reach_step(before) : bucket6_reach_step(before);
	if (reach < before)
		bucket_change(at_home, (reach - before) * BUCKET_REACH_ONE);
	bucket_unlock(at_home);
}

static __always_inline int bucket_remove_of(enum family family, struct request *r)
{
	__u32 *at_home = bucket_tag(family, r->home), *tag, now;
	int at = bucket_find_of(family, r);

	tag = at < 0 ? NULL : bucket_tag(family, at);
	if (!at_home || !tag || !(__sync_fetch_and_and(tag, ~BUCKET_LIVE) & BUCKET_LIVE))
		return -ENOENT;
	now = (__u32)bpf_jiffies64();
	bucket_flow(family, tag)->used = now ? now : ~0U; /* 0: nothing was ever there */
	bucket_give_back(tag);
	if (BUCKET_REACH(*at_home))
		bucket_draw_in(family, r, at_home);
	return 0;
}

/* Removes what is under r->sought. 0, or -ENOENT: there was nothing, or somebody else has removed it. */
__attribute__((noinline)) int bucket_remove(void)
{
	struct request *r = request_get();

	if (!r || bucket_home())
		return -ENOENT;
	return r->sought.family == FAMILY_IP4 ? bucket_remove_of(FAMILY_IP4, r)
					      : bucket_remove_of(FAMILY_IP6, r);
}

#endif
