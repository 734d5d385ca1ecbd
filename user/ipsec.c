// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipsec.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <string.h>

#include "netlink.h"

static int read_states(const struct nlattr *attr, void *ipsec)
{
	if (mnl_attr_get_type(attr) == XFRMA_SAD_CNT)
		((struct ipsec *)ipsec)->states = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int read_policies(const struct nlattr *attr, void *ipsec)
{
	struct xfrmu_spdinfo info;

	if (mnl_attr_get_type(attr) == XFRMA_SPD_INFO &&
	    mnl_attr_get_payload_len(attr) >= sizeof(info)) {
		memcpy(&info, mnl_attr_get_payload(attr), sizeof(info));
		((struct ipsec *)ipsec)->policies = info.outcnt;
	}
	return MNL_CB_OK;
}

static int read_answer(const struct nlmsghdr *msg, void *ipsec)
{
	mnl_attr_parse(msg, sizeof(__u32),
		       msg->nlmsg_type == XFRM_MSG_NEWSADINFO ? read_states : read_policies, ipsec);
	return MNL_CB_STOP;
}

static int ask(__u16 type, struct ipsec *ipsec)
{
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(__u32))];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);

	msg->nlmsg_type = type;
	msg->nlmsg_flags = NLM_F_REQUEST;
	memset(mnl_nlmsg_put_extra_header(msg, sizeof(__u32)), 0, sizeof(__u32));
	return netlink_ask(NETLINK_XFRM, msg, read_answer, ipsec);
}

int ipsec_ask(struct ipsec *ipsec)
{
	int err;

	memset(ipsec, 0, sizeof(*ipsec));
	err = ask(XFRM_MSG_GETSADINFO, ipsec);
	if (!err)
		err = ask(XFRM_MSG_GETSPDINFO, ipsec);
	return err == -EPROTONOSUPPORT ? 0 : err;
}
