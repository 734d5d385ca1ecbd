/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Internet checksum arithmetic (RFC 1071), for incremental updates by equation 3 of RFC 1624:
 * HC' = ~(~HC + ~m + m'). A "delta" is ~m + m', so deltas of several fields simply add up. A sum
 * of up to a thousand words of 16 bits need not be folded before it is used.
 *
 * Sums are over words as they lie in memory: the ones' complement sum does not depend on byte order.
 */
#ifndef XFWD_CHECKSUM_H
#define XFWD_CHECKSUM_H

#include <bpf/bpf_endian.h>

#include "flow.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* 32-bit ones' complement addition: the carry goes round. */
static __always_inline __u32 csum_add(__u32 sum, __u32 word)
{
	sum += word;
	return sum + (sum < word);
}

/* To 16 bits, not complemented. The second step takes in the carry of the first. */
static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u16 csum_delta32(__u32 from, __u32 to)
{
	return csum_fold(csum_add(~from, to));
}

/* Of a time to live that goes down by one, the first byte of its word, whatever it was: ~0x0100. */
#define CSUM_DELTA_TTL bpf_htons(0xfeff)

/*
 * The delta of what has not changed is one of ones' complement's two zeroes. As the other, it leaves
 * every checksum as it is: one of 0xffff, too, which the sum of nothing but zeroes has.
 */
static __always_inline __u16 csum_delta_none(__u16 delta)
{
	return delta == 0xffff ? 0 : delta;
}

/* Of the ports that a tuple has, and others in their place; not folded. */
static __always_inline __u32 csum_delta_ports(const struct flow_key *from, __be16 sport,
					      __be16 dport)
{
	return (__u32)(__u16)~from->sport + sport + (__u16)~from->dport + dport;
}

/*
 * The checksum field `check` after its data changed by `delta`. The result is 0xffff only where
 * check is 0xffff and nothing changed: an IPv4 header sum of 0 comes out as 0x0000, as it must.
 */
static __always_inline __u16 csum_replace(__u16 check, __u32 delta)
{
	return ~csum_fold((__u16)~check + delta);
}

/*
 * The same for UDP over IPv4 (RFC 768): 0 says that there is no checksum and stays; a sum that
 * computes to 0 is sent as 0xffff.
 */
static __always_inline __u16 csum_replace_udp(__u16 check, __u32 delta)
{
	if (!check)
		return 0;
	check = csum_replace(check, delta);
	return check ? check : 0xffff;
}

/*
 * The pseudo header's sum (RFC 793, RFC 8200 8.1), folded, not complemented. Protocol and length in
 * network byte order.
 */
static __always_inline __u16 csum_pseudo(const struct flow_key *key, __be16 proto, __be16 length)
{
	__u64 sum = (__u64)proto + length + key->saddr[0] + key->daddr[0];

	if (key->family != FAMILY_IP4) {
		sum += (__u64)key->saddr[1] + key->saddr[2] + key->saddr[3];
		sum += (__u64)key->daddr[1] + key->daddr[2] + key->daddr[3];
	}
	return csum_fold((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32));
}

#endif
