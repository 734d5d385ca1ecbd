// SPDX-License-Identifier: GPL-2.0-or-later
/* Which interface is which: by name, by index, and what lies under a VLAN interface. */
#include <errno.h>
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

bool netdev_is_vlan(const struct netdev *dev)
{
	return !strcmp(dev->kind, "vlan");
}

bool netdev_has_vlans(const struct netdevs *devs, const struct netdev *dev)
{
	for (size_t i = 0; i < devs->count; i++)
		if (netdev_is_vlan(&devs->list[i]) && devs->list[i].vlan.ifindex == dev->ifindex)
			return true;
	return false;
}

int netdev_carrier(const struct netdevs *devs, const struct netdev *dev, struct carrier *carrier)
{
	memset(carrier, 0, sizeof(*carrier));
	while (netdev_is_vlan(dev)) {
		if (carrier->count == VLAN_TAGS_MAX)
			return -E2BIG;
		/* Met from the inside to the outside. */
		carrier->tags[1] = carrier->tags[0];
		carrier->tags[0].proto = dev->vlan.proto;
		carrier->tags[0].tci = dev->vlan.id;
		carrier->count++;
		carrier->has_priorities |= dev->has_priorities;
		dev = netdev_by_index(devs, dev->vlan.ifindex);
		if (!dev)
			return -ENODEV;
	}
	carrier->dev = dev;
	return 0;
}
