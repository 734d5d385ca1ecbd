// SPDX-License-Identifier: GPL-2.0-or-later
/* Which interface is which: by name, by index. */
#include <net/if_arp.h>
#include <string.h>

#include "netdev.h"

const struct netdev *netdev_by_index(const struct netdevs *devs, unsigned int ifindex)
{
	for (size_t i = 0; i < devs->count; i++)
		if (devs->list[i].ifindex == ifindex)
			return &devs->list[i];
	return NULL;
}

const struct netdev *netdev_by_name(const struct netdevs *devs, const char *name)
{
	for (size_t i = 0; i < devs->count; i++)
		if (!strcmp(devs->list[i].name, name))
			return &devs->list[i];
	return NULL;
}

unsigned int netdevs_ifindex(const char *name, void *devs)
{
	const struct netdev *dev = netdev_by_name(devs, name);

	return dev ? dev->ifindex : UINT32_MAX;
}

/* Frames of loopback devices have an Ethernet header too, of zeroes. */
bool netdev_is_ethernet(const struct netdev *dev)
{
	return dev->type == ARPHRD_ETHER || dev->type == ARPHRD_LOOPBACK;
}
