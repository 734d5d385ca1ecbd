// SPDX-License-Identifier: GPL-2.0-or-later
/* Attaching interfaces: TCX by pinned links, tc by clsact filters where it is missing; XDP: see xdp.h. */
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
#include "xdp.h"

/* enum bpf_attach_type of Linux 6.6, newer than the headers we build with. */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

enum direction { INGRESS, EGRESS };

static const char *const link_suffix[] = { [INGRESS] = "ingress", [EGRESS] = "egress" };
static const char *const program_names[] = { [INGRESS] = "tc_ingress", [EGRESS] = "tc_egress" };

#define PLACE_TRIES 16 /* for a filter, where others make theirs at the same time */

static int tcx_attach(const struct pins *pins, int prog, unsigned int ifindex, enum direction to)
{
	int link;

	if (getenv("XFWD_NO_TCX"))
		return -EINVAL;
	link = bpf_link_create(prog, ifindex, to == INGRESS ? TCX_INGRESS : TCX_EGRESS, NULL);
	return link < 0 ? link : link_pin(pins, link, ifindex, link_suffix[to]);
}

static enum bpf_tc_attach_point attach_point(enum direction to)
{
	return to == INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

/* On record before it is done, as all that follows: whatever an interrupted call has left is found. */
static int hook_make(const struct state *state, unsigned int ifindex, struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	int err, found = netdev_has_clsact(ifindex);

	if (found)
		return found < 0 ? found : 0;
	attachment->made_qdisc = 1;
	err = attachment_put(state, ifindex, attachment);
	if (!err)
		err = bpf_tc_hook_create(&hook);
	if (err)
		attachment->made_qdisc = 0;
	return err == -EEXIST ? 0 : err;
}

static int filter_make(const struct state *state, int prog, unsigned int ifindex, enum direction to,
		       struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(to));
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog, .handle = 1,
		    .priority = netdev_filter_priority(ifindex, to == EGRESS));
	int err;

	if (!opts.priority)
		return -EIO;
	attachment->clsact = 1;
	attachment->priority[to] = opts.priority;
	attachment->handle[to] = opts.handle;
	err = attachment_put(state, ifindex, attachment);
	if (!err)
		err = bpf_tc_attach(&hook, &opts);
	if (err)
		attachment->priority[to] = 0;
	return err;
}

/* A place that was free a moment ago may be taken: -EINVAL by another kind of filter. */
static int clsact_attach(const struct state *state, int prog, unsigned int ifindex,
			 enum direction to, struct attachment *attachment)
{
	int err = hook_make(state, ifindex, attachment), tries = PLACE_TRIES;

	if (err)
		return err;
	do {
		err = filter_make(state, prog, ifindex, to, attachment);
	} while ((err == -EEXIST || err == -EINVAL) && --tries);
	return err;
}

/* What is on record may not have been made, and its place be another's by now. */
static bool clsact_is_attached(const struct pins *pins, unsigned int ifindex, enum direction to,
			       const struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(to));
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = attachment->priority[to],
		    .handle = attachment->handle[to]);
	__u32 id;

	if (!attachment->priority[to] || bpf_tc_query(&hook, &opts))
		return false;
	id = loader_program_id(pins, program_names[to]);
	return !id || id == opts.prog_id;
}

/* Both directions? A call that was killed may have left one, or none. */
static bool tc_is_attached(const struct pins *pins, unsigned int ifindex,
			   const struct attachment *attachment)
{
	if (attachment->clsact)
		return clsact_is_attached(pins, ifindex, INGRESS, attachment) &&
		       clsact_is_attached(pins, ifindex, EGRESS, attachment);
	return link_is_alive(pins, ifindex, link_suffix[INGRESS]) &&
	       link_is_alive(pins, ifindex, link_suffix[EGRESS]);
}

static void clsact_detach(const struct pins *pins, unsigned int ifindex, enum direction to,
			  struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(to));
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = attachment->priority[to],
		    .handle = attachment->handle[to]);

	if (clsact_is_attached(pins, ifindex, to, attachment))
		bpf_tc_detach(&hook, &opts);
	attachment->priority[to] = 0;
	attachment->handle[to] = 0;
}

