// SPDX-License-Identifier: GPL-2.0-or-later
/* The network interfaces of this namespace: link and address dumps, and XDP features. */
#include "netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "netlink.h"

#define DUMP_TRIES              5

/* Of the "netdev" generic netlink family (Linux 6.3), newer than the headers we build with. */
#define NETDEV_FAMILY           "netdev"
#define NETDEV_DEV_GET          1
#define NETDEV_DEV_IFINDEX      1
#define NETDEV_DEV_XDP_FEATURES 3
#define NETDEV_XDP_BASIC        (1U << 0)
#define NETDEV_XDP_NDO_XMIT     (1U << 2)

static struct netdev *netdev_find(struct netdevs *devs, unsigned int ifindex)
{
	for (size_t i = 0; i < devs->count; i++)
		if (devs->list[i].ifindex == ifindex)
			return &devs->list[i];
	return NULL;
}

static int read_vlan(const struct nlattr *attr, void *context)
{
	struct netdev *dev = context;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_VLAN_ID:
		dev->vlan.id = htons(mnl_attr_get_u16(attr));
		break;
	case IFLA_VLAN_PROTOCOL:
		memcpy(&dev->vlan.proto, mnl_attr_get_payload(attr), sizeof(dev->vlan.proto));
		break;
	case IFLA_VLAN_EGRESS_QOS:
		dev->has_priorities = true;
		break;
	}
	return MNL_CB_OK;
}

/* The kernel gives the kind first. */
static int read_kind(const struct nlattr *attr, void *context)
{
	struct netdev *dev = context;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		strncpy(dev->kind, mnl_attr_get_str(attr), sizeof(dev->kind) - 1);
	else if (mnl_attr_get_type(attr) == IFLA_INFO_DATA && netdev_is_vlan(dev))
		mnl_attr_parse_nested(attr, read_vlan, dev);
	return MNL_CB_OK;
}

static int read_link_attr(const struct nlattr *attr, void *context)
{
	struct netdev *dev = context;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		strncpy(dev->name, mnl_attr_get_str(attr), sizeof(dev->name) - 1);
		break;
	case IFLA_LINK:
		dev->lower = mnl_attr_get_u32(attr);
		break;
	case IFLA_LINK_NETNSID:
		dev->lower_netns = mnl_attr_get_u32(attr);
		break;
	case IFLA_QDISC:
		dev->has_queue = strcmp(mnl_attr_get_str(attr), "noqueue");
		break;
	case IFLA_MTU:
		dev->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(dev->mac))
			memcpy(dev->mac, mnl_attr_get_payload(attr), sizeof(dev->mac));
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attr, read_kind, dev);
		break;
	}
	return MNL_CB_OK;
}

static int read_link(const struct nlmsghdr *msg, void *context)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(msg);
	struct netdevs *devs = context;
	struct netdev *dev;

	dev = realloc(devs->list, (devs->count + 1) * sizeof(*dev));
	if (!dev) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	devs->list = dev;
	dev += devs->count++;
	memset(dev, 0, sizeof(*dev));
	dev->ifindex = info->ifi_index;
	dev->type = info->ifi_type;
	dev->up = info->ifi_flags & IFF_UP;
	dev->has_carrier = info->ifi_flags & IFF_RUNNING;
	dev->lower_netns = NETDEV_HERE;
	mnl_attr_parse(msg, sizeof(*info), read_link_attr, dev);
	if (netdev_is_vlan(dev) && dev->lower_netns == NETDEV_HERE)
		dev->vlan.ifindex = dev->lower;
	return MNL_CB_OK;
}

/* What one message says of an address. */
struct addr_message {
	struct netdev_address addr;
	bool local; /* IFA_LOCAL was there: on point-to-point links IFA_ADDRESS is the peer's */
	uint32_t flags;
};

static int read_addr_attr(const struct nlattr *attr, void *context)
{
	struct addr_message *m = context;
	uint16_t type = mnl_attr_get_type(attr);
	size_t size = m->addr.family == AF_INET ? 4 : 16;

	if (type == IFA_FLAGS)
		m->flags = mnl_attr_get_u32(attr);
	if ((type != IFA_LOCAL && (type != IFA_ADDRESS || m->local)) ||
	    mnl_attr_get_payload_len(attr) != size)
		return MNL_CB_OK;
	memcpy(m->addr.word, mnl_attr_get_payload(attr), size);
	m->local = type == IFA_LOCAL;
	return MNL_CB_OK;
}

