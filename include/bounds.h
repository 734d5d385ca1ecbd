/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bounds that the BPF programs and user space agree on. */
#ifndef XFWD_BOUNDS_H
#define XFWD_BOUNDS_H

/*
 * Version of everything pinned: bump it when a map's key, value or meaning changes. Three are the same
 * in all versions, for `down` to put back what another one did: `saved_sysctls`, `attachments`, and of
 * `running` the size and the namespace's cookie.
 */
#define XFWD_LAYOUT              14

/* Flows (pairs of entries); `set flows N` chooses, within these bounds. */
#define XFWD_FLOWS_MIN           64
#define XFWD_FLOWS_DEFAULT       131072
#define XFWD_FLOWS_MAX           (16 * 1024 * 1024)

/* Rules in one ruleset: each has a counter slot, from 1. */
#define XFWD_RULES_MAX           (1024 * 1024 - 1)

/* Distinct combinations of masks in one stage and one address family. */
#define XFWD_MASKS_MAX           256

/*
 * Counter slots are handed out in chunks, so that the table can grow while it is in use. An element of
 * a chunk holds a group of them: the kernel allocates each by itself, and takes its time.
 */
#define XFWD_COUNTER_CHUNK       4096
#define XFWD_COUNTER_CHUNKS      ((XFWD_RULES_MAX + 1) / XFWD_COUNTER_CHUNK)
#define XFWD_COUNTER_GROUP       64

/* Interfaces that a configuration has blocks for. */
#define XFWD_INTERFACES_MAX      256

/* Network interfaces of one namespace. */
#define XFWD_IFACES_MAX          4096

/* Interface indexes below are found without hashing: most machines have no others. */
#define XFWD_IFINDEX_NEAR        4096

/* Interfaces that packets may be forwarded to without a route lookup, from 1. */
#define XFWD_PORTS_MAX           1024

/* Next hops that are in use, to be kept reachable. */
#define XFWD_HOPS_MAX            4096

/* Fragmented datagrams whose ports are remembered at one time. */
#define XFWD_FRAGMENTS_MAX       4096

/* Fragments that are held until the first of their datagram comes; so many of one datagram. */
#define XFWD_HELD_MAX            512
#define XFWD_HELD_OF_ONE         16

/* What user space keeps of the running configuration; the programs do not read it. */
#define XFWD_RULE_RECORD_SIZE    168
#define XFWD_RUNNING_RECORD_SIZE 8192
#define XFWD_SYSCTLS_MAX         1024
#define XFWD_SYSCTL_PATH         96
#define XFWD_SYSCTL_VALUE        16
#define XFWD_ATTACHMENT_SIZE     192

/* Source addresses whose limits are counted at one time. */
#define XFWD_SOURCES_MAX         65536

/* Ports tried for one packet before it is dropped as "no_port". */
#define XFWD_PORT_TRIES          128

#endif
