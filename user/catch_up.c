// SPDX-License-Identifier: GPL-2.0-or-later
/* Bringing the running state in line with links and addresses that have changed. */
#include "catch_up.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "attach.h"
#include "commit.h"
#include "ifaces.h"
#include "flows.h"
#include "msg.h"
#include "session.h"

struct addresses {
	__be32 *list;
	size_t count;
};

static int read_addr_attr(const struct nlattr *attr, void *context)
{
	/* IFA_LOCAL is ours; on point-to-point links IFA_ADDRESS is the peer's. */
	if (mnl_attr_get_type(attr) == IFA_LOCAL)
		memcpy(context, mnl_attr_get_payload(attr), sizeof(__be32));
	return MNL_CB_OK;
}

static int read_addr(const struct nlmsghdr *msg, void *context)
{
	struct addresses *addresses = context;
	__be32 *more = realloc(addresses->list, (addresses->count + 1) * sizeof(*more));

	if (!more)
		return MNL_CB_ERROR;
	addresses->list = more;
	more[addresses->count] = 0;
	mnl_attr_parse(msg, sizeof(struct ifaddrmsg), read_addr_attr, &more[addresses->count]);
	addresses->count++;
	return MNL_CB_OK;
}

/* All of them, not only the first of each interface. free() ->list. 0 or -errno. */
static int addresses_get(struct addresses *addresses)
{
	char buffer[32768];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct ifaddrmsg *request;
	ssize_t length = -1;

	memset(addresses, 0, sizeof(*addresses));
	msg->nlmsg_type = RTM_GETADDR;
	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request = mnl_nlmsg_put_extra_header(msg, sizeof(*request));
	request->ifa_family = AF_INET;
	if (sock && mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) >= 0 &&
	    mnl_socket_sendto(sock, msg, msg->nlmsg_len) >= 0) {
		do {
			length = mnl_socket_recvfrom(sock, buffer, sizeof(buffer));
			if (length > 0)
				length = mnl_cb_run(buffer, length, 0, 0, read_addr, addresses);
		} while (length > MNL_CB_STOP);
	}
	if (length < 0) /* before the socket is closed: that has an errno of its own */
		length = -errno;
	if (sock)
		mnl_socket_close(sock);
	return length;
}

struct ending {
	const struct state *state;
	const struct config *config;
	struct addresses here;
	size_t count;
};

static bool slot_masquerades(const struct config *config, __u32 slot)
{
	for (size_t i = 0; i < config->rule_count && slot; i++)
		if (config->rules[i].slot == slot)
			return config->rules[i].kind == RULE_MASQUERADE;
	return false;
}

static int end_flow(const struct flow_view *flow, void *context)
{
	struct ending *ending = context;
	int fd = ending->state->map[MAP_flows4];

	if (!flow->entry[0].flow.rule_out)
		return 0;
	for (size_t i = 0; i < ending->here.count; i++)
		if (ending->here.list[i] == flow->key[1].daddr)
			return 0;
	if (!slot_masquerades(ending->config, flow->entry[0].flow.rule_out))
		return 0;
	/* In this order, as in flows_delete(): a lone original entry is ended by the sweeper. */
	bpf_map_delete_elem(fd, &flow->key[1]);
	if (!bpf_map_delete_elem(fd, &flow->key[0]))
		ending->count++;
	return 0;
}

/*
 * Their answers would not come here, and what they send would bear an address that may be another
 * machine's by now. What is there is compared, not what was removed: an address that was taken away
 * and given back at once ends nothing.
 */
static int end_flows(const struct session *session)
{
	struct ending ending = { .state = &session->state, .config = &session->config };
	const struct flow_filter any = { 0 };
	int err = addresses_get(&ending.here);

	if (!err)
		err = flows_each(&session->state, &any, end_flow, &ending);
	free(ending.here.list);
	if (ending.count)
		msg_note("ended %zu flows that were translated to an address that has gone",
			 ending.count);
	return err;
}

/* An index that was given to another link since must not pass for attached. */
static int detach_gone(const struct session *session, const struct catch_up *what)
{
	int err = 0;

	for (size_t i = 0; i < what->gone_count && !err; i++) {
		err = detach_interface(&session->state, &session->pins, what->gone[i]);
		if (err == -ENOENT) /* it was not attached */
			err = 0;
	}
	return err;
}

static int sync_links(struct session *session)
{
	int err = 0, other;

	if (!commit_is_current(&session->state, &session->config, &session->devs))
		err = session_commit(session, COMMIT_KEEP_ATTACHED);
	/* Also where an interface cannot be attached: the others' addresses have to be known. */
	other = ifaces_sync(&session->state, &session->devs);
	return err ? err : other;
}

int catch_up(const struct pins *pins, const struct catch_up *what)
{
	struct session session = { .pins = *pins };
	int err;

	/* Not session_write(): what `xfwd down` took away is not loaded again. */
	session.pins.lock = -1;
	err = pins_lock(&session.pins);
	if (err)
		return err;
	err = state_open(&session.state, &session.pins);
	if (err) {
		if (err == -ENOENT)
			err = 0;
		goto out;
	}
	session.open = true;
	err = state_config(&session.state, &session.config);
	if (!err)
		err = detach_gone(&session, what);
	if (!err)
		err = netdevs_get(&session.devs);
	if (!err)
		err = sync_links(&session);
	if (!err && what->end_flows)
		err = end_flows(&session);
	if (err)
		msg_error("cannot follow a change of interfaces or addresses: %s", strerror(-err));
out:
	session_close(&session);
	return err;
}