static struct addr_message addr_message(const struct nlmsghdr *msg)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(msg);
	struct addr_message m = { .addr.family = info->ifa_family, .flags = info->ifa_flags };

	if (info->ifa_family == AF_INET || info->ifa_family == AF_INET6)
		mnl_attr_parse(msg, sizeof(*info), read_addr_attr, &m);
	return m;
}

static void note_addr4(struct netdev *dev, const struct addr_message *m, bool global)
{
	if (dev->has_addr4 || m->flags & IFA_F_SECONDARY)
		return;
	if (global || !dev->addr4)
		dev->addr4 = m->addr.word[0];
	dev->has_addr4 = global;
}

/*
 * What is best to send from, as RFC 6724 5 (rules 3 and 6) and RFC 4862 5.4 have it: an address that
 * is deprecated while there is no other, one that is not yet known to be unique if need be, and of
 * two that are alike the one that is not a site's own (RFC 4193).
 */
static uint8_t addr6_rank(const struct addr_message *m)
{
	uint8_t rank = ntohl(m->addr.word[0]) >> 25 != 0xfc >> 1;

	if (m->flags & (IFA_F_TEMPORARY | IFA_F_DADFAILED))
		return 0;
	if (m->flags & IFA_F_TENTATIVE && !(m->flags & IFA_F_OPTIMISTIC))
		return rank + 2;
	return rank + (m->flags & IFA_F_DEPRECATED ? 4 : 6);
}

static void note_addr6(struct netdev *dev, const struct addr_message *m, bool global)
{
	if (global && m->flags & IFA_F_PERMANENT)
		dev->has_fixed6 = true;
	if (!global || addr6_rank(m) <= dev->addr6_rank)
		return;
	memcpy(dev->addr6, m->addr.word, sizeof(dev->addr6));
	dev->addr6_rank = addr6_rank(m);
}

static int read_addr(const struct nlmsghdr *msg, void *context)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(msg);
	struct netdev *dev = netdev_find(context, info->ifa_index);
	struct addr_message m = addr_message(msg);
	bool global = info->ifa_scope == RT_SCOPE_UNIVERSE;

	if (dev && info->ifa_family == AF_INET)
		note_addr4(dev, &m, global);
	else if (dev && info->ifa_family == AF_INET6)
		note_addr6(dev, &m, global);
	return MNL_CB_OK;
}

static int read_family_attr(const struct nlattr *attr, void *context)
{
	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
		*(uint16_t *)context = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static int read_family(const struct nlmsghdr *msg, void *context)
{
	mnl_attr_parse(msg, sizeof(struct genlmsghdr), read_family_attr, context);
	return MNL_CB_OK;
}

struct features {
	uint32_t ifindex;
	uint64_t xdp;
};

static int read_features_attr(const struct nlattr *attr, void *context)
{
	struct features *features = context;

	if (mnl_attr_get_type(attr) == NETDEV_DEV_IFINDEX)
		features->ifindex = mnl_attr_get_u32(attr);
	else if (mnl_attr_get_type(attr) == NETDEV_DEV_XDP_FEATURES)
		features->xdp = mnl_attr_get_u64(attr);
	return MNL_CB_OK;
}

static int read_features(const struct nlmsghdr *msg, void *context)
{
	struct features features = { 0 };
	struct netdev *dev;

	mnl_attr_parse(msg, sizeof(struct genlmsghdr), read_features_attr, &features);
	dev = netdev_find(context, features.ifindex);
	if (dev) {
		dev->takes_redirects = features.xdp & NETDEV_XDP_NDO_XMIT;
		dev->runs_xdp = features.xdp & NETDEV_XDP_BASIC;
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *generic_request(char *buffer, uint16_t family, uint8_t command)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *generic;

	msg->nlmsg_type = family;
	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	generic = mnl_nlmsg_put_extra_header(msg, sizeof(*generic));
	generic->cmd = command;
	generic->version = 1;
	return msg;
}

void netdevs_ask_redirects(struct netdevs *devs)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *msg;
	uint16_t family = 0;

	msg = generic_request(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	mnl_attr_put_strz(msg, CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY);
	if (!netlink_ask(NETLINK_GENERIC, msg, read_family, &family) && family) {
		msg = generic_request(buffer, family, NETDEV_DEV_GET);
		msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		devs->tell_redirects = !netlink_ask(NETLINK_GENERIC, msg, read_features, devs);
	}
}

static struct nlmsghdr *dump_request(char *buffer, uint16_t type, size_t header)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);

	msg->nlmsg_type = type;
	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(msg, header);
	return msg;
}

