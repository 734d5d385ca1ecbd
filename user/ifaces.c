// SPDX-License-Identifier: GPL-2.0-or-later
/* What the pipeline knows of the interfaces: their addresses, and where it may send. */
#include "ifaces.h"

#include <bpf/bpf.h>
#include <string.h>

#include "attach.h"
#include "next_hop.h"
#include "sysctl.h"

/*
 * A port for the interface: the one that it has, else the first that is free. 0: all are taken, and
 * its packets have their routes looked up one by one.
 */
static __u32 port_find(const struct state *state, unsigned int ifindex)
{
	struct iface iface;
	struct port port;

	if (!bpf_map_lookup_elem(state->map[MAP_ifaces], &ifindex, &iface) && iface.port)
		return iface.port;
	for (__u32 at = 1; at < XFWD_PORTS_MAX; at++)
		if (!bpf_map_lookup_elem(state->map[MAP_ports], &at, &port) && !port.ifindex)
			return at;
	return 0;
}

static const enum state_map redirect_maps[] = { MAP_tx_ports, MAP_tx_ports_generic };

static int port_write(const struct state *state, const struct netdev *dev,
		      const struct iface *iface)
{
	struct port port = { .ifindex = dev->ifindex, .flags = iface->flags, .mtu = dev->mtu };
	__u32 at = iface->port;
	int err;

	memcpy(port.mac, iface->mac, sizeof(port.mac));
	if (!at)
		return 0;
	err = bpf_map_update_elem(state->map[MAP_ports], &at, &port, BPF_ANY);
	for (size_t i = 0; i < sizeof(redirect_maps) / sizeof(redirect_maps[0]) && !err; i++) {
		int fd = state->map[redirect_maps[i]];

		if (dev->takes_redirects)
			err = bpf_map_update_elem(fd, &at, &dev->ifindex, BPF_ANY);
		else
			bpf_map_delete_elem(fd, &at);
	}
	return err;
}

static void iface_remove(const struct state *state, unsigned int ifindex)
{
	const struct port none = { 0 };
	struct iface iface;
	__u32 at;

	if (!bpf_map_lookup_elem(state->map[MAP_ifaces], &ifindex, &iface) && iface.port) {
		at = iface.port;
		for (size_t i = 0; i < sizeof(redirect_maps) / sizeof(redirect_maps[0]); i++)
			bpf_map_delete_elem(state->map[redirect_maps[i]], &at);
		bpf_map_update_elem(state->map[MAP_ports], &at, &none, BPF_ANY);
	}
	memset(&iface, 0, sizeof(iface));
	if (ifindex < XFWD_IFINDEX_NEAR)
		bpf_map_update_elem(state->map[MAP_ifaces_near], &ifindex, &iface, BPF_ANY);
	bpf_map_delete_elem(state->map[MAP_ifaces], &ifindex);
}

static int iface_write(const struct state *state, unsigned int ifindex, const struct iface *iface)
{
	int err = bpf_map_update_elem(state->map[MAP_ifaces], &ifindex, iface, BPF_ANY);

	if (!err && ifindex < XFWD_IFINDEX_NEAR)
		err = bpf_map_update_elem(state->map[MAP_ifaces_near], &ifindex, iface, BPF_ANY);
	return err;
}

/* Those that have gone are taken out. */
int ifaces_sync(const struct state *state, const struct netdevs *devs)
{
	unsigned int key, next;
	struct attachment attachment;
	int err = 0, more;

	for (size_t i = 0; i < devs->count && !err; i++) {
		const struct netdev *dev = &devs->list[i];
		struct iface iface = { .addr4 = dev->addr4, .flags = IFACE_KNOWN };

		memcpy(iface.mac, dev->mac, sizeof(iface.mac));
		memcpy(iface.addr6, dev->addr6, sizeof(iface.addr6));
		if (!attachment_get(state, dev->ifindex, &attachment))
			iface.flags |= IFACE_ATTACHED_EGRESS;
		if (!netdev_is_ethernet(dev))
			iface.flags |= IFACE_NO_ETHERNET;
		if (sysctl_source_is_loose(dev->name))
			iface.flags |= IFACE_LOOSE_SOURCE;
		iface.port = port_find(state, dev->ifindex);
		if (dev->takes_redirects && iface.port)
			iface.flags |= IFACE_TAKES_REDIRECTS;
		err = port_write(state, dev, &iface);
		if (!err)
			err = iface_write(state, dev->ifindex, &iface);
	}
	more = bpf_map_get_next_key(state->map[MAP_ifaces], NULL, &next);
	while (!more && !err) {
		key = next;
		more = bpf_map_get_next_key(state->map[MAP_ifaces], &key, &next);
		if (!netdev_by_index(devs, key))
			iface_remove(state, key);
	}
	return err;
}
