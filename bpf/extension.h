/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The chain of IPv6 extension headers (RFC 8200 4). tc only: XDP leaves packets that have any. */
#ifndef XFWD_EXTENSION_H
#define XFWD_EXTENSION_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define EXTENSION_HOP_BY_HOP     0
#define EXTENSION_ROUTING        43
#define EXTENSION_FRAGMENT       44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION    60
#define EXTENSION_MOBILITY       135

/* More than any sane packet has, and farther. All ones: it serves as a mask. */
#define EXTENSIONS_MAX           8
#define EXTENSIONS_OFFSET_MAX    511

/* The fragment header's offset, and what else that word has. */
#define IP6_OFFSET               0xfff8
#define IP6_MORE                 0x0001

struct extensions {
	__u32 offset; /* in: of the first header; out: of the transport header */
	__be32 id; /* of the datagram, where there is a fragment header */
	__be16 fragment; /* offset and flag as they stand there, 0: the datagram is whole */
	__u8 next; /* in: the first header's type; out: the transport protocol */
	__u8 pad;
};

static __always_inline int extension_is(__u8 type)
{
	return type == EXTENSION_HOP_BY_HOP || type == EXTENSION_ROUTING ||
	       type == EXTENSION_FRAGMENT || type == EXTENSION_AUTHENTICATION ||
	       type == EXTENSION_DESTINATION || type == EXTENSION_MOBILITY;
}

/* In bytes, from what the header's second byte says. */
static __always_inline __u32 extension_length(__u8 type, __u8 units)
{
	if (type == EXTENSION_FRAGMENT)
		return 8;
	return type == EXTENSION_AUTHENTICATION ? 4 * (units + 2U) : 8 * (units + 1U);
}

/* 0; -1 where the chain is cut short or too long. A function of its own to the verifier. */
__attribute__((noinline)) int extensions_read(struct __sk_buff *skb, struct extensions *x)
{
	__u8 header[8];

	if (!x)
		return -1;
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		__u32 offset = x->offset & 0xffff;

		if (!extension_is(x->next))
			return offset <= EXTENSIONS_OFFSET_MAX ? 0 : -1;
		if (bpf_skb_load_bytes(skb, offset, header, sizeof(header)))
			return -1;
		x->offset = offset + extension_length(x->next, header[1]);
		if (x->next == EXTENSION_FRAGMENT) {
			__builtin_memcpy(&x->fragment, header + 2, sizeof(x->fragment));
			__builtin_memcpy(&x->id, header + 4, sizeof(x->id));
			x->fragment &= bpf_htons(IP6_OFFSET | IP6_MORE);
		}
		x->next = header[0];
		if (x->fragment & bpf_htons(IP6_OFFSET))
			return x->offset <= EXTENSIONS_OFFSET_MAX ? 0 : -1;
	}
	return -1;
}

#endif
