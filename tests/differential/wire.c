// SPDX-License-Identifier: GPL-2.0-or-later
/* The two edges, and what goes in and out. */
#include "wire.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "msg.h"
#include "nft.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

/* Comes out at the other side whatever the rules: seeing it says that all before it was seen. */
#define MARKER_SOURCE ADDR(198, 18, 0, 1)
#define MARKER_PORT   9
#define MARKER_RULES  "accept in any from 198.18.0.1\naccept out any from 198.18.0.1\n"

const char *const edge_names[EDGES] = { "kernel", "xfwd" };

static struct harness harness; /* xfwd's edge */
static struct mnl_socket *tracking; /* the kernel's connections */
static char netns[EDGES][64], far_netns[64];

static struct link {
	int out, in; /* packet sockets */
} links[EDGES][IFACES];

static struct outputs received[EDGES];
static uint32_t marker, marker_seen[EDGES];
static uint64_t counted[VERDICT_COUNT];

/* ---- namespaces ---- */

static void write_edge(FILE *batch, const char *far, char letter)
{
	static const char *const net4[] = { "198.51.100.", "10.0.0." };
	static const char *const net6[] = { "2001:db8::", "fd00:1::" };

	fprintf(batch, "link set lo up\n");
	for (int i = 0; i < IFACES; i++) {
		const char *name = iface_names[i];

		fprintf(batch,
			"link add %s address 02:00:00:00:00:%02x type veth peer name %c%d netns %s\n"
			"link set %s addrgenmode none\n"
			"address add %s1/24 dev %s\naddress add %s1/64 dev %s nodad\n"
			"link set %s up\n",
			name, (unsigned int)(MAC_EDGE(i) & 0xff), letter, i, far, name, net4[i],
			name, net6[i], name, name);
	}
}

static const int hosts[] = { 2,  3,  4,  5,  6,  7,  8,  9,    10,   11,   12,   13,   14,
			     15, 69, 77, 80, 81, 82, 83, 0x77, 0x7f, 0x80, 0x81, 0x82, 0x83 };
static const char *const nets[IFACES][2] = { { "198.51.100.", "2001:db8::" },
					     { "10.0.0.", "fd00:1::" } };

bool wire_has_host(const uint8_t addr[16], bool six)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t host[16];

	for (size_t n = 0; n < IFACES * sizeof(hosts) / sizeof(hosts[0]); n++) {
		snprintf(text, sizeof(text), six ? "%s%x" : "%s%d", nets[n % IFACES][six],
			 hosts[n / IFACES]);
		memset(host, 0, sizeof(host));
		inet_pton(six ? AF_INET6 : AF_INET, text, host);
		if (!memcmp(host, addr, sizeof(host)))
			return true;
	}
	return false;
}

static void write_neighbours(FILE *batch)
{
	for (int i = 0; i < IFACES; i++)
		for (size_t n = 0; n < sizeof(hosts) / sizeof(hosts[0]); n++)
			for (int six = 0; six < 2; six++)
				fprintf(batch,
					six ? "neighbour replace %s%x" : "neighbour replace %s%d",
					nets[i][six], hosts[n]),
					fprintf(batch,
						" lladdr 02:00:00:%02x:00:%02x dev %s nud permanent\n",
						1 + i, hosts[n], iface_names[i]);
	fprintf(batch, "route add default via 198.51.100.9\n"
		       "route add default via 2001:db8::9\n"
		       "route add 10.0.1.0/24 via 10.0.0.9\n"
		       "route add fd00:2::/64 via fd00:1::9\n"
		       "route add unreachable 192.0.2.0/24\n"
		       "route add unreachable 2001:db8:dead::/48\n");
}

static void far_up(char letter)
{
	for (int i = 0; i < IFACES; i++)
		harness_shell("ip -n %s link set %c%d addrgenmode none mtu 9000 && "
			      "ip -n %s link set %c%d up",
			      far_netns, letter, i, far_netns, letter, i);
}

static FILE *open_batch(const char *name)
{
	char command[160];
	FILE *batch;

	snprintf(command, sizeof(command), "ip -n %s -batch -", name);
	batch = popen(command, "w");
	assert_non_null(batch);
	return batch;
}

