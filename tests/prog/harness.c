// SPDX-License-Identifier: GPL-2.0-or-later
/* The edge in its namespace, and running packets through its programs. */
#include "harness.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/bpf.h>

#include <cmocka.h>

#include "check.h"
#include "commit.h"
#include "counters.h"
#include "flows.h"
#include "loader.h"
#include "msg.h"

#define SKIPPED 77

/* Linked in place of netdevs_ask_redirects(). */
void __wrap_netdevs_ask_redirects(struct netdevs *devs);

const char *const program_names[PROGRAMS] = { "xdp_wire", "xdp_virtual", "xdp_generic",
					      "tc_ingress", "tc_egress" };
const char *const iface_names[IFACES] = { "eth0", "eth1" };

const char *const verdict_names[VERDICT_COUNT] = {
#define VERDICT_NAME(name, text, help) text,
	XFWD_VERDICTS(VERDICT_NAME)
#undef VERDICT_NAME
};

bool program_is_xdp(enum program program)
{
	return program < TC_INGRESS;
}

enum hook program_hook(enum program program)
{
	if (program == TC_INGRESS)
		return HOOK_TC_INGRESS;
	return program == TC_EGRESS ? HOOK_TC_EGRESS : HOOK_XDP_INGRESS;
}

/* ---- the process ---- */

static pid_t child;
static bool cleaning;

static void pass_signal(int number)
{
	if (child > 0)
		kill(child, number);
}

const char *harness_id(void)
{
	static char id[32];
	const char *given = getenv("XFWD_TEST_ID");

	if (!id[0] && given)
		snprintf(id, sizeof(id), "%s-p", given);
	else if (!id[0])
		snprintf(id, sizeof(id), "xt-p%x", getpid());
	return id;
}

int harness_slower(void)
{
	const char *text = getenv("XFWD_TEST_SLOWER");

	return text ? atoi(text) : 1;
}

static void clean_up(void)
{
	harness_shell("cd /run/netns 2>/dev/null || exit 0\n"
		      "for n in %s-*; do [ -e $n ] || continue\n"
		      "if [ -d " PINS_ROOT "/netns/$n ]; then rm -r " PINS_ROOT "/netns/$n; fi\n"
		      "rmdir " PINS_ROOT "/netns " PINS_ROOT " 2>/dev/null\n"
		      "ip netns delete $n; done; true",
		      harness_id());
}

