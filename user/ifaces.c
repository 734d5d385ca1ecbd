// SPDX-License-Identifier: GPL-2.0-or-later
/* What the pipeline knows of the interfaces: their addresses, and where it may send. */
#include "ifaces.h"

#include <bpf/bpf.h>
#include <string.h>

#include "attach.h"
#include "next_hop.h"
#include "sysctl.h"

/*
 * A port for the interface: the one that it has, else the next that is free, going round, as flows
 * may be bound to one that has gone. 0: all are taken, and its packets have their routes looked up
 * one by one.
 */
static __u32 port_find(const struct state *state, unsigned int ifindex)
{
	const int ports = state->map[MAP_ports];
	struct port last = { 0 }, port;
	const __u32 none = 0;
	struct iface iface;

	if (!bpf_map_lookup_elem(state->map[MAP_ifaces], &ifindex, &iface) && iface.port)
		return iface.port;
	bpf_map_lookup_elem(ports, &none, &last);
	for (int i = 1; i < XFWD_PORTS_MAX; i++) {
		last.last = last.last % (XFWD_PORTS_MAX - 1) + 1;
		if (!bpf_map_lookup_elem(ports, &last.last, &port) && !port.ifindex)
			return bpf_map_update_elem(ports, &none, &last, BPF_ANY) ? 0 : last.last;
	}
	return 0;
}

static const enum state_map redirect_maps[] = { MAP_tx_ports, MAP_tx_ports_generic };

/*
 * XDP sends what a device's MTU and one tag have room for (xdp_ok_fwd_dev()): a second tag is at the
 * packet's expense, though the stack would send it all the same.
 */
static __u32 mtu_tagged(const struct carrier *under)
{
	const __u32 tag = sizeof(struct vlan_tag);

	return under->dev->mtu + tag - under->count * tag;
}

/*
 * Frames that a device does not take are lost without a word. Where it does not say, drivers that
 * run our XDP program take them: their queues for it are there then. A veth does only while its peer
 * polls, which nothing tells.
 */
static bool takes_redirects(const struct netdevs *devs, const struct carrier *under,
			    const struct attachment *attachment)
{
	if (!under->dev || under->has_priorities)
		return false;
	if (devs->tell_redirects)
		return under->dev->takes_redirects;
	return attachment->mode == MODE_NATIVE && !under->dev->kind[0];
}

static int port_write(const struct state *state, const struct netdev *dev,
		      const struct iface *iface, const struct carrier *under)
{
	struct port port = { .ifindex = dev->ifindex, .flags = iface->flags, .mtu = dev->mtu };
	__u32 at = iface->port;
	int err;

	memcpy(port.mac, iface->mac, sizeof(port.mac));
	memcpy(port.tags, under->tags, sizeof(port.tags));
	if (under->dev)
		port.mtu_tagged = mtu_tagged(under);
	if (!at)
		return 0;
	err = bpf_map_update_elem(state->map[MAP_ports], &at, &port, BPF_ANY);
	for (size_t i = 0; i < sizeof(redirect_maps) / sizeof(redirect_maps[0]) && !err; i++) {
		int fd = state->map[redirect_maps[i]];

		if (iface->flags & IFACE_TAKES_REDIRECTS)
			err = bpf_map_update_elem(fd, &at, &under->dev->ifindex, BPF_ANY);
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

static __u32 iface_flags(const struct state *state, const struct netdevs *devs,
			 const struct netdev *dev, const struct carrier *under)
{
	struct attachment attachment = { .mode = MODE_TC };
	__u32 flags = IFACE_KNOWN;

	if (!attachment_get(state, dev->ifindex, &attachment))
		flags |= IFACE_ATTACHED_EGRESS | (attachment.carrier ? IFACE_XDP : 0);
	if (!netdev_is_ethernet(dev))
		flags |= IFACE_NO_ETHERNET;
	if (netdev_is_vlan(dev))
		flags |= IFACE_VLAN;
	if (sysctl_source_is_loose(dev->name))
		flags |= IFACE_LOOSE_SOURCE;
	if (takes_redirects(devs, under, &attachment))
		flags |= IFACE_TAKES_REDIRECTS;
	return flags;
}

static int iface_sync(const struct state *state, const struct netdevs *devs,
		      const struct netdev *dev)
{
	struct iface iface = { .addr4 = dev->addr4 };
	struct carrier under;
	int err;

	netdev_carrier(devs, dev, &under); /* where there is none, XDP sends nothing there */
	iface.flags = iface_flags(state, devs, dev, &under);
	iface.port = port_find(state, dev->ifindex);
	memcpy(iface.mac, dev->mac, sizeof(iface.mac));
	memcpy(iface.addr6, dev->addr6, sizeof(iface.addr6));
	err = port_write(state, dev, &iface, &under);
	return err ? err : iface_write(state, dev->ifindex, &iface);
}

/* The VLAN interface whose frames these are; one that is down gets none. */
static const struct netdev *vlan_find(const struct netdevs *devs, const struct vlan_key *key)
{
	for (size_t i = 0; i < devs->count; i++)
		if (devs->list[i].up && !memcmp(&devs->list[i].vlan, key, sizeof(*key)))
			return &devs->list[i];
	return NULL;
}

static int vlans_sync(const struct state *state, const struct netdevs *devs)
{
	int map = state->map[MAP_vlans], more, err = 0;
	struct vlan_key key, next;

	for (size_t i = 0; i < devs->count && !err; i++) {
		const struct netdev *dev = &devs->list[i];

		if (dev->vlan.ifindex && dev->up)
			err = bpf_map_update_elem(map, &dev->vlan, &dev->ifindex, BPF_ANY);
	}
	more = bpf_map_get_next_key(map, NULL, &next);
	while (!more && !err) {
		key = next;
		more = bpf_map_get_next_key(map, &key, &next);
		if (!vlan_find(devs, &key))
			bpf_map_delete_elem(map, &key);
	}
	return err;
}

/* Those that have gone are taken out. */
int ifaces_sync(const struct state *state, struct netdevs *devs)
{
	unsigned int key, next;
	int err = 0, more;

	netdevs_ask_redirects(devs);
	for (size_t i = 0; i < devs->count && !err; i++)
		err = iface_sync(state, devs, &devs->list[i]);
	if (!err)
		err = vlans_sync(state, devs);
	more = bpf_map_get_next_key(state->map[MAP_ifaces], NULL, &next);
	while (!more && !err) {
		key = next;
		more = bpf_map_get_next_key(state->map[MAP_ifaces], &key, &next);
		if (!netdev_by_index(devs, key))
			iface_remove(state, key);
	}
	return err;
}
