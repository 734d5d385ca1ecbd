// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

int netlink_ask(int protocol, struct nlmsghdr *request, mnl_cb_t handle, void *context)
{
	char *buffer = malloc(MNL_SOCKET_BUFFER_SIZE * 4);
	struct mnl_socket *sock = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	uint32_t sequence = time(NULL), port;
	int err = -errno;
	ssize_t length;

	if (!sock || !buffer)
		goto out;
	request->nlmsg_seq = sequence;
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(sock, request, request->nlmsg_len) < 0) {
		err = -errno;
		goto out;
	}
	port = mnl_socket_get_portid(sock);
	do {
		length = mnl_socket_recvfrom(sock, buffer, MNL_SOCKET_BUFFER_SIZE * 4);
		if (length < 0)
			break;
		length = mnl_cb_run(buffer, length, sequence, port, handle, context);
	} while (length > MNL_CB_STOP);
	err = length < 0 ? -errno : 0;
out:
	if (sock)
		mnl_socket_close(sock);
	free(buffer);
	return err;
}
