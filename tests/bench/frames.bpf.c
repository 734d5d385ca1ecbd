// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The benchmark's generator, its counters, and the fastest forwarder there could be. */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "frames.h"

#define BPF_MAP_TYPE_DEVMAP 14

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct frames_config config;
__u32 next_flow;
struct frames_clock clock;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frames_count);
} counts SEC(".maps");

/* 0: the way to the server. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} ways SEC(".maps");

struct frames_macs forward_macs;

/* Sized before loading as xfwd's would be. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, struct frames_key);
	__type(value, struct frames_entry);
} table SEC(".maps");

struct frame {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct udphdr *udp;
	struct frames_tag *tag;
};

static __always_inline int frame_parse(struct frame *f, void *data, const void *end)
{
	f->eth = data;
	f->ip = (void *)(f->eth + 1);
	f->udp = (void *)(f->ip + 1);
	f->tag = (void *)(f->udp + 1);
	return (const void *)(f->tag + 1) <= end;
}

static __always_inline int frame_is_udp(const struct frame *f)
{
	return f->eth->h_proto == bpf_htons(ETH_P_IP) && f->ip->protocol == IPPROTO_UDP;
}

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(__u16)(sum + (sum >> 16));
}

static __always_inline __u32 csum_add32(__u32 sum, __be32 word)
{
	return sum + (word & 0xffff) + (word >> 16);
}

/* Every byte of the headers: the pages come back as the last receiver left them. */
static __always_inline void frame_write(const struct frame *f, __u32 k)
{
	__u32 of_source = k >> FRAMES_PORT_BITS, low = k & (FRAMES_PORTS - 1);
	__u32 slot = config.slot_first + ((of_source + low) & config.slot_mask);
	__u32 at = slot >> FRAMES_PORT_BITS, port = slot & (FRAMES_PORTS - 1);
	__be32 target = bpf_htonl(FRAMES_TARGET + at);
	__be16 target_port = bpf_htons(FRAMES_TARGET_PORT + port);
	__be16 sport = bpf_htons(FRAMES_SOURCE_PORT + low);
	__be32 saddr = bpf_htonl(FRAMES_SOURCE + of_source), daddr = target;
	__be16 dport = target_port;
	__u32 sum;

	if (config.kind != FRAMES_ROUTED) {
		daddr = bpf_htonl(FRAMES_PUBLIC + at);
		dport = bpf_htons(FRAMES_PUBLIC_PORT + port);
	}
	if (config.kind == FRAMES_LOCAL)
		dport = bpf_htons(FRAMES_LOCAL_PORT);
	__builtin_memcpy(f->eth->h_dest, config.to, 6);
	__builtin_memcpy(f->eth->h_source, config.from, 6);
	f->eth->h_proto = bpf_htons(ETH_P_IP);
	*(__u16 *)f->ip = bpf_htons(0x4500);
	f->ip->tot_len = bpf_htons(config.ip_length);
	f->ip->id = 0;
	f->ip->frag_off = bpf_htons(IP_DF);
	f->ip->ttl = FRAMES_TTL;
	f->ip->protocol = IPPROTO_UDP;
	f->ip->saddr = saddr;
	f->ip->daddr = daddr;
	sum = csum_add32(csum_add32(0, saddr), daddr);
	f->ip->check = csum_fold(config.ip_sum + sum);
	f->udp->source = sport;
	f->udp->dest = dport;
	f->udp->len = bpf_htons(config.ip_length - sizeof(*f->ip));
	f->tag->magic = bpf_htonl(FRAMES_MAGIC);
	f->tag->flow = bpf_htonl(k);
	f->tag->daddr = target;
	f->tag->sport = sport;
	f->tag->dport = target_port;
	sum += config.udp_sum + 2 * sport + dport + target_port;
	f->udp->check = csum_fold(csum_add32(csum_add32(sum, f->tag->flow), target));
	if (!f->udp->check)
		f->udp->check = 0xffff; /* 0 would mean that there is none */
}

SEC("xdp")
int frames_generate(struct xdp_md *xdp)
{
	__u32 k = next_flow;
	struct frame f;

	if (!frame_parse(&f, (void *)(long)xdp->data, (void *)(long)xdp->data_end))
		return XDP_DROP;
	next_flow = k + config.stride;
	if (next_flow >= config.flows)
		next_flow -= config.flows;
	if (!clock.frame)
		clock.began = bpf_ktime_get_ns();
	if (++clock.frame == clock.frames)
		clock.ended = bpf_ktime_get_ns();
	frame_write(&f, config.first + k);
	return XDP_TX;
}

/* Ones' complement sum of the words from `at` on: 0xffff when a checksum among them is right. */
static __always_inline __u16 csum_words(const __be16 *at, const void *end, __u32 sum, __u32 words)
{
	for (__u32 i = 0; i < 760; i++) {
		if (i >= words || (const void *)(at + 1) > end)
			break;
		sum += *at++;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)(sum + (sum >> 16));
}

static __always_inline int checksums_right(const struct frame *f, const void *end)
{
	__u32 length = bpf_ntohs(f->udp->len);
	__u32 pseudo = bpf_htons(IPPROTO_UDP) + f->udp->len;

	pseudo = csum_add32(csum_add32(pseudo, f->ip->saddr), f->ip->daddr);
	return f->ip->ttl == FRAMES_TTL - 1 && f->udp->check &&
	       csum_words((const void *)f->ip, end, 0, sizeof(*f->ip) / 2) == 0xffff &&
	       csum_words((const void *)f->udp, end, pseudo, length / 2) == 0xffff;
}