static int read_links(struct netdevs *devs)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	int err;

	memset(devs, 0, sizeof(*devs));
	err = netlink_ask(NETLINK_ROUTE,
			  dump_request(buffer, RTM_GETLINK, sizeof(struct ifinfomsg)), read_link,
			  devs);
	if (err)
		netdevs_free(devs);
	return err;
}

static int read_links_and_addresses(struct netdevs *devs)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	int err = read_links(devs);

	if (!err)
		err = netlink_ask(NETLINK_ROUTE,
				  dump_request(buffer, RTM_GETADDR, sizeof(struct ifaddrmsg)),
				  read_addr, devs);
	if (err) {
		netdevs_free(devs);
		return err;
	}
	return 0;
}

/* What changes while it is told (-EINTR) has to be asked for from the start. */
static int read_unchanged(int (*read)(struct netdevs *devs), struct netdevs *devs)
{
	int err = -EINTR;

	for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++)
		err = read(devs);
	return err;
}

int netdevs_get_links(struct netdevs *devs)
{
	return read_unchanged(read_links, devs);
}

int netdevs_get(struct netdevs *devs)
{
	return read_unchanged(read_links_and_addresses, devs);
}

int netdev_ask_peer(const struct netdev *dev, struct netdev *peer)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	struct netdevs found = { 0 };
	struct ifinfomsg *info;
	int err;

	msg->nlmsg_type = RTM_GETLINK;
	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	info = mnl_nlmsg_put_extra_header(msg, sizeof(*info));
	info->ifi_index = dev->lower;
	mnl_attr_put_u32(msg, IFLA_TARGET_NETNSID, dev->lower_netns);
	err = netlink_ask(NETLINK_ROUTE, msg, read_link, &found);
	/* Should the other end have gone meanwhile, another may have got its index. */
	if (!err && (found.count != 1 || strcmp(found.list[0].kind, "veth") ||
		     found.list[0].lower != dev->ifindex))
		err = -ENODEV;
	if (!err)
		*peer = found.list[0];
	netdevs_free(&found);
	return err;
}

struct qdisc_find {
	unsigned int ifindex;
	int found;
};

static int find_clsact(const struct nlmsghdr *msg, void *context)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(msg);
	struct qdisc_find *find = context;

	if (tc->tcm_ifindex == (int)find->ifindex && tc->tcm_parent == TC_H_CLSACT)
		find->found = 1;
	return MNL_CB_OK;
}

int netdev_has_clsact(unsigned int ifindex)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *msg = dump_request(buffer, RTM_GETQDISC, sizeof(struct tcmsg));
	struct tcmsg *tc = mnl_nlmsg_get_payload(msg);
	struct qdisc_find find = { .ifindex = ifindex };
	int err;

	tc->tcm_ifindex = ifindex;
	err = netlink_ask(NETLINK_ROUTE, msg, find_clsact, &find);
	return err ? err : find.found;
}

/* Filters, but for one. */
struct filter_count {
	uint32_t priority;
	uint32_t handle;
	int count;
};

/* A priority is dumped itself, too, with handle 0. */
static int count_filter(const struct nlmsghdr *msg, void *context)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(msg);
	struct filter_count *filters = context;

	filters->count += TC_H_MAJ(tc->tcm_info) >> 16 != filters->priority ||
			  (tc->tcm_handle && tc->tcm_handle != filters->handle);
	return MNL_CB_OK;
}

static struct nlmsghdr *filters_request(char *buffer, unsigned int ifindex, uint32_t hook)
{
	struct nlmsghdr *msg = dump_request(buffer, RTM_GETTFILTER, sizeof(struct tcmsg));
	struct tcmsg *tc = mnl_nlmsg_get_payload(msg);

	tc->tcm_ifindex = ifindex;
	tc->tcm_parent = TC_H_MAKE(TC_H_CLSACT, hook);
	return msg;
}

