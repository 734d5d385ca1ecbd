/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The benchmark's packets: what the generator sends and what the counter expects of them.
 *
 * Flow number k has one source port of 16384, and one of the addresses and ports that are forwarded
 * (a "slot"). No two flows have the same source port towards the same slot, so a translator that
 * hides the clients behind one address need not change any port.
 */
#ifndef XFWD_BENCH_FRAMES_H
#define XFWD_BENCH_FRAMES_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define FRAMES_MAGIC       0x78667764
#define FRAMES_PORT_BITS   14
#define FRAMES_PORTS       (1 << FRAMES_PORT_BITS)
#define FRAMES_SOURCE_PORT 16384 /* + k % FRAMES_PORTS */
#define FRAMES_PUBLIC_PORT 16384 /* + slot % FRAMES_PORTS */
#define FRAMES_TARGET_PORT 40960 /* the same */
#define FRAMES_LOCAL_PORT  9
#define FRAMES_SOURCE      0xc6120001 /* 198.18.0.1 + k / FRAMES_PORTS */
#define FRAMES_PUBLIC      0xc6336401 /* 198.51.100.1 + slot / FRAMES_PORTS */
#define FRAMES_TARGET      0x0a000002 /* 10.0.0.2, the same */
#define FRAMES_EDGE        0x0a000001 /* 10.0.0.1: what the clients are hidden behind */
#define FRAMES_TTL         64

enum frames_kind {
	FRAMES_TRANSLATED, /* to the public address; arrives from the edge at the target */
	FRAMES_ROUTED, /* to the target itself; arrives as it was sent */
	FRAMES_LOCAL, /* to a port of the edge's own, which nothing forwards */
};

struct frames_config {
	__u32 kind; /* enum frames_kind */
	__u32 first; /* what other generators' flows come before */
	__u32 flows;
	__u32 stride; /* from one frame's flow to the next one's */
	__u32 slot_first;
	__u32 slot_mask;
	__u32 check; /* verify checksums, too */
	__u32 ip_sum; /* of the words that are the same in every frame */
	__u32 udp_sum;
	__u16 ip_length;
	__u8 to[6];
	__u8 from[6];
	__u8 pad[2];
};

/* The first and the last frame of a system call, whose own setting up takes 15 ms. */
struct frames_clock {
	__u64 began;
	__u64 ended;
	__u32 frame;
	__u32 frames;
};

struct frames_macs {
	__u8 to[6];
	__u8 from[6];
};

/* Big-endian words that begin the UDP payload: the frame says itself how it should arrive. */
struct frames_tag {
	__be32 magic;
	__be32 flow;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
};

/* Ethernet, IP, UDP and the tag. */
#define FRAMES_HEADERS (14 + 20 + 8 + 16)

/* What one bare lookup finds. */
struct frames_key {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u32 proto;
};

struct frames_entry {
	__u64 used;
	__u64 packets;
	__u64 bytes;
	__be16 dport;
	__u16 pad[19]; /* to 64 bytes: two cache lines with the kernel's header and the key */
};

struct frames_count {
	__u64 right;
	__u64 moved; /* right, but for its source port */
	__u64 wrong;
	__u64 bad_checksum;
};

#endif
