/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Hashing of words, alike in the BPF programs and in user space. */
#ifndef XFWD_HASH_H
#define XFWD_HASH_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* splitmix64's finaliser: every bit of the result depends on every bit of the input. */
static __always_inline __u64 hash64(__u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* One more word into a hash that hash64() ends. */
static __always_inline __u64 hash_word(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 32);
}

#endif
