// SPDX-License-Identifier: GPL-2.0-or-later
/* Attaching interfaces: XDP and TCX by pinned links; tc by clsact filters where TCX is missing. */
#include "attach.h"

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

/* enum bpf_attach_type of Linux 6.6, newer than the headers we build with. */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

enum direction { INGRESS, EGRESS };

static const char *const link_suffix[] = { [INGRESS] = "ingress", [EGRESS] = "egress" };

/*
 * The kernel says why it refuses only over netlink, so ask there too. Should that succeed, whatever
 * was in the way has gone: the caller's error stands.
 */
static void xdp_refusal(const struct netdev *dev, int prog, __u32 flags, int err, char *reason)
{
	__u32 id = 0;

	if (!bpf_xdp_query_id(dev->ifindex, 0, &id) && id) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd >= 0) {
			bpf_obj_get_info_by_fd(fd, &info, &size);
			close(fd);
		}
		snprintf(reason, ATTACH_REASON_MAX,
			 "another XDP program is attached there: \"%s\" (id %u)", info.name, id);
		return;
	}
	loader_words();
	if (!bpf_xdp_attach(dev->ifindex, prog, flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL))
		bpf_xdp_detach(dev->ifindex, flags, NULL);
	snprintf(reason, ATTACH_REASON_MAX, "%s", loader_words());
	if (!*reason)
		snprintf(reason, ATTACH_REASON_MAX, "%s", strerror(-err));
}

static int xdp_attach(const struct pins *pins, const struct netdev *dev, enum attach_mode mode,
		      char *reason)
{
	const char *native = dev->kind[0] ? "xdp_virtual" : "xdp_wire";
	const char *name = mode == MODE_GENERIC ? "xdp_generic" : native;
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = mode == MODE_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int prog = loader_program(pins, name), link, err;

	if (prog < 0) {
		snprintf(reason, ATTACH_REASON_MAX, "the program does not load: %.90s",
			 loader_words());
		return prog;
	}
	link = bpf_link_create(prog, dev->ifindex, BPF_XDP, &opts);
	err = link < 0 ? link : link_pin(pins, link, dev->ifindex, "xdp");
	if (err)
		xdp_refusal(dev, prog, opts.flags, err, reason);
	close(prog);
	return err;
}

static int tcx_attach(const struct pins *pins, int prog, unsigned int ifindex, enum direction to)
{
	int link;

	if (getenv("XFWD_NO_TCX"))
		return -EINVAL;
	link = bpf_link_create(prog, ifindex, to == INGRESS ? TCX_INGRESS : TCX_EGRESS, NULL);
	return link < 0 ? link : link_pin(pins, link, ifindex, link_suffix[to]);
}

static bool xdp_is_attached(const struct pins *pins, const struct netdev *dev,
			    const struct attachment *attachment)
{
	return attachment->mode == MODE_TC || link_is_alive(pins, dev->ifindex, "xdp");
}

static enum bpf_tc_attach_point attach_point(enum direction to)
{
	return to == INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

static int clsact_attach(int prog, unsigned int ifindex, enum direction to,
			 struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(to));
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog);
	int err;

	err = bpf_tc_hook_create(&hook);
	if (!err)
		attachment->made_qdisc = 1;
	else if (err != -EEXIST)
		return err;
	err = bpf_tc_attach(&hook, &opts);
	if (err)
		return err;
	attachment->clsact = 1;
	attachment->priority[to] = opts.priority;
	attachment->handle[to] = opts.handle;
	return 0;
}

static bool clsact_is_attached(unsigned int ifindex, enum direction to,
			       const struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(to));
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = attachment->priority[to],
		    .handle = attachment->handle[to]);

	return attachment->priority[to] && !bpf_tc_query(&hook, &opts);
}

/* Both directions? A call that was killed may have left one, or none. */
static bool tc_is_attached(const struct pins *pins, unsigned int ifindex,
			   const struct attachment *attachment)
{
	if (attachment->clsact)
		return clsact_is_attached(ifindex, INGRESS, attachment) &&
		       clsact_is_attached(ifindex, EGRESS, attachment);
	return link_is_alive(pins, ifindex, link_suffix[INGRESS]) &&
	       link_is_alive(pins, ifindex, link_suffix[EGRESS]);
}

static void clsact_detach(unsigned int ifindex, enum direction to,
			  const struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(to));
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = attachment->priority[to],
		    .handle = attachment->handle[to]);

	if (attachment->priority[to])
		bpf_tc_detach(&hook, &opts);
}

static void tc_detach(const struct pins *pins, unsigned int ifindex,
		      const struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	for (int to = INGRESS; to <= EGRESS; to++) {
		link_unpin(pins, ifindex, link_suffix[to]);
		clsact_detach(ifindex, to, attachment);
	}
	if (attachment->made_qdisc && !netdev_has_filters(ifindex))
		bpf_tc_hook_destroy(&hook);
}

static int tc_attach(const struct pins *pins, unsigned int ifindex, struct attachment *attachment)
{
	static const char *const names[] = { [INGRESS] = "tc_ingress", [EGRESS] = "tc_egress" };
	int err = 0;

	/* Egress first: what ingress translates must find its way back translated. */
	for (int to = EGRESS; to >= INGRESS && !err; to--) {
		int prog = loader_program(pins, names[to]);

		if (prog < 0)
			return prog;
		err = tcx_attach(pins, prog, ifindex, to);
		if (err == -EINVAL)
			err = clsact_attach(prog, ifindex, to, attachment);
		close(prog);
	}
	if (err)
		tc_detach(pins, ifindex, attachment);
	return err;
}