static void tc_detach(const struct pins *pins, unsigned int ifindex, struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	for (int to = INGRESS; to <= EGRESS; to++) {
		link_unpin(pins, ifindex, link_suffix[to]);
		clsact_detach(pins, ifindex, to, attachment);
	}
	attachment->clsact = 0;
	if (attachment->made_qdisc && !netdev_has_filters(ifindex)) {
		bpf_tc_hook_destroy(&hook);
		attachment->made_qdisc = 0;
	}
}

static int tc_attach(const struct state *state, const struct pins *pins, unsigned int ifindex,
		     struct attachment *attachment)
{
	int err = 0;

	/* Egress first: what ingress translates must find its way back translated. */
	for (int to = EGRESS; to >= INGRESS && !err; to--) {
		int prog = loader_program(pins, program_names[to]);

		if (prog < 0)
			return prog;
		err = tcx_attach(pins, prog, ifindex, to);
		if (err == -EINVAL)
			err = clsact_attach(state, prog, ifindex, to, attachment);
		close(prog);
	}
	if (err)
		tc_detach(pins, ifindex, attachment);
	return err;
}

int attachment_put(const struct state *state, unsigned int ifindex,
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

bool attachments_are_current(const struct state *state, const struct netdevs *devs)
{
	struct attachment attachment;
	unsigned int *list;
	size_t count;
	bool current = !attachment_list(state, &list, &count);

	for (size_t i = 0; i < count && current; i++) {
		const struct netdev *dev = netdev_by_index(devs, list[i]);

		current = dev && !attachment_get(state, list[i], &attachment) &&
			  !strcmp(attachment.name, dev->name);
	}
	free(list);
	return current;
}

bool attach_is_complete(const struct state *state, const struct pins *pins,
			const struct netdev *dev)
{
	struct attachment attachment;

	return !attachment_get(state, dev->ifindex, &attachment) &&
	       tc_is_attached(pins, dev->ifindex, &attachment) &&
	       xdp_is_attached(pins, &attachment);
}

int attach_without_xdp(const struct state *state, const struct pins *pins, unsigned int ifindex)
{
	struct attachment attachment;
	int err = attachment_get(state, ifindex, &attachment);

	if (!err)
		err = xdp_drop(state, pins, ifindex, &attachment);
	attachment.wanted = MODE_TC;
	attachment.reason[0] = '\0';
	return err ? err : attachment_put(state, ifindex, &attachment);
}

int attach_interface(const struct state *state, const struct pins *pins, const struct netdevs *devs,
		     const struct netdev *dev, enum attach_mode wanted)
{
	struct attachment attachment = { 0 };
	bool known = !attachment_get(state, dev->ifindex, &attachment);
	bool attached = known && tc_is_attached(pins, dev->ifindex, &attachment);
	int err = 0;

	if (attached && attachment.wanted == wanted && xdp_is_attached(pins, &attachment) &&
	    xdp_sees_tags(devs, &attachment))
		return 0;
	attachment.wanted = wanted;
	strcpy(attachment.name, dev->name);
	if (!attached) {
		if (known)
			tc_detach(pins, dev->ifindex, &attachment);
		/* On record before it is done: an interrupted call is then found, and mended. */
		err = attachment_put(state, dev->ifindex, &attachment);
		if (!err)
			err = tc_attach(state, pins, dev->ifindex, &attachment);
		if (err) {
			const char *words = loader_words();

			msg_error("cannot attach to %s: %s%s%s", dev->name, strerror(-err),
				  *words ? ": " : "", words);
			bpf_map_delete_elem(state->map[MAP_attachments], &dev->ifindex);
			return err;
		}
	}
	err = xdp_sync(state, pins, devs, dev, &attachment);
	if (!err)
		err = attachment_put(state, dev->ifindex, &attachment);
	if (err && attached)
		attach_without_xdp(state, pins, dev->ifindex);
	if (err && !attached) {
		xdp_drop(state, pins, dev->ifindex, &attachment);
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
	err = xdp_drop(state, pins, ifindex, &attachment);
	tc_detach(pins, ifindex, &attachment);
	if (!err)
		err = bpf_map_delete_elem(state->map[MAP_attachments], &ifindex);
	return err;
}