static void close_batch(FILE *batch)
{
	if (pclose(batch))
		fail_msg("ip does not take what it is told");
}

/* Nothing of its own but answers, and as many of these as there are reasons. */
static const char quiet[] =
	"net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
	"net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 "
	"net.ipv4.conf.all.send_redirects=0 "
	"net.ipv4.conf.default.send_redirects=0 "
	"net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0 "
	"net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 "
	"net.ipv4.icmp_msgs_per_sec=1000000 net.ipv4.icmp_msgs_burst=1000000 "
	"net.ipv4.tcp_invalid_ratelimit=0 net.ipv6.auto_flowlabels=0 net.ipv4.ip_no_pmtu_disc=1";

static void edge_up(enum edge edge, char letter)
{
	FILE *batch;

	snprintf(netns[edge], sizeof(netns[edge]), "%s-%s", harness_id(), edge_names[edge]);
	harness_shell("ip netns add %s && ip netns exec %s sysctl -qe -w %s", netns[edge],
		      netns[edge], quiet);
	batch = open_batch(netns[edge]);
	write_edge(batch, far_netns, letter);
	close_batch(batch);
	far_up(letter);
	/*
	 * Neither merges nor splits segments, nor leaves checksums to a device, nor keeps what is
	 * for an unknown neighbour until it says so.
	 */
	for (int i = 0; i < IFACES; i++)
		harness_shell("ip netns exec %s ethtool -K %s gro off tso off gso off tx off "
			      ">/dev/null && ip netns exec %s sysctl -q -w "
			      "net.ipv4.neigh.%s.mcast_solicit=0 "
			      "net.ipv6.neigh.%s.mcast_solicit=0",
			      netns[edge], iface_names[i], netns[edge], iface_names[i],
			      iface_names[i]);
	batch = open_batch(netns[edge]);
	write_neighbours(batch);
	close_batch(batch);
}

/* ---- the far ends ---- */

/*
 * With an XDP program on it, a veth takes frames that XDP redirects to its peer. The kernel's edge
 * redirects none, and under Linux 6.12 such a veth loses what defragmentation has put together.
 */
static void far_takes_redirects(unsigned int ifindex)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass, 2, NULL);

	assert_true(prog >= 0);
	assert_int_equal(bpf_xdp_attach(ifindex, prog, XDP_FLAGS_DRV_MODE, NULL), 0);
	close(prog);
}