int harness_supervise(int (*tests)(void))
{
	struct sigaction action = { .sa_handler = pass_signal };
	int status = 0;

	if (geteuid()) {
		printf("1..1\nok 1 # SKIP needs root\n");
		return 0;
	}
	harness_id();
	fflush(stdout);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	child = fork();
	if (!child) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		exit(tests());
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	child = 0;
	cleaning = true;
	clean_up();
	if (WIFSIGNALED(status))
		printf("# killed by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

void harness_shell(const char *format, ...)
{
	char command[8192];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	status = system(command);
	if (status && cleaning)
		printf("# failed (%d): %s\n", status, command);
	else if (status)
		fail_msg("failed (%d): %s", status, command);
}

/* ---- the namespace ---- */

void harness_enter(const char *netns)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
	close(fd);
}

static void make_link(const char *netns, enum iface_id iface, const char *address)
{
	const char *name = iface_names[iface];
	const uint64_t mac = MAC_EDGE(iface);

	harness_shell("ip -n %s link add %s address 02:00:00:00:00:%02x type veth peer name %s-far "
		      "&& ip -n %s address add %s/24 dev %s && ip -n %s link set %s up "
		      "&& ip -n %s link set %s-far up "
		      "&& ip netns exec %s ethtool -K %s-far gro on >/dev/null",
		      netns, name, (unsigned int)(mac & 0xff), name, netns, address, name, netns,
		      name, netns, name, netns, name);
}

static void make_neighbours(const char *netns, enum iface_id iface, const char *prefix)
{
	harness_shell("for i in 2 3 4 5 6 7 8 9; do ip -n %s neighbour add %s$i "
		      "lladdr 02:00:00:%02x:00:0$i dev %s nud permanent || exit 1; done",
		      netns, prefix, 1 + iface, iface_names[iface]);
}

void harness_namespace(char netns[64], const char *suffix)
{
	snprintf(netns, 64, "%s-%s", harness_id(), suffix);
	harness_shell("ip netns add %s", netns);
	/* Frames of the kernel's own would be counted with those of the tests. */
	harness_shell("ip netns exec %s sh -c '"
		      "for i in all default; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; "
		      "echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter; done; "
		      "echo 1 >/proc/sys/net/ipv4/ip_forward; ip link set lo up'",
		      netns);
	make_link(netns, ETH0, "198.51.100.1");
	make_link(netns, ETH1, "10.0.0.1");
	make_neighbours(netns, ETH0, "198.51.100.");
	make_neighbours(netns, ETH1, "10.0.0.");
	harness_shell("ip -n %s route add default via 198.51.100.9 && "
		      "ip -n %s route add 10.0.1.0/24 via 10.0.0.9 mtu lock 600 && "
		      "ip -n %s route add unreachable 192.0.2.0/24",
		      netns, netns, netns);
	harness_enter(netns);
}

/* ---- the running state ---- */

static void open_programs(struct harness *h)
{
	for (int i = 0; i < PROGRAMS; i++) {
		h->program[i] = loader_program(&h->session.pins, program_names[i]);
		if (h->program[i] < 0)
			fail_msg("cannot open %s", program_names[i]);
	}
}

void harness_up(struct harness *h, const char *suffix, const struct config *config)
{
	struct config defaults;

	config_init(&defaults);
	memset(h, 0, sizeof(*h));
	harness_namespace(h->netns, suffix);
	for (int i = 0; i < IFACES; i++)
		h->ifindex[i] = if_nametoindex(iface_names[i]);
	msg_quiet(1);
	assert_int_equal(session_write(&h->session, h->netns, config ?: &defaults), 0);
	assert_int_equal(flow_tables_open(&h->tables, &h->session.state), 0);
	h->open = true;
	pins_unlock(&h->session.pins); /* what is killed leaves no lock behind */
	open_programs(h);
}

void harness_down(struct harness *h)
{
	if (!h->open)
		return;
	for (int i = 0; i < PROGRAMS; i++)
		close(h->program[i]);
	flow_tables_close(&h->tables);
	harness_enter(h->netns);
	assert_int_equal(pins_lock(&h->session.pins), 0);
	assert_int_equal(session_down(&h->session), 0);
	h->session.loaded = false;
	session_close(&h->session);
	harness_shell("ip netns delete %s", h->netns);
	h->open = false;
}

/* As netfilter does it, which most tests compare with: each destination may see another port. */
static void as_netfilter(struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (config->rules[i].kind == RULE_SNAT || config->rules[i].kind == RULE_MASQUERADE)
			config->rules[i].mapping = MAPPING_DEPENDENT;
}

/*
 * XDP may redirect to every interface here, whether or not this kernel says of a veth that it takes
 * such frames (before Linux 6.3 none does): no frame is really sent.
 */
void __wrap_netdevs_ask_redirects(struct netdevs *devs)
{
	devs->tell_redirects = true;
	for (size_t i = 0; i < devs->count; i++)
		devs->list[i].takes_redirects = true;
}

void harness_apply_config(struct harness *h, struct config *config)
{
	struct config before = h->session.config;

	harness_enter(h->netns);
	assert_int_equal(config_interface(config, "eth0", MODE_NATIVE), 0);
	assert_int_equal(config_interface(config, "eth1", MODE_NATIVE), 0);
	h->session.config = *config;
	assert_int_equal(session_commit(&h->session, 0), 0);
	*config = before;
	config_free(config);
	harness_flush_flows(h);
}

static void apply_text(struct harness *h, const char *text, bool mapped)
{
	struct origins origins = { 0 };
	struct config config;
	struct diag diag;

	config_init(&config);
	diag_init(&diag);
	if (parse_text("test", text, strlen(text), &config, &origins, &diag) ||
	    check_config(&config, &origins, &diag)) {
		diag_print(&diag, stdout);
		fail_msg("not a configuration: %s", text);
	}
	config.options.flows = h->session.config.options.flows;
	config.options.source_check = 0; /* packets have no way that it could be checked against */
	if (!mapped)
		as_netfilter(&config);
	harness_apply_config(h, &config);
	origins_free(&origins);
	diag_free(&diag);
}

void harness_apply(struct harness *h, const char *text)
{
	apply_text(h, text, false);
}

void harness_apply_mapped(struct harness *h, const char *text)
{
	apply_text(h, text, true);
}

static void map_clear(int map)
{
	uint8_t key[64];

	while (!bpf_map_get_next_key(map, NULL, key))
		bpf_map_delete_elem(map, key);
}

void harness_flush_flows(struct harness *h)
{
	const struct state *state = &h->session.state;
	struct flow_filter all = { 0 };
	size_t count;

	assert_int_equal(flows_delete(state, &h->session.pins, &all, &count), 0);
	map_clear(state->map[MAP_fragments]);
	map_clear(state->map[MAP_mappings]);
	map_clear(state->map[MAP_outsides]); /* no port is kept back */
}

/* ---- packets ---- */

/* The verdict that was counted, and nothing else. */
static enum verdict find_verdict(const struct verdict_counter before[HOOK_COUNT][VERDICT_COUNT],
				 const struct verdict_counter after[HOOK_COUNT][VERDICT_COUNT],
				 enum hook hook)
{
	int found = -1;

	for (int i = 0; i < HOOK_COUNT * VERDICT_COUNT; i++) {
		__u64 more = after[0][i].packets - before[0][i].packets;

		if (!more)
			continue;
		if (more != 1 || found >= 0 || i / VERDICT_COUNT != (int)hook)
			fail_msg("verdict counters went up where they should not: %s",
				 verdict_names[i % VERDICT_COUNT]);
		found = i % VERDICT_COUNT;
	}
	if (found < 0)
		fail_msg("no verdict was counted");
	return found;
}

/* A first fragment that came later would have them come in again, outside of any test run. */
static void release_held(const struct harness *h)
{
	int map = h->session.state.map[MAP_held_fragments];
	struct held_key key;

	while (!bpf_map_get_next_key(map, NULL, &key))
		bpf_map_delete_elem(map, &key);
}

void harness_run(struct harness *h, struct place place, const struct frame *in,
		 struct outcome *outcome)
{
	struct verdict_counter counters[2][HOOK_COUNT][VERDICT_COUNT];
	struct __sk_buff skb = { .ifindex = h->ifindex[place.iface] };
	struct xdp_md xdp = { .ingress_ifindex = h->ifindex[place.iface], .data_end = in->length };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->data, .data_size_in = in->length,
		    .data_out = outcome->out.data, .data_size_out = FRAME_MAX);
	int err;

	if (program_is_xdp(place.program)) {
		opts.ctx_in = &xdp;
		opts.ctx_size_in = sizeof(xdp);
	} else {
		skb.ingress_ifindex = place.program == TC_INGRESS ? skb.ifindex
				      : place.local               ? 0
								  : h->ifindex[!place.iface];
		opts.ctx_in = &skb;
		opts.ctx_size_in = sizeof(skb);
		if (h->summed)
			opts.flags =
				BPF_F_TEST_SKB_CHECKSUM_COMPLETE; /* -EBADMSG: it is wrong now */
	}
	assert_int_equal(counters_verdicts(&h->session.state, counters[0]), 0);
	err = bpf_prog_test_run_opts(h->program[place.program], &opts);
	if (err == -EINVAL && opts.flags)
		skip(); /* this kernel does not sum up */
	if (err)
		fail_msg("test run of %s, %zu bytes: %s", program_names[place.program], in->length,
			 strerror(-err));
	assert_int_equal(counters_verdicts(&h->session.state, counters[1]), 0);
	outcome->out.length = opts.data_size_out;
	outcome->action = (int)opts.retval;
	release_held(h);
	outcome->verdict = find_verdict(counters[0], counters[1], program_hook(place.program));
}
