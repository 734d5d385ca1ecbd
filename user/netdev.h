/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network interfaces of this namespace, as netlink tells of them. */
#ifndef XFWD_NETDEV_H
#define XFWD_NETDEV_H

#include <limits.h>
#include <linux/types.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vlan.h"

#define NETDEV_HERE INT_MIN /* no number of a namespace, nor that of one which has none (below 0) */

struct netdev {
	unsigned int ifindex;
	char name[IF_NAMESIZE];
	char kind[IF_NAMESIZE]; /* rtnetlink's: "veth", "bridge" …; "" for hardware */
	uint16_t type; /* ARPHRD_… */
	uint32_t mtu;
	uint8_t mac[6];
	bool up;
	bool has_carrier;
	bool has_queue; /* packets to it wait in a queueing discipline, or are shaped by it */
	struct vlan_key
		vlan; /* whose frames it gets; ifindex 0: it is none, or not of this namespace */
	bool has_priorities; /* a VLAN interface that gives the tags of what it sends priorities */
	bool has_addr4;
	uint8_t addr6_rank; /* how good addr6 is; 0: there is none */
	bool has_fixed6; /* a global IPv6 address that does not expire: no router gave it */
	bool takes_redirects; /* accepts frames that XDP redirects to it: netdevs_ask_redirects() */
	bool runs_xdp; /* or could: said likewise. A veth that has another mind of it says neither */
	unsigned int lower; /* the interface under it, or a veth's other end; 0: there is none */
	int lower_netns; /* our number of the namespace that this is of, or NETDEV_HERE */
	__be32 addr4; /* the first primary address of global scope, else the first */
	__be32 addr6[4]; /* the first of the best of global scope */
};

struct netdev_address {
	uint8_t family; /* AF_INET, AF_INET6 */
	__be32 word[4]; /* IPv4: the first */
};

struct netdevs {
	struct netdev *list;
	size_t count;
	bool tell_redirects; /* the kernel knows such things of devices: Linux 6.3 */
};

/* What the frames of an interface come and go by: itself, or the device under a VLAN interface. */
struct carrier {
	const struct netdev *dev;
	struct vlan_tag tags[VLAN_TAGS_MAX]; /* that they have there, outermost first */
	unsigned int count;
	bool has_priorities; /* which depend on the packet */
};

/* 0 or -errno. */
int netdevs_get(struct netdevs *devs);
/* Without their addresses. */
int netdevs_get_links(struct netdevs *devs);
/* The other end of a veth, which is in another namespace. 0 or -errno. */
int netdev_ask_peer(const struct netdev *dev, struct netdev *peer);
/* Which of them take redirected frames: drivers change their answer as XDP is attached. */
void netdevs_ask_redirects(struct netdevs *devs);
void netdevs_free(struct netdevs *devs);
const struct netdev *netdev_by_name(const struct netdevs *devs, const char *name);
/*
 * For compile(): the index of an interface of `devs`. One that has gone gets an index that none ever
 * has: its rules rest until a change.
 */
unsigned int netdevs_ifindex(const char *name, void *devs);
const struct netdev *netdev_by_index(const struct netdevs *devs, unsigned int ifindex);
/* Every address of this machine, not only the first of each interface; free() *list. */
int netdev_addresses(struct netdev_address **list, size_t *count);
/* Indexes of the interfaces with a default route that a router advertised (IPv6); free() *list. */
int netdev_advertised(unsigned int **list, size_t *count);
bool netdev_is_ethernet(const struct netdev *dev);
bool netdev_is_vlan(const struct netdev *dev);
/* Are there VLAN interfaces on it? */
bool netdev_has_vlans(const struct netdevs *devs, const struct netdev *dev);
/* 0; -E2BIG: its frames have more tags; -ENODEV: the device is of another namespace. */
int netdev_carrier(const struct netdevs *devs, const struct netdev *dev, struct carrier *carrier);
/* Is there a qdisc with ingress hooks, as clsact is? 1, 0 or -errno. */
int netdev_has_clsact(unsigned int ifindex);
/* Are there any tc filters on the interface's clsact hooks? */
bool netdev_has_filters(unsigned int ifindex);
/* At that of egress, other than this one? */
bool netdev_has_egress_filters(unsigned int ifindex, uint32_t priority, uint32_t handle);
/*
 * What the kernel would give a new one there: it goes before all others that got theirs so, and behind
 * those whose users chose lower ones. 0: it cannot be asked.
 */
uint32_t netdev_filter_priority(unsigned int ifindex, bool egress);

#endif