static void far_open(struct link *link, const char *name, enum edge edge)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET };
	int one = 1, buffer = 8 << 20;

	address.sll_ifindex = if_nametoindex(name);
	assert_true(address.sll_ifindex);
	if (edge == XFWD)
		far_takes_redirects(address.sll_ifindex);
	link->out = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	link->in = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(link->out >= 0 && link->in >= 0);
	assert_int_equal(bind(link->out, (void *)&address, sizeof(address)), 0);
	address.sll_protocol = htons(ETH_P_ALL);
	assert_int_equal(bind(link->in, (void *)&address, sizeof(address)), 0);
	assert_int_equal(
		setsockopt(link->in, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	setsockopt(link->in, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
}

static void tracking_open(void)
{
	harness_enter(netns[KERNEL]);
	harness_shell("ip netns exec %s nft add table ip nat", netns[KERNEL]);
	/* Its settings are there only with it, and it may be a module that nothing has needed yet. */
	harness_shell("modprobe -q nf_conntrack 2>/dev/null || true");
	harness_shell("ip netns exec %s sysctl -q -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
		      netns[KERNEL]);
	tracking = mnl_socket_open(NETLINK_NETFILTER);
	assert_non_null(tracking);
	assert_int_equal(mnl_socket_bind(tracking, 0, MNL_SOCKET_AUTOPID), 0);
}

static void xfwd_up(void)
{
	struct config config;

	harness_enter(netns[XFWD]);
	strcpy(harness.netns, netns[XFWD]);
	msg_quiet(1);
	config_init(&config);
	assert_int_equal(session_write(&harness.session, netns[XFWD], &config), 0);
	harness.open = true;
}

/*
 * All of it on one CPU: a frame has then gone its whole way, in softirqs, when sending it returns,
 * but where these take too long and are put off.
 */
void wire_up(void)
{
	char name[IF_NAMESIZE];
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	assert_int_equal(sched_setaffinity(0, sizeof(cpu), &cpu), 0);
	snprintf(far_netns, sizeof(far_netns), "%s-far", harness_id());
	harness_shell("ip netns add %s", far_netns);
	for (int e = 0; e < EDGES; e++)
		edge_up(e, 'a' + e);
	harness_enter(far_netns);
	for (int e = 0; e < EDGES; e++) {
		for (int i = 0; i < IFACES; i++) {
			snprintf(name, sizeof(name), "%c%d", 'a' + e, i);
			far_open(&links[e][i], name, e);
		}
	}
	tracking_open();
	xfwd_up();
}

void wire_down(void)
{
	if (!harness.open)
		return;
	harness_enter(netns[XFWD]);
	assert_int_equal(session_down(&harness.session), 0);
	harness.session.loaded = false;
	session_close(&harness.session);
	harness.open = false;
}

/* ---- rules ---- */

static void tracking_flush(void)
{
	char buffer[512];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *nf;

	msg->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	msg->nlmsg_seq = 1;
	nf = mnl_nlmsg_put_extra_header(msg, sizeof(*nf));
	nf->nfgen_family = AF_UNSPEC;
	assert_true(mnl_socket_sendto(tracking, msg, msg->nlmsg_len) > 0);
	assert_true(mnl_socket_recvfrom(tracking, buffer, sizeof(buffer)) > 0);
}

static void kernel_apply(const struct config *config, bool loose)
{
	static char text[4 << 20];
	FILE *nft, *file;

	nft_ruleset(config, text, sizeof(text));
	harness_enter(netns[KERNEL]);
	nft = popen("nft -f -", "w");
	assert_non_null(nft);
	fputs(text, nft);
	if (pclose(nft))
		fail_msg("nft does not take this:\n%s", text);
	file = fopen("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "w");
	assert_non_null(file);
	fprintf(file, "%d\n", loose);
	fclose(file);
	tracking_flush();
	harness_enter(netns[XFWD]);
}

static void xfwd_commit(struct config *config)
{
	struct config before = harness.session.config;
	int patience = 100;

	config->options.flows = before.options.flows;
	harness.session.config = *config;
	/* A program that is detached stays for a moment, and is in the way of the next. */
	while (session_commit(&harness.session, 0) && patience--)
		usleep(20000);
	assert_true(patience >= 0);
	config_free(&before);
}

/* From one kind of XDP to the other by way of none. */
static void xfwd_detach(void)
{
	struct config none;

	config_init(&none);
	for (int i = 0; i < IFACES; i++)
		assert_int_equal(config_interface(&none, iface_names[i], MODE_TC), 0);
	xfwd_commit(&none);
}

bool wire_apply(const char *rules, const struct manner *manner)
{
	struct origins origins = { 0 };
	static struct manner applied;
	struct config config;
	static char text[65536];
	struct diag diag;
	bool is_valid;

	snprintf(text, sizeof(text), "set source-check off\nset tcp loose %s\n" MARKER_RULES "%s",
		 manner->loose ? "on" : "off", rules);
	config_init(&config);
	diag_init(&diag);
	is_valid = !parse_text("rules", text, strlen(text), &config, &origins, &diag) &&
		   !check_config(&config, &origins, &diag);
	if (!is_valid)
		diag_print(&diag, stdout);
	origins_free(&origins);
	diag_free(&diag);
	if (!is_valid) {
		config_free(&config);
		return false;
	}
	kernel_apply(&config, manner->loose);
	for (int i = 0; i < IFACES; i++)
		assert_int_equal(config_interface(&config, iface_names[i], manner->mode[i]), 0);
	if (memcmp(&applied, manner, sizeof(applied)))
		xfwd_detach();
	applied = *manner;
	xfwd_commit(&config);
	harness_flush_flows(&harness);
	return true;
}

const struct config *wire_config(void)
{
	return &harness.session.config;
}

/* ---- packets ---- */

static bool take_marker(enum edge edge, const struct frame *frame)
{
	const uint8_t *ip = frame->data + L2_LENGTH;

	if (frame->length < L2_LENGTH + 32 || read16(frame->data + 12) != 0x0800 ||
	    read32(ip + 12) != MARKER_SOURCE)
		return false;
	marker_seen[edge] = read32(ip + 28);
	return true;
}

static void receive(enum edge edge, enum iface_id iface)
{
	struct outputs *to = &received[edge];
	static struct frame spare;

	for (;;) {
		struct frame *frame = to->count < OUTPUT_MAX ? &to->list[to->count].frame : &spare;
		ssize_t length = recv(links[edge][iface].in, frame->data, FRAME_MAX, 0);

		if (length < 0) {
			if (errno != EAGAIN && errno != EINTR)
				fail_msg("receiving: %s", strerror(errno));
			return;
		}
		frame->length = length;
		/* Multicast: what a stack says of itself. */
		if (frame->data[0] & 1 || take_marker(edge, frame) || frame == &spare)
			continue;
		to->list[to->count++].iface = iface;
	}
}

static void receive_all(enum edge edge)
{
	for (int i = 0; i < IFACES; i++)
		receive(edge, i);
}

static void send_frame(enum edge edge, enum iface_id iface, const struct frame *frame)
{
	if (send(links[edge][iface].out, frame->data, frame->length, 0) < 0 && errno != EINVAL &&
	    errno != ENOBUFS)
		fail_msg("sending %zu bytes: %s", frame->length, strerror(errno));
}

void wire_send(enum edge edge, enum iface_id iface, const struct frame *frame)
{
	send_frame(edge, iface, frame);
}

static void send_marker(enum edge edge, enum iface_id iface)
{
	struct spec spec = {
		.dmac = MAC_EDGE(iface),
		.smac = MAC_HOST(iface, 7),
		.proto = IPPROTO_UDP,
		.saddr = MARKER_SOURCE,
		.daddr = iface == ETH0 ? ADDR(10, 0, 0, 8) : ADDR(198, 51, 100, 8),
		.sport = MARKER_PORT,
		.dport = MARKER_PORT,
		.check = CHECK_NONE,
		.payload = 4,
	};
	static struct frame frame;

	frame_build(&spec, &frame);
	write32(frame.data + L2_LENGTH + 28, ++marker);
	send_frame(edge, iface, &frame);
}

/* By each way, as each has a queue of its own. */
void wire_collect(enum edge edge, struct outputs *outputs)
{
	for (int i = 0; i < IFACES; i++) {
		int patience = 20000;

		send_marker(edge, i);
		receive_all(edge);
		while (marker_seen[edge] != marker && patience--) {
			struct pollfd wait[] = { { links[edge][!i].in, POLLIN, 0 } };

			poll(wait, 1, 1);
			receive_all(edge);
		}
		if (marker_seen[edge] != marker)
			fail_msg("%s: the marker did not come out at %s", edge_names[edge],
				 iface_names[!i]);
	}
	receive_all(edge);
	outputs->count = received[edge].count;
	for (size_t i = 0; i < outputs->count; i++) {
		const struct output *from = &received[edge].list[i];

		outputs->list[i].iface = from->iface;
		outputs->list[i].frame.length = from->frame.length;
		memcpy(outputs->list[i].frame.data, from->frame.data, from->frame.length);
	}
	received[edge].count = 0;
}

void wire_verdicts(uint64_t since[VERDICT_COUNT])
{
	struct verdict_counter now[HOOK_COUNT][VERDICT_COUNT];

	assert_int_equal(counters_verdicts(&harness.session.state, now), 0);
	for (int v = 0; v < VERDICT_COUNT; v++) {
		uint64_t sum = 0;

		for (int hook = 0; hook < HOOK_COUNT; hook++)
			sum += now[hook][v].packets;
		since[v] = sum - counted[v];
		counted[v] = sum;
	}
}
