// SPDX-License-Identifier: GPL-2.0-or-later
/* XDP for an interface, on the device that carries its frames. */
#include "xdp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "loader.h"
#include "msg.h"
#include "offload.h"

/* What the functions below work on. */
struct xdp {
	const struct state *state;
	const struct pins *pins;
	const struct netdevs *devs;
	const struct netdev *dev;
	struct carrier under;
	char why[ATTACH_REASON_MAX]; /* not */
};

#define because(x, ...) snprintf((x)->why, sizeof((x)->why), __VA_ARGS__)

/* By another's program: it says so. */
static bool is_occupied(struct xdp *x)
{
	struct bpf_prog_info info = { 0 };
	__u32 id = 0, size = sizeof(info);
	int fd;

	if (bpf_xdp_query_id(x->under.dev->ifindex, 0, &id) || !id)
		return false;
	fd = bpf_prog_get_fd_by_id(id);
	if (fd >= 0) {
		bpf_obj_get_info_by_fd(fd, &info, &size);
		close(fd);
	}
	because(x, "another XDP program is attached there: \"%s\" (id %u)", info.name, id);
	return true;
}

/*
 * The kernel says why it refuses only over netlink, so ask there too. Should that succeed, whatever
 * was in the way has gone: the caller's error stands.
 */
static void explain_refusal(struct xdp *x, int prog, __u32 flags, int err)
{
	const struct netdev *on = x->under.dev;

	if (is_occupied(x))
		return;
	loader_words();
	if (!bpf_xdp_attach(on->ifindex, prog, flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL))
		bpf_xdp_detach(on->ifindex, flags, NULL);
	because(x, "%.120s", loader_words());
	if (!x->why[0])
		because(x, "%s", strerror(-err));
}

static int attach(struct xdp *x, enum attach_mode mode)
{
	const struct netdev *on = x->under.dev;
	const char *native = on->kind[0] ? "xdp_virtual" : "xdp_wire";
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = mode == MODE_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int prog = loader_program(x->pins, mode == MODE_GENERIC ? "xdp_generic" : native);
	int link, err;

	if (prog < 0) {
		because(x, "the program does not load: %.90s", loader_words());
		return prog;
	}
	link = bpf_link_create(prog, on->ifindex, BPF_XDP, &opts);
	err = link < 0 ? link : link_pin(x->pins, link, on->ifindex, "xdp");
	if (err)
		explain_refusal(x, prog, opts.flags, err);
	close(prog);
	return err;
}

/* Another interface that XDP on this device is also for. */
static bool find_sharer(const struct state *state, unsigned int carrier, unsigned int ifindex,
			struct attachment *sharer)
{
	unsigned int *list = NULL;
	bool found = false;
	size_t count;

	if (!attachment_list(state, &list, &count))
		for (size_t i = 0; i < count && !found; i++)
			found = list[i] != ifindex && !attachment_get(state, list[i], sharer) &&
				sharer->carrier == carrier;
	free(list);
	return found;
}

/* A device that keeps tags from XDP is told not to. Some cannot do otherwise. */
static int see_tags(struct xdp *x, struct attachment *attachment)
{
	const struct netdev *on = x->under.dev;
	unsigned int fixed;

	offload_set(on->name, attachment->offload, false);
	fixed = offload_get(on->name);
	attachment->offload &= ~fixed;
	if (!fixed || (attachment->wanted != MODE_AUTO && !netdev_has_vlans(x->devs, on)))
		return 0;
	because(x, "%s keeps VLAN tags from XDP (rx-vlan-offload is fixed)", on->name);
	return -EOPNOTSUPP;
}

/*
 * On record before it is done: what an interrupted call has left is then found, and mended. Nothing of
 * the device is changed where it is known to be in vain: `run` would take that for news.
 */
static int attach_recorded(struct xdp *x, struct attachment *attachment)
{
	int err;

	if (is_occupied(x))
		return -EBUSY;
	attachment->offload |= offload_get(x->under.dev->name);
	err = attachment_put(x->state, x->dev->ifindex, attachment);
	if (err) {
		because(x, "%s", strerror(-err));
		return err;
	}
	err = see_tags(x, attachment);
	return err ? err : attach(x, attachment->mode);
}