/* 1: it was one of the benchmark's, and is counted. */
static __always_inline int frame_count(void *data, const void *end)
{
	int hidden = config.kind == FRAMES_TRANSLATED;
	struct frames_count *count;
	__u32 zero = 0;
	struct frame f;

	if (!frame_parse(&f, data, end) || !frame_is_udp(&f) ||
	    f.tag->magic != bpf_htonl(FRAMES_MAGIC))
		return 0;
	count = bpf_map_lookup_elem(&counts, &zero);
	if (!count)
		return 1;
	if (f.ip->daddr != f.tag->daddr || f.udp->dest != f.tag->dport ||
	    (hidden && f.ip->saddr != bpf_htonl(FRAMES_EDGE)))
		count->wrong++;
	else if (config.check && !checksums_right(&f, end))
		count->bad_checksum++;
	else if (f.udp->source != f.tag->sport)
		count->moved++;
	else
		count->right++;
	return 1;
}

SEC("xdp")
int frames_count_xdp(struct xdp_md *xdp)
{
	return frame_count((void *)(long)xdp->data, (void *)(long)xdp->data_end) ? XDP_DROP
										 : XDP_PASS;
}

/* Does nothing: what a test run itself costs. */
SEC("xdp")
int frames_pass(__attribute__((unused)) struct xdp_md *xdp)
{
	return XDP_PASS;
}

static __always_inline __sum16 csum_replace16(__sum16 check, __u16 was, __u16 is)
{
	return csum_fold((__u16)~check + (__u16)~was + is);
}

static __always_inline __sum16 csum_replace32(__sum16 check, __be32 was, __be32 is)
{
	return csum_fold(csum_add32(csum_add32((__u16)~check, ~was), is));
}

static __always_inline int frame_parse_xdp(struct frame *f, const struct xdp_md *xdp)
{
	return frame_parse(f, (void *)(long)xdp->data, (void *)(long)xdp->data_end) &&
	       frame_is_udp(f);
}

/* Addresses, ports, checksums, time to live, link-layer addresses, and out of the other interface. */
static __always_inline int frame_forward(const struct frame *f, __be16 dport)
{
	__be32 saddr = bpf_htonl(FRAMES_EDGE), daddr = bpf_htonl(FRAMES_TARGET);
	__sum16 check;

	check = csum_replace32(f->ip->check, f->ip->saddr, saddr);
	check = csum_replace32(check, f->ip->daddr, daddr);
	f->ip->check =
		csum_replace16(check, bpf_htons(FRAMES_TTL << 8), bpf_htons((FRAMES_TTL - 1) << 8));
	check = csum_replace32(f->udp->check, f->ip->saddr, saddr);
	check = csum_replace32(check, f->ip->daddr, daddr);
	f->udp->check = csum_replace16(check, f->udp->dest, dport);
	f->ip->saddr = saddr;
	f->ip->daddr = daddr;
	f->ip->ttl = FRAMES_TTL - 1;
	f->udp->dest = dport;
	__builtin_memcpy(f->eth->h_dest, forward_macs.to, 6);
	__builtin_memcpy(f->eth->h_source, forward_macs.from, 6);
	return bpf_redirect_map(&ways, 0, XDP_DROP);
}

static __always_inline __be16 target_port(const struct frame *f)
{
	return bpf_htons(bpf_ntohs(f->udp->dest) - FRAMES_PUBLIC_PORT + FRAMES_TARGET_PORT);
}

/* The ceiling: what any translator has to do, with nothing looked up. */
SEC("xdp")
int frames_forward(struct xdp_md *xdp)
{
	struct frame f;

	if (!frame_parse_xdp(&f, xdp))
		return XDP_PASS;
	return frame_forward(&f, target_port(&f));
}

/* Two entries for a flow, as a NAT has them, of which one direction's are used here. */
static __always_inline void table_insert(const struct frames_key *key, __be16 dport)
{
	struct frames_key answer = {
		.saddr = key->daddr, .daddr = key->saddr, .sport = key->dport, .dport = key->sport
	};
	struct frames_entry value = { .dport = dport };

	bpf_map_update_elem(&table, &answer, &value, BPF_ANY);
	bpf_map_update_elem(&table, key, &value, BPF_ANY);
}

/*
 * The ceiling with one hash lookup, a time stamp and two counters of the flow: what no stateful
 * translator with a BPF hash map can do without. It shows what memory costs on this machine.
 */
SEC("xdp")
int frames_lookup(struct xdp_md *xdp)
{
	struct frames_key key = { 0 };
	struct frames_entry *value;
	struct frame f;

	if (!frame_parse_xdp(&f, xdp))
		return XDP_PASS;
	key.saddr = f.ip->saddr;
	key.daddr = f.ip->daddr;
	key.sport = f.udp->source;
	key.dport = f.udp->dest;
	key.proto = f.ip->protocol;
	value = bpf_map_lookup_elem(&table, &key);
	if (!value) {
		table_insert(&key, target_port(&f));
		value = bpf_map_lookup_elem(&table, &key);
		if (!value)
			return XDP_DROP;
	}
	value->used = bpf_jiffies64();
	value->packets++;
	value->bytes += bpf_ntohs(f.ip->tot_len);
	return frame_forward(&f, value->dport);
}
