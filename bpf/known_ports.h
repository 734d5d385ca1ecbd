/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ports that flows have: noted when one is added, and asked for before one is sought. */
#ifndef XFWD_KNOWN_PORTS_H
#define XFWD_KNOWN_PORTS_H

#include "maps.h"
#include "packet.h"

/* A port is the number that its two bytes in memory are: it need not be swapped. */
static __always_inline int port_is_noted(const __u64 *words, __u16 port)
{
	return words[port / 64] >> (port % 64) & 1;
}

/* Mostly it is there already, and the line stays with all CPUs that read it. */
static __always_inline void port_note(__u64 *words, __u16 port)
{
	if (!port_is_noted(words, port))
		__sync_fetch_and_or(&words[port / 64], 1ULL << (port % 64));
}

/* Before the flow can be found. */
static __always_inline void flow_ports_note(const struct flow_key *key)
{
	port_note(flow_ports.source, key->sport);
	port_note(flow_ports.destination, key->dport);
}

/* 0: no flow's packets come from this port. */
static __always_inline int port_is_source(__be16 port)
{
	return port_is_noted(flow_ports.source, port);
}

/* 0: none's go to it. */
static __always_inline int port_is_destination(__be16 port)
{
	return port_is_noted(flow_ports.destination, port);
}

#endif