/* What cannot be asked counts as a filter. */
static void count_filters(unsigned int ifindex, uint32_t hook, struct filter_count *filters)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *msg = filters_request(buffer, ifindex, hook);

	filters->count += netlink_ask(NETLINK_ROUTE, msg, count_filter, filters) ? 1 : 0;
}

bool netdev_has_filters(unsigned int ifindex)
{
	struct filter_count filters = { 0 };

	count_filters(ifindex, TC_H_MIN_INGRESS, &filters);
	count_filters(ifindex, TC_H_MIN_EGRESS, &filters);
	return filters.count > 0;
}

bool netdev_has_egress_filters(unsigned int ifindex, uint32_t priority, uint32_t handle)
{
	struct filter_count filters = { .priority = priority, .handle = handle };

	count_filters(ifindex, TC_H_MIN_EGRESS, &filters);
	return filters.count > 0;
}

/* Priorities that the kernel gives: downwards from this one, and no lower ones. */
#define PRIORITY_FIRST 0xc000
#define PRIORITY_LEAST 0x8000

/* From its own choices on, the least priority in use; see tcf_chain_tp_find(). */
static int find_least(const struct nlmsghdr *msg, void *context)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(msg);
	uint32_t priority = TC_H_MAJ(tc->tcm_info) >> 16, *least = context;

	if (priority >= PRIORITY_LEAST && (!*least || priority < *least))
		*least = priority;
	return MNL_CB_OK;
}

uint32_t netdev_filter_priority(unsigned int ifindex, bool egress)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *msg =
		filters_request(buffer, ifindex, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
	uint32_t least = 0;

	if (netlink_ask(NETLINK_ROUTE, msg, find_least, &least))
		return 0;
	return least ? least - 1 : PRIORITY_FIRST;
}

struct addresses {
	struct netdev_address *list;
	size_t count;
};

static int add_address(const struct nlmsghdr *msg, void *context)
{
	struct addr_message m = addr_message(msg);
	struct addresses *addresses = context;
	struct netdev_address *more;

	if ((m.addr.family != AF_INET && m.addr.family != AF_INET6) || m.flags & IFA_F_DADFAILED)
		return MNL_CB_OK;
	more = realloc(addresses->list, (addresses->count + 1) * sizeof(*more));
	if (!more) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	addresses->list = more;
	more[addresses->count++] = m.addr;
	return MNL_CB_OK;
}

int netdev_addresses(struct netdev_address **list, size_t *count)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct addresses addresses = { 0 };
	int err = -EINTR;

	for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
		addresses.count = 0;
		err = netlink_ask(NETLINK_ROUTE,
				  dump_request(buffer, RTM_GETADDR, sizeof(struct ifaddrmsg)),
				  add_address, &addresses);
	}

	*list = addresses.list;
	*count = addresses.count;
	return err;
}

struct indexes {
	unsigned int *list;
	size_t count;
};

static int read_oif(const struct nlattr *attr, void *context)
{
	if (mnl_attr_get_type(attr) == RTA_OIF)
		*(unsigned int *)context = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int add_advertised(const struct nlmsghdr *msg, void *context)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(msg);
	struct indexes *indexes = context;
	unsigned int *more;

	if (route->rtm_protocol != RTPROT_RA || route->rtm_dst_len)
		return MNL_CB_OK;
	more = realloc(indexes->list, (indexes->count + 1) * sizeof(*more));
	if (!more) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	indexes->list = more;
	more[indexes->count] = 0;
	mnl_attr_parse(msg, sizeof(*route), read_oif, &more[indexes->count++]);
	return MNL_CB_OK;
}

int netdev_advertised(unsigned int **list, size_t *count)
{
	char buffer[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *msg = dump_request(buffer, RTM_GETROUTE, sizeof(struct rtmsg));
	struct rtmsg *route = mnl_nlmsg_get_payload(msg);
	struct indexes indexes = { 0 };
	int err;

	route->rtm_family = AF_INET6;
	err = netlink_ask(NETLINK_ROUTE, msg, add_advertised, &indexes);
	*list = indexes.list;
	*count = indexes.count;
	return err;
}

void netdevs_free(struct netdevs *devs)
{
	free(devs->list);
	memset(devs, 0, sizeof(*devs));
}
