/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network namespace with an edge in it, the programs loaded as the command loads them, and
 * packets run through them with BPF_PROG_TEST_RUN.
 *
 *	hosts 198.51.100.2-9 ── eth0 198.51.100.1  edge  10.0.0.1 eth1 ── hosts 10.0.0.2-9
 *
 * The hosts are permanent neighbours and nothing else. 10.0.0.99 is none. Routes: 10.0.1.0/24 with an
 * MTU of 600 through 10.0.0.9, 192.0.2.0/24 unreachable, everything else through 198.51.100.9.
 */
#ifndef XFWD_TESTS_HARNESS_H
#define XFWD_TESTS_HARNESS_H

#include "frame.h"
#include "flow_tables.h"
#include "session.h"
#include "verdict.h"

enum iface_id {
	ETH0,
	ETH1,
	IFACES,
};

enum program {
	XDP_WIRE,
	XDP_VIRTUAL,
	XDP_GENERIC,
	TC_INGRESS,
	TC_EGRESS,
	PROGRAMS,
};

#define MAC_EDGE(iface)     (0x020000000001ULL + (iface))
#define MAC_HOST(iface, n)  (0x020000010000ULL + ((uint64_t)(iface) << 16) + (n))
#define ADDR_EDGE(iface)    ((iface) == ETH0 ? ADDR(198, 51, 100, 1) : ADDR(10, 0, 0, 1))

/* What the programs return. */
#define ACTION_XDP_DROP     1
#define ACTION_XDP_PASS     2
#define ACTION_XDP_TX       3
#define ACTION_XDP_REDIRECT 4
#define ACTION_TC_UNSPEC    (-1)
#define ACTION_TC_SHOT      2
#define ACTION_TC_REDIRECT  7

struct harness {
	char netns[64];
	struct session session;
	unsigned int ifindex[IFACES];
	int program[PROGRAMS];
	struct flow_tables tables;
	bool open;
	bool summed; /* tc: a device has summed up the whole packet, and the sum has to stay right */
};

/* Where a packet is given to a program. */
struct place {
	enum program program;
	enum iface_id iface;
	bool local; /* tc_egress: made by this host */
};

struct outcome {
	enum verdict verdict;
	int action;
	bool any_drop; /* of the model: the packet is dropped, for whatever reason */
	struct frame out;
};

extern const char *const program_names[PROGRAMS];
extern const char *const iface_names[IFACES];
extern const char *const verdict_names[VERDICT_COUNT];
enum hook program_hook(enum program program);
bool program_is_xdp(enum program program);

/*
 * Runs `tests` in a process of its own, and takes away what it made however it ended. Namespaces
 * have names that begin with harness_id(). An exit code.
 */
int harness_supervise(int (*tests)(void));
const char *harness_id(void);
/* How many times slower than a real machine this one is: for limits of time, and for repeats. */
int harness_slower(void);
/* A command line for the shell, from printf's words; its failure fails the test. */
void harness_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The namespace alone; `suffix` ends its name. Leaves the process in it. */
void harness_namespace(char netns[64], const char *suffix);
void harness_enter(const char *netns);
/* With the state loaded for `config` (NULL: the default one) and no rules. */
void harness_up(struct harness *h, const char *suffix, const struct config *config);
void harness_down(struct harness *h);

/* Makes the text the running configuration; both interfaces are attached. No flows are left. */
void harness_apply(struct harness *h, const char *text);
/* The same, with mappings as the text has them: those above are netfilter's. */
void harness_apply_mapped(struct harness *h, const char *text);
/* The same for rules at hand. */
void harness_apply_config(struct harness *h, struct config *config);
void harness_flush_flows(struct harness *h);
void harness_run(struct harness *h, struct place place, const struct frame *in,
		 struct outcome *outcome);

#endif
