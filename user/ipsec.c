// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipsec.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <string.h>

#include "netlink.h"

static int read_associations(const struct nlattr *attr, void *count)
{
	if (mnl_attr_get_type(attr) == XFRMA_SAD_CNT)
		*(__u32 *)count = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int read_policies(const struct nlattr *attr, void *count)
{
	struct xfrmu_spdinfo info;

	if (mnl_attr_get_type(attr) == XFRMA_SPD_INFO &&
	    mnl_attr_get_payload_len(attr) >= sizeof(info)) {
		memcpy(&info, mnl_attr_get_payload(attr), sizeof(info));
		*(__u32 *)count = info.outcnt;
	}
	return MNL_CB_OK;
}

static int read_answer(const struct nlmsghdr *msg, void *count)
{
	mnl_attr_parse(msg, sizeof(__u32),
		       msg->nlmsg_type == XFRM_MSG_NEWSADINFO ? read_associations : read_policies,
		       count);
	return MNL_CB_STOP;
}

static int ask(__u16 type, __u32 *count)
{
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(__u32))];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	int err;

	*count = 0;
	msg->nlmsg_type = type;
	msg->nlmsg_flags = NLM_F_REQUEST;
	memset(mnl_nlmsg_put_extra_header(msg, sizeof(__u32)), 0, sizeof(__u32));
	err = netlink_ask(NETLINK_XFRM, msg, read_answer, count);
	return err == -EPROTONOSUPPORT ? 0 : err;
}

int ipsec_count_associations(__u32 *count)
{
	return ask(XFRM_MSG_GETSADINFO, count);
}

int ipsec_count_policies(__u32 *count)
{
	return ask(XFRM_MSG_GETSPDINFO, count);
}