/* What `auto` comes to here, before anything is tried; says why where it is not native XDP. */
static enum attach_mode mode_choose(const struct netdev *dev, char *reason)
{
	if (dev->type != ARPHRD_ETHER) {
		snprintf(reason, ATTACH_REASON_MAX, "not an Ethernet device");
		return MODE_TC;
	}
	if (dev->kind[0]) {
		snprintf(reason, ATTACH_REASON_MAX,
			 "%s: packets come with partial checksums and segmentation left to do, "
			 "which tc keeps",
			 dev->kind);
		return MODE_TC;
	}
	return MODE_NATIVE;
}

/* XDP as wanted, in place of what is there. In auto mode a refusal is a reason, not an error. */
static int xdp_sync(const struct pins *pins, const struct netdev *dev,
		    struct attachment *attachment)
{
	enum attach_mode mode = attachment->wanted;
	char why[ATTACH_REASON_MAX] = "";
	int err;

	attachment->reason[0] = '\0';
	if (mode == MODE_AUTO)
		mode = mode_choose(dev, attachment->reason);
	else if (mode != MODE_TC && dev->type != ARPHRD_ETHER) {
		msg_error("%s is not an Ethernet device: only mode tc works there", dev->name);
		return -EOPNOTSUPP;
	}
	attachment->mode = mode;
	err = link_unpin(pins, dev->ifindex, "xdp");
	if (err || mode == MODE_TC)
		return err;
	err = xdp_attach(pins, dev, mode, why);
	if (!err)
		return 0;
	if (attachment->wanted != MODE_AUTO) {
		msg_error("cannot attach to %s in mode %s: %s", dev->name, attach_mode_names[mode],
			  why);
		return err;
	}
	attachment->mode = MODE_TC;
	snprintf(attachment->reason, sizeof(attachment->reason), "no native XDP: %.100s", why);
	return 0;
}

static int attachment_put(const struct state *state, unsigned int ifindex,
			  const struct attachment *attachment)
{
	char value[XFWD_ATTACHMENT_SIZE] = { 0 };

	memcpy(value, attachment, sizeof(*attachment));
	return bpf_map_update_elem(state->map[MAP_attachments], &ifindex, value, BPF_ANY);
}

int attachment_get(const struct state *state, unsigned int ifindex, struct attachment *attachment)
{
	char value[XFWD_ATTACHMENT_SIZE];
	int err = bpf_map_lookup_elem(state->map[MAP_attachments], &ifindex, value);

	if (!err)
		memcpy(attachment, value, sizeof(*attachment));
	return err;
}

int attachment_list(const struct state *state, unsigned int **list, size_t *count)
{
	unsigned int key, *keys = NULL, *more;
	int err;

	*count = 0;
	*list = NULL;
	err = bpf_map_get_next_key(state->map[MAP_attachments], NULL, &key);
	while (!err) {
		more = realloc(keys, (*count + 1) * sizeof(*keys));
		if (!more) {
			free(keys);
			return -ENOMEM;
		}
		keys = more;
		keys[(*count)++] = key;
		err = bpf_map_get_next_key(state->map[MAP_attachments], &key, &key);
	}
	*list = keys;
	return err == -ENOENT ? 0 : err;
}

bool attach_is_complete(const struct state *state, const struct pins *pins,
			const struct netdev *dev)
{
	struct attachment attachment;

	return !attachment_get(state, dev->ifindex, &attachment) &&
	       tc_is_attached(pins, dev->ifindex, &attachment) &&
	       xdp_is_attached(pins, dev, &attachment);
}

int attach_interface(const struct state *state, const struct pins *pins, const struct netdev *dev,
		     enum attach_mode wanted)
{
	struct attachment attachment = { 0 };
	bool known = !attachment_get(state, dev->ifindex, &attachment);
	bool attached = known && tc_is_attached(pins, dev->ifindex, &attachment);
	int err = 0;

	if (attached && attachment.wanted == wanted && xdp_is_attached(pins, dev, &attachment))
		return 0;
	attachment.wanted = wanted;
	strcpy(attachment.name, dev->name);
	if (!attached) {
		if (known)
			tc_detach(pins, dev->ifindex, &attachment);
		/* On record before it is done: an interrupted call is then found, and mended. */
		err = attachment_put(state, dev->ifindex, &attachment);
		if (!err)
			err = tc_attach(pins, dev->ifindex, &attachment);
		if (err) {
			const char *words = loader_words();

			msg_error("cannot attach to %s: %s%s%s", dev->name, strerror(-err),
				  *words ? ": " : "", words);
			bpf_map_delete_elem(state->map[MAP_attachments], &dev->ifindex);
			return err;
		}
	}
	err = xdp_sync(pins, dev, &attachment);
	if (!err)
		err = attachment_put(state, dev->ifindex, &attachment);
	if (err && !attached) {
		link_unpin(pins, dev->ifindex, "xdp");
		tc_detach(pins, dev->ifindex, &attachment);
		bpf_map_delete_elem(state->map[MAP_attachments], &dev->ifindex);
	}
	return err;
}

int detach_interface(const struct state *state, const struct pins *pins, unsigned int ifindex)
{
	struct attachment attachment;
	int err = attachment_get(state, ifindex, &attachment);

	if (err)
		return err;
	err = link_unpin(pins, ifindex, "xdp");
	tc_detach(pins, ifindex, &attachment);
	if (!err)
		err = bpf_map_delete_elem(state->map[MAP_attachments], &ifindex);
	return err;
}
