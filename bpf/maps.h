/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map. All are pinned, and user space sizes those whose size depends on the configuration. */
#ifndef XFWD_MAPS_H
#define XFWD_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "bounds.h"
#include "bucket.h"
#include "flow.h"
#include "flow_ports.h"
#include "mapping.h"
#include "next_hop.h"
#include "ruleset.h"
#include "sweeper.h"
#include "verdict.h"
#include "vlan.h"

/*
 * What there is one of is a variable, which the program has the address of: it need not be looked up.
 * Each in a section, and so a map, of its own, which is pinned under the variable's name.
 */
#define THE_ONLY(type, name) type name SEC(".data." #name)

THE_ONLY(struct settings, settings);
THE_ONLY(struct flow_ports, flow_ports);
THE_ONLY(struct hop_lease, hop_lease);
THE_ONLY(struct sweeper, sweeper);

/* Both entries of every flow. User space reads the tables in its own memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_bucket4);
} flows4 SEC(".maps");

/* Bucket by bucket, what few of them need: IPv6's have room for it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_halves);
} halves4 SEC(".maps");

/* IPv6's table is made for the first rule that is not for IPv4 alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, sizeof(struct flow_bucket6));
		});
} flows6 SEC(".maps");

/*
 * Mappings, as many as there may be flows. Not preallocated: most flows share one, and where one
 * cannot be had, a flow does without.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, XFWD_FLOWS_DEFAULT);
	__type(key, struct mapping_key);
	__type(value, struct mapping);
} mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, XFWD_FLOWS_DEFAULT);
	__type(key, struct endpoint_key);
	__type(value, struct outside);
} outsides SEC(".maps");

/* The keys of all mappings, going round: what the sweeper takes from and puts back to. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, XFWD_FLOWS_DEFAULT);
	__uint(key_size, 0);
	__uint(value_size, sizeof(struct mapping_key));
} mapping_queue SEC(".maps");

/* How many flows a remote address has been let in by (__u32), made for the first rule that asks for it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(struct permit_key));
			__uint(value_size, sizeof(__u32));
		});
} permits SEC(".maps");

/*
 * What sources with a limit have; made for the first rule that has one. Bounded by forgetting who was
 * seen longest ago: a flood of sources costs only their limits.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_LRU_HASH);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(struct source_key));
			__uint(value_size, sizeof(struct source));
		});
} sources SEC(".maps");

/* Bounded by forgetting the oldest: a flood of fragments costs only other fragments. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XFWD_FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

/* Bounded by refusing: those that find it full go on without their ports. The sweeper empties it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XFWD_HELD_MAX);
	__type(key, struct held_key);
	__type(value, struct held);
} held_fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, XFWD_IFACES_MAX);
	__type(key, __u32);
	__type(value, struct iface);
} ifaces SEC(".maps");

/* The same, for indexes that are small. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XFWD_IFINDEX_NEAR);
	__type(key, __u32);
	__type(value, struct iface);
} ifaces_near SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XFWD_PORTS_MAX);
	__type(key, __u32);
	__type(value, struct port);
} ports SEC(".maps");

/* The VLAN interfaces, by what tells their frames. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, XFWD_IFACES_MAX);
	__type(key, struct vlan_key);
	__type(value, __u32);
} vlans SEC(".maps");

/*
 * The ports that take redirected XDP frames. Programs that use one such map have to agree on frames
 * of several buffers, which generic XDP must not be loaded for (see xdp_generic): it has its own.
 */
struct tx_ports {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, XFWD_PORTS_MAX);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
};

struct tx_ports tx_ports SEC(".maps");
struct tx_ports tx_ports_generic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XFWD_PORTS_MAX);
	__type(key, __u32);
	__type(value, struct port_peer);
} port_peers SEC(".maps");

/* Values are the jiffies of the last look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XFWD_HOPS_MAX);
	__type(key, struct hop_key);
	__type(value, __u32);
} hops_in_use SEC(".maps");

/*
 * The two rulesets; the lowest bit of settings.generation names the one in force. Inner maps give sizes, not types: clang
 * leaves types that only a nested definition names out of the BTF.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, sizeof(struct ruleset));
		});
} rulesets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(struct rule_key));
			__uint(value_size, sizeof(struct rule_entry));
		});
} rule_indexes SEC(".maps");

/* Counters of rules, in chunks, so that more rules never need the counters of others to move. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, XFWD_COUNTER_CHUNKS);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
			__uint(max_entries, XFWD_COUNTER_CHUNK / XFWD_COUNTER_GROUP);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, sizeof(struct rule_counter_group));
		});
} rule_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_COUNT *VERDICT_COUNT);
	__type(key, __u32);
	__type(value, struct verdict_counter);
} verdict_counters SEC(".maps");

/* A timer has to be in a map of its own kind. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweep_timer);
} sweep_timers SEC(".maps");

/* The rest is user space's own memory: what is running, as the user said it. */

/* struct rule (user/config.h), in the user's order; one of two sets, as above. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, XFWD_RULE_RECORD_SIZE);
		});
} rule_records SEC(".maps");

/* struct running (user/state.h); one of two. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, XFWD_RUNNING_RECORD_SIZE);
} running SEC(".maps");

/* struct attachment (user/attach.h), by interface index. The same in all layouts. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, XFWD_IFACES_MAX);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, XFWD_ATTACHMENT_SIZE);
} attachments SEC(".maps");

/* What sysctls were before xfwd changed them: path below /proc/sys to text. The same in all layouts. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, XFWD_SYSCTLS_MAX);
	__uint(key_size, XFWD_SYSCTL_PATH);
	__uint(value_size, XFWD_SYSCTL_VALUE);
} saved_sysctls SEC(".maps");

/* What a map of maps has, once a rule has asked for it. */
static __always_inline void *late_map(void *of)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(of, &zero);
}

static __always_inline const struct iface *iface_find(__u32 ifindex)
{
	const struct iface *iface;

	if (ifindex >= XFWD_IFINDEX_NEAR)
		return bpf_map_lookup_elem(&ifaces, &ifindex);
	iface = bpf_map_lookup_elem(&ifaces_near, &ifindex);
	return iface && iface->flags & IFACE_KNOWN ? iface : NULL;
}

#endif