static int take(struct xdp *x, struct attachment *attachment)
{
	const unsigned int carrier = x->under.dev->ifindex;
	struct attachment sharer;
	bool shared = find_sharer(x->state, carrier, x->dev->ifindex, &sharer);
	int err = 0;

	attachment->carrier = carrier;
	attachment->offload = shared ? sharer.offload : 0;
	if (!shared || !link_is_alive(x->pins, carrier, "xdp")) {
		err = attach_recorded(x, attachment);
	} else if (sharer.mode != attachment->mode) {
		because(x, "%s is in mode %s for %s", x->under.dev->name,
			attach_mode_names[sharer.mode], sharer.name);
		err = -EBUSY;
	}
	if (err)
		xdp_drop(x->state, x->pins, x->dev->ifindex, attachment);
	return err;
}

/* Is there a device that XDP can sit on? */
static int find_carrier(struct xdp *x)
{
	int err = netdev_carrier(x->devs, x->dev, &x->under);

	if (err == -E2BIG)
		because(x, "its frames have more than %d VLAN tags", VLAN_TAGS_MAX);
	else if (err)
		because(x, "the device under it is of another network namespace");
	else if (x->under.dev->type != ARPHRD_ETHER) {
		because(x, "not an Ethernet device");
		err = -EOPNOTSUPP;
	}
	return err;
}

/* What `auto` comes to, before anything is tried. */
static enum attach_mode choose_mode(struct xdp *x)
{
	if (find_carrier(x))
		return MODE_TC;
	if (x->under.dev->kind[0]) {
		because(x,
			"%s: packets come with partial checksums and segmentation left to do, "
			"which tc keeps",
			x->under.dev->kind);
		return MODE_TC;
	}
	return MODE_NATIVE;
}

/* The other end of a veth decides where tags are, and nothing tells of it. */
static void warn_of_tags(const struct xdp *x, struct attachment *attachment)
{
	if (x->under.dev->kind[0] && netdev_has_vlans(x->devs, x->under.dev))
		snprintf(attachment->reason, sizeof(attachment->reason),
			 "%s: sees VLAN tags only if senders have tx-vlan-offload off",
			 x->under.dev->kind);
}

static int sync_auto(struct xdp *x, struct attachment *attachment)
{
	attachment->mode = choose_mode(x);
	if (attachment->mode != MODE_TC && take(x, attachment)) {
		attachment->mode = MODE_TC;
		snprintf(attachment->reason, sizeof(attachment->reason), "no native XDP: %.100s",
			 x->why);
	} else if (attachment->mode == MODE_TC) {
		snprintf(attachment->reason, sizeof(attachment->reason), "%s", x->why);
	}
	return 0;
}

static int sync_forced(struct xdp *x, struct attachment *attachment)
{
	int err;

	attachment->mode = attachment->wanted;
	err = find_carrier(x);
	if (!err)
		err = take(x, attachment);
	if (err)
		msg_error("cannot attach to %s in mode %s: %s", x->dev->name,
			  attach_mode_names[attachment->wanted], x->why);
	else
		warn_of_tags(x, attachment);
	return err;
}

int xdp_sync(const struct state *state, const struct pins *pins, const struct netdevs *devs,
	     const struct netdev *dev, struct attachment *attachment)
{
	struct xdp x = { .state = state, .pins = pins, .devs = devs, .dev = dev };
	int err = xdp_drop(state, pins, dev->ifindex, attachment);

	attachment->reason[0] = '\0';
	if (err || attachment->wanted == MODE_TC)
		return err;
	return attachment->wanted == MODE_AUTO ? sync_auto(&x, attachment)
					       : sync_forced(&x, attachment);
}

int xdp_drop(const struct state *state, const struct pins *pins, unsigned int ifindex,
	     struct attachment *attachment)
{
	const unsigned int carrier = attachment->carrier;
	struct attachment sharer;
	char name[IF_NAMESIZE];
	int err = 0;

	if (carrier && !find_sharer(state, carrier, ifindex, &sharer)) {
		err = link_unpin(pins, carrier, "xdp");
		if (attachment->offload && if_indextoname(carrier, name))
			offload_set(name, attachment->offload, true);
	}
	attachment->mode = MODE_TC;
	attachment->carrier = 0;
	attachment->offload = 0;
	return err;
}

bool xdp_sees_tags(const struct netdevs *devs, const struct attachment *attachment)
{
	const struct netdev *on = netdev_by_index(devs, attachment->carrier);
	unsigned int kept = on ? offload_get(on->name) : 0;

	return !(kept & attachment->offload) && (!kept || !netdev_has_vlans(devs, on));
}

bool xdp_is_attached(const struct pins *pins, const struct attachment *attachment)
{
	return attachment->mode == MODE_TC || link_is_alive(pins, attachment->carrier, "xdp");
}
