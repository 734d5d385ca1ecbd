// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rules that are changed in place, one after the other at random: after each change the kernel's
 * maps say what a compilation of the rules as they should be says. XFWD_RULESETS: how many runs.
 */
#include "generate.h"
#include "harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/ptrace.h>

#include <cmocka.h>

#include "../unit/random.h"
#include "check.h"
#include "commit.h"
#include "compile.h"
#include "counters.h"
#include "edit.h"
#include "endpoint.h"
#include "print.h"
#include "records.h"
#include "slots.h"

#define RUNS          5
#define CHANGES       200
#define POOL          80
#define FORWARDS      100000
#define READINGS      60
#define COMMIT_EACH   20 /* changes */
#define ADDR_TEXT_MAX 64

static struct harness harness;

/* ---- what is in force, against what should be ---- */

struct in_force {
	int index;
	struct ruleset set;
	struct records records;
	const struct rule_record **order;
	size_t count;
};

static void in_force_open(struct in_force *now)
{
	const struct state *state = &harness.session.state;
	struct settings settings;
	__u32 slot, zero = 0;
	int fd;

	assert_int_equal(state_settings(state, &settings), 0);
	slot = settings_active(&settings);
	fd = state_inner(state, MAP_rulesets, slot);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &now->set), 0);
	close(fd);
	now->index = state_inner(state, MAP_rule_indexes, slot);
	assert_int_equal(records_open(state, slot, &now->records), 0);
	assert_int_equal(records_order(&now->records, &now->order, &now->count), 0);
}

static void in_force_close(struct in_force *now)
{
	close(now->index);
	free(now->order);
	records_close(&now->records);
}

static size_t index_count(int index)
{
	struct rule_key key;
	size_t count = 0;
	int err = bpf_map_get_next_key(index, NULL, &key);

	for (; !err; count++)
		err = bpf_map_get_next_key(index, &key, &key);
	return count;
}

static void masks_are_sound(const struct ruleset *set, enum stage stage)
{
	for (int family = 0; family < FAMILY_COUNT; family++) {
		const struct rule_mask *masks = set->masks[stage][family];

		for (__u32 i = 1; i < set->mask_count[stage][family]; i++)
			assert_true(masks[i].best_rank >= masks[i - 1].best_rank);
	}
}

static void entry_is_there(const struct in_force *now, const struct tables *want, size_t entry)
{
	struct rule_key key = want->keys[entry];
	enum family family = rule_key_family(&key);
	const struct rule_mask *masks = now->set.masks[key.stage][family],
			       *wanted = want->ruleset->masks[key.stage][family];
	__u32 at = 0, count = now->set.mask_count[key.stage][family];
	struct rule_entry found;

	while (at < count &&
	       !rule_key_equal(&masks[at].bits, &wanted[rule_key_position(&key)].bits))
		at++;
	assert_true(at < count);
	key.mask = RULE_KEY_MASK(family, at);
	assert_int_equal(bpf_map_lookup_elem(now->index, &key, &found), 0);
	assert_int_equal(found.rank, now->order[want->entries[entry].rank]->rank);
	assert_true(masks[at].best_rank <= found.rank);
	assert_memory_equal(&found.action, &want->entries[entry].action, sizeof(found.action));
}

static void lists_are_equal(const struct ruleset *now, const struct ruleset *want)
{
	for (int family = 0; family < FAMILY_COUNT; family++) {
		assert_int_equal(now->pool_count[family], want->pool_count[family]);
		assert_memory_equal(now->pools[family], want->pools[family],
				    want->pool_count[family] * sizeof(want->pools[family][0]));
	}
	assert_int_equal(now->hairpin_count, want->hairpin_count);
	assert_memory_equal(now->hairpins, want->hairpins,
			    want->hairpin_count * sizeof(want->hairpins[0]));
}

static void is_in_force(const struct config *config)
{
	struct in_force *now = calloc(1, sizeof(*now));
	struct tables want;
	size_t at;

	assert_non_null(now);
	in_force_open(now);
	assert_int_equal(now->count, config->rule_count);
	for (size_t i = 0; i < config->rule_count; i++)
		assert_memory_equal(&now->order[i]->rule, &config->rules[i], sizeof(struct rule));
	assert_int_equal(compile(config, netdevs_ifindex, &harness.session.devs, &want, &at), 0);
	for (size_t i = 0; i < want.entry_count; i++)
		entry_is_there(now, &want, i);
	assert_int_equal(index_count(now->index), want.entry_count);
	lists_are_equal(&now->set, want.ruleset);
	for (int stage = 0; stage < STAGE_COUNT; stage++) {
		masks_are_sound(&now->set, stage);
		assert_true(!(want.ruleset->interfaces[stage] & ~now->set.interfaces[stage]));
	}
	tables_free(&want);
	in_force_close(now);
	free(now);
}

static void parse(const char *text, struct config *config)
{
	struct origins origins = { 0 };
	struct diag diag;

	config_init(config);
	diag_init(&diag);
	assert_int_equal(parse_text("test", text, strlen(text), config, &origins, &diag), 0);
	origins_free(&origins);
	diag_free(&diag);
}

static ssize_t position_of(const struct config *config, const struct rule *rule)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (rule_equal(&config->rules[i], rule))
			return i;
	return -1;
}

/* ---- rules of IPv6, of both families, and static ones, made of those of IPv4 ---- */

static void address_to_ip6(struct address *addr)
{
	const struct address ip6 = { { htonl(0x20010db8), 0, 0, addr->word[0] } };

	*addr = ip6;
}

static void prefix_to_ip6(struct prefix *prefix)
{
	if (!prefix->family)
		return;
	prefix->family = AF_INET6;
	prefix->len += 96;
	address_to_ip6(&prefix->addr);
}

static void rule_to_ip6(struct rule *rule)
{
	rule->family = AF_INET6;
	prefix_to_ip6(&rule->from.prefix);
	prefix_to_ip6(&rule->to.prefix);
	if (!rule->target.family)
		return;
	rule->target.family = AF_INET6;
	address_to_ip6(&rule->target.addr_min);
	address_to_ip6(&rule->target.addr_max);
}

/* What the rule is for becomes the outside; inside are few networks, so that these meet, too. */
static void rule_to_static(uint64_t *random, struct rule *rule)
{
	const struct address inside = { { htonl(0x0a000000 + 256 * random_below(random, 3)) } };
	struct prefix outside = rule->to.prefix;
	char ifname[IF_NAMESIZE];

	if (outside.len < 24)
		return;
	memcpy(ifname, rule->ifname, sizeof(ifname));
	memset(rule, 0, sizeof(*rule));
	memcpy(rule->ifname, ifname, sizeof(ifname));
	rule->kind = RULE_STATIC;
	rule->family = AF_INET;
	rule->to.prefix = outside;
	rule->target.family = AF_INET;
	rule->target.addr_min = inside;
	rule->target.addr_max = address_last(&inside, AF_INET, outside.len);
}

static void vary(uint64_t *random, struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		struct rule *rule = &config->rules[i];

		if (!random_below(random, 4))
			rule_to_static(random, rule);
		if (rule->kind == RULE_DNAT && rule->ifname[0])
			rule->hairpin = !random_below(random, 8);
		if (random_below(random, 2))
			rule_to_ip6(rule);
		else if (!rule_address_family(rule) && random_below(random, 2))
			rule->family = AF_INET;
		if (position_of(config, rule) < (ssize_t)i)
			config_remove(config, i--);
	}
}

/* ---- changes ---- */

static void apply_all(struct config *config)
{
	struct config copy = *config;

	copy.interfaces = NULL;
	copy.interface_count = copy.interface_room = 0;
	copy.rules = calloc(config->rule_count + 1, sizeof(*copy.rules));
	copy.rule_room = config->rule_count + 1;
	assert_non_null(copy.rules);
	memcpy(copy.rules, config->rules, config->rule_count * sizeof(*copy.rules));
	harness_apply_config(&harness, &copy);
	for (size_t i = 0; i < config->rule_count; i++)
		config->rules[i] = harness.session.config.rules[i];
}

/* The same change to the configuration: of what is refused, nothing. */
static bool change_config(struct config *config, const struct edit *edit, size_t at)
{
	ssize_t same = edit->rule ? position_of(config, edit->rule) : -1;

	switch (edit->kind) {
	case EDIT_ADD:
	case EDIT_INSERT:
		return same < 0 && !config_insert(config, at, edit->rule);
	case EDIT_REPLACE:
		if (same >= 0 && same != (ssize_t)at)
			return false;
		edit->rule->handle = config->rules[at].handle;
		if (same >= 0)
			edit->rule->slot = config->rules[at].slot;
		config->rules[at] = *edit->rule;
		return true;
	default:
		config_remove(config, at);
		return true;
	}
}

static int make_edit(struct edit *change)
{
	struct session *session = &harness.session;

	return edit(&session->state, &session->pins, &session->devs, change);
}

/* True: it was done in place. */
static bool change_one(uint64_t *random, struct config *config, const struct config *pool)
{
	size_t at = random_below(random, config->rule_count);
	struct rule rule = pool->rules[random_below(random, pool->rule_count)];
	struct edit change = { .kind = random_below(random, EDIT_DELETE + 1), .rule = &rule };
	int err;

	if (change.kind == EDIT_ADD)
		at = config->rule_count;
	change.number = change.kind == EDIT_INSERT ? at + 1 : config->rules[at].handle;
	if (change.kind == EDIT_DELETE) {
		rule = config->rules[at];
		change.rule = random_below(random, 2) ? &rule : NULL;
	}
	err = make_edit(&change);
	assert_true(!err || err == -EAGAIN);
	if (!change_config(config, &change, at)) {
		assert_int_equal(err, -EAGAIN);
		return false;
	}
	if (err)
		apply_all(config);
	return !err;
}

static void random_changes(void **state)
{
	static const struct taste taste = { .rules_max = POOL };
	uint64_t random = random_seed();
	unsigned int done = 0, in_place = 0;
	static char text[POOL * RULE_TEXT_MAX];

	(void)state;
	for (unsigned int run = 0; run < generate_count(RUNS); run++) {
		struct config config, pool;

		generate_rules(&random, &taste, text, sizeof(text));
		parse(text, &config);
		generate_rules(&random, &taste, text, sizeof(text));
		parse(text, &pool);
		vary(&random, &config);
		vary(&random, &pool);
		apply_all(&config);
		is_in_force(&config);
		for (int i = 0; i < CHANGES && config.rule_count; i++, done++) {
			in_place += change_one(&random, &config, &pool);
			is_in_force(&config);
		}
		config_free(&config);
		config_free(&pool);
	}
	printf("# %u changes, %u of them in place\n", done, in_place);
	assert_true(in_place > done / 8);
}

/* ---- killed in the middle ---- */

/* Makes the change in another process, which is killed before its n-th call of bpf(2). */
static bool killed_at(int n, struct edit *change)
{
	struct ptrace_syscall_info info;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(make_edit(change) != 0);
	}
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD);
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_bpf && !--n)
			kill(pid, SIGKILL);
		else
			ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	}
	assert_true(WIFSIGNALED(status) || !WEXITSTATUS(status));
	return WIFSIGNALED(status);
}

/* What another process left, as the next one finds it. */
static void read_again(struct config *config)
{
	struct state *state = &harness.session.state;

	state_close(state);
	assert_int_equal(state_open(state, &harness.session.pins), 0);
	config_free(config);
	assert_int_equal(state_config(state, config), 0);
}

static bool lists_equal(const struct config *a, const struct config *b)
{
	return a->rule_count == b->rule_count &&
	       !memcmp(a->rules, b->rules, a->rule_count * sizeof(*a->rules));
}

/* Three rules, and one that comes. */
static const struct scene {
	const char *before;
	const char *some;
} scenes[] = {
	{ "drop in eth0 tcp to :7\ndrop in eth0 tcp,udp to :8-10\ndrop in eth1\n",
	  "drop in eth0 udp to :7-9\n" },
	{ "drop in eth0 tcp to :7\nstatic eth0 203.0.113.0/24 <-> 10.0.0.0/24\n"
	  "static eth1 203.0.113.0/24 <-> 10.0.1.0/24\n",
	  "static eth0 203.0.113.5 <-> 10.0.0.2\n" },
};

static void kill_one(const struct scene *scene, enum edit_kind kind, int n, bool *more)
{
	struct config before, after, found, some;
	struct edit change = { .kind = kind, .number = 2 };

	parse(scene->before, &before);
	parse(scene->some, &some);
	parse("", &found);
	apply_all(&before);
	parse("", &after);
	for (size_t i = 0; i < before.rule_count; i++)
		assert_int_equal(config_insert(&after, i, &before.rules[i]), 0);
	some.rules[0].slot = harness.session.state.running.next_slot;
	some.rules[0].handle = harness.session.state.running.next_handle;
	if (kind == EDIT_REPLACE || kind == EDIT_DELETE)
		change.number = before.rules[1].handle;
	if (kind != EDIT_DELETE)
		change.rule = &some.rules[0];
	assert_true(change_config(&after, &change, kind == EDIT_ADD ? 3 : 1));

	*more = killed_at(n, &change);
	read_again(&found);
	assert_true(lists_equal(&found, &after) || (*more && lists_equal(&found, &before)));
	if (!harness.session.state.running.pending) {
		is_in_force(&found);
	} else {
		assert_true(*more);
		assert_int_equal(make_edit(&change), -EAGAIN);
		apply_all(&found);
		is_in_force(&found);
	}
	config_free(&before);
	config_free(&after);
	config_free(&found);
	config_free(&some);
}

static void killed(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * (EDIT_DELETE + 1); i++) {
		bool more = true;
		int n = 0;

		while (more)
			kill_one(&scenes[i % 2], i / 2, ++n, &more);
		printf("# killed at each of %d calls\n", n - 1);
		assert_true(n > 10);
	}
}

/* ---- how long it takes ---- */

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void many_rules(struct config *config)
{
	char *text = malloc(FORWARDS * ADDR_TEXT_MAX), *at = text;

	assert_non_null(text);
	for (int i = 0; i < FORWARDS; i++)
		at += sprintf(at, "dnat in eth0 tcp to 10.%d.%d.%d:80 -> 10.0.0.2:8080\n",
			      100 + i / 65536, i / 256 % 256, i % 256);
	parse(text, config);
	apply_all(config);
	free(text);
}

static void among_many(void **state)
{
	static const char *const names[] = { "add", "insert", "replace", "delete" };
	struct config config, some;

	(void)state;
	many_rules(&config);
	parse("drop in eth0 tcp to :7\ndrop in eth0 tcp,udp to :8-10\ndrop in eth0 udp to :9\n",
	      &some);
	for (int kind = EDIT_ADD; kind <= EDIT_DELETE; kind++) {
		struct edit change = { .kind = kind, .number = FORWARDS / 2 };
		size_t at = kind == EDIT_ADD ? config.rule_count : FORWARDS / 2 - 1;
		double start;

		if (kind != EDIT_DELETE)
			change.rule = &some.rules[kind];
		if (kind == EDIT_REPLACE || kind == EDIT_DELETE)
			change.number = config.rules[at].handle;
		start = now_ms();
		assert_int_equal(make_edit(&change), 0);
		printf("# %s among %d rules: %.2f ms\n", names[kind], FORWARDS, now_ms() - start);
		assert_true(now_ms() - start < 500 * harness_slower());
		assert_true(change_config(&config, &change, at));
		is_in_force(&config);
	}
	config_free(&config);
	config_free(&some);
}

/* ---- what others read meanwhile ---- */

static int commit_again(void)
{
	struct session *session = &harness.session;
	int err;

	config_free(&session->config);
	err = state_config(&session->state, &session->config);
	return err ? err : session_commit(session, COMMIT_KEEP_ATTACHED);
}

/* The rule goes, comes again, and the first one is replaced; now and then all of them are written. */
static int change_under_lock(const struct rule *rule, const struct rule *first, unsigned int n)
{
	struct rule some = n % 3 == 2 ? *first : *rule;
	struct edit change = { .kind = EDIT_DELETE, .rule = &some };
	int err = pins_lock(&harness.session.pins);

	if (n % 3 == 1)
		change.kind = EDIT_ADD;
	if (n % 3 == 2) {
		change.kind = EDIT_REPLACE;
		change.number = first->handle;
		some.target.ports.min = some.target.ports.max = 1 + n % UINT16_MAX;
	}
	if (!err && !(n % COMMIT_EACH))
		err = commit_again();
	if (!err)
		err = make_edit(&change);
	pins_unlock(&harness.session.pins);
	return err;
}

/* Until the other end of the pipe is closed. */
static int change_on_and_on(const struct config *config, int until)
{
	struct pollfd end = { .fd = until, .events = POLLIN };
	const struct rule *rules = config->rules;
	int err = 0;

	for (unsigned int n = 0; !err && !poll(&end, 1, 1); n++)
		err = change_under_lock(&rules[FORWARDS / 2], &rules[0], n);
	return err;
}

static void is_one_of(const struct rule *rule, const struct config *config)
{
	__u32 at = rule->handle - config->rules[0].handle;
	struct rule wanted = config->rules[at < FORWARDS ? at : FORWARDS / 2];

	assert_true(rule->handle && rule->slot);
	wanted.handle = rule->handle;
	wanted.slot = rule->slot;
	if (!at)
		wanted.target.ports = rule->target.ports;
	assert_memory_equal(rule, &wanted, sizeof(wanted));
}

/* No two changes at once: at most the one rule is missing, and never is it there twice. */
static void read_meanwhile(const struct config *config)
{
	struct session reader;

	assert_int_equal(session_read(&reader, harness.netns), 0);
	assert_in_range(reader.config.rule_count, FORWARDS - 1, FORWARDS);
	for (size_t i = 0; i < reader.config.rule_count; i++)
		is_one_of(&reader.config.rules[i], config);
	session_close(&reader);
}

static void read_while_changed(void **state)
{
	struct config config;
	int ends[2], status;
	pid_t pid;

	(void)state;
	many_rules(&config);
	assert_int_equal(pipe(ends), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(ends[1]);
		_exit(change_on_and_on(&config, ends[0]) != 0);
	}
	close(ends[0]);
	for (int i = 0; i < READINGS; i++)
		read_meanwhile(&config);
	close(ends[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	read_again(&config);
	config_free(&config);
}

/* ---- counter slots ---- */

static void counter_write(__u32 slot, __u64 packets)
{
	int cpus = libbpf_num_possible_cpus(),
	    map = state_inner(&harness.session.state, MAP_rule_counters, RULE_COUNTER_CHUNK(slot));
	struct rule_counter_group *percpu = calloc(cpus, sizeof(*percpu));
	__u32 group = RULE_COUNTER_GROUP(slot);

	assert_non_null(percpu);
	assert_int_equal(bpf_map_lookup_elem(map, &group, percpu), 0);
	percpu[cpus - 1].of[RULE_COUNTER_PLACE(slot)].packets = packets;
	assert_int_equal(bpf_map_update_elem(map, &group, percpu, BPF_ANY), 0);
	close(map);
	free(percpu);
}

static __u64 counted(__u32 slot)
{
	struct counter_reader reader;
	struct rule_counter sum;

	assert_int_equal(counter_reader_open(&reader, &harness.session.state), 0);
	assert_int_equal(counter_read(&reader, slot, &sum), 0);
	counter_reader_close(&reader);
	return sum.packets;
}

/* What a source has under the limit of the rule in that slot. */
static void source_write(__u32 slot)
{
	const struct source_key key = { .slot = slot };
	const struct source some = { .flows = 1 };
	int map = state_inner(&harness.session.state, MAP_sources, 0);

	assert_int_equal(bpf_map_update_elem(map, &key, &some, BPF_ANY), 0);
	close(map);
}

static bool source_is_there(__u32 slot)
{
	const struct source_key key = { .slot = slot };
	int map = state_inner(&harness.session.state, MAP_sources, 0);
	struct source found;
	bool is = !bpf_map_lookup_elem(map, &key, &found);

	close(map);
	return is;
}

static void add_one(struct config *config, const struct rule *wanted)
{
	struct rule rule = *wanted;
	struct edit change = { .kind = EDIT_ADD, .rule = &rule };

	assert_int_equal(make_edit(&change), 0);
	assert_int_equal(config_insert(config, config->rule_count, &rule), 0);
}

/* The fourth is in use: of all before it, nothing is left when they are given again. */
static void slots_come_round_again(void **state)
{
	struct running *running = &harness.session.state.running;
	static const __u32 slots[] = { 4, 5, 1, 2, 3, 6, 7 };
	struct config config, more;

	(void)state;
	parse("drop in eth0 tcp to :1\ndnat in eth0 tcp to :2 -> 10.0.0.2 limit flows 9\n",
	      &config);
	parse("drop in eth0 tcp to :3\ndrop in eth0 tcp to :4\ndrop in eth0 tcp to :5\n"
	      "drop in eth0 tcp to :6\ndrop in eth0 tcp to :7\n",
	      &more);
	running->next_slot = 4;
	running->last_slot = 9;
	assert_int_equal(slots_make_room(&harness.session.state), 0);
	apply_all(&config);
	for (__u32 slot = 1; slot <= 8; slot++) {
		counter_write(slot, slot);
		source_write(slot);
	}
	running->next_slot = 1;
	add_one(&config, &more.rules[0]);
	add_one(&config, &more.rules[1]);
	for (int i = 2; i < 5; i++)
		assert_int_equal(config_insert(&config, config.rule_count, &more.rules[i]), 0);
	apply_all(&config);
	is_in_force(&config);
	for (size_t i = 0; i < config.rule_count; i++) {
		bool stays = i < 2;

		assert_int_equal(config.rules[i].slot, slots[i]);
		assert_int_equal(counted(slots[i]), stays ? slots[i] : 0);
		assert_true(source_is_there(slots[i]) == stays);
	}
	assert_int_equal(counted(8), 8);
	assert_true(source_is_there(8));
	config_free(&config);
	config_free(&more);
}

/* Each has one, and no two the same; then there is none for one more. */
static void slots_for_all(void **state)
{
	struct state new = { .running = { .next_slot = 1, .next_handle = 1 } };
	struct config config = { .rule_count = XFWD_RULES_MAX };

	(void)state;
	config.rules = calloc(XFWD_RULES_MAX + 1, sizeof(*config.rules));
	assert_non_null(config.rules);
	assert_int_equal(slots_give(&new, &config), 0);
	for (size_t i = 0; i < config.rule_count; i++)
		if (config.rules[i].slot != i + 1)
			fail_msg("rule %zu has slot %u", i, config.rules[i].slot);
	config.rule_count++;
	assert_int_equal(slots_give(&new, &config), -E2BIG);
	free(config.rules);
}

/*
 * What is to take the place of rules in force may still fail: it gets their slots, and those are cleared,
 * only where there are no others.
 */
static void slots_in_force(void **state)
{
	struct state *loaded = &harness.session.state;
	struct config config, next;
	struct running before;
	__u32 slot;

	(void)state;
	parse("drop in eth0 tcp to :1\n", &config);
	parse("drop in eth0 tcp to :2\n", &next);
	apply_all(&config);
	slot = config.rules[0].slot;
	counter_write(slot, 1);
	before = loaded->running;
	loaded->running.next_slot = slot;
	assert_int_equal(slots_give(loaded, &next), 0);
	assert_int_not_equal(next.rules[0].slot, slot);
	assert_int_equal(counted(slot), 1);
	config_free(&next);
	next.rules = calloc(XFWD_RULES_MAX, sizeof(*next.rules));
	next.rule_count = XFWD_RULES_MAX;
	assert_non_null(next.rules);
	assert_int_equal(slots_give(loaded, &next), 0);
	assert_int_equal(next.rules[XFWD_RULES_MAX - 1].slot, slot);
	assert_int_equal(counted(slot), 0);
	loaded->running = before;
	config_free(&next);
	config_free(&config);
}

static void rename_interface(const char *from, const char *to)
{
	harness_shell("ip -n %s link set %s down && ip -n %s link set %s name %s up", harness.netns,
		      from, harness.netns, from, to);
}

/* The rules are by the name of before, and so is what is on record: the next commit is to follow. */
static void renamed_meanwhile(void **state)
{
	struct netdevs devs;
	struct config config;

	(void)state;
	parse("drop in eth1 tcp to :1\n", &config);
	apply_all(&config);
	rename_interface("eth1", "lan");
	apply_all(&config);
	assert_int_equal(netdevs_get(&devs), 0);
	assert_false(commit_is_current(&harness.session.state, &harness.session.config, &devs));
	netdevs_free(&devs);
	rename_interface("lan", "eth1");
	config_free(&config);
}

static int set_up(void **state)
{
	(void)state;
	harness_up(&harness, "edge", NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	harness_down(&harness);
	return 0;
}

static int tests_run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes),     cmocka_unit_test(killed),
		cmocka_unit_test(read_while_changed), cmocka_unit_test(among_many),
		cmocka_unit_test(slots_for_all),      cmocka_unit_test(slots_come_round_again),
		cmocka_unit_test(slots_in_force),     cmocka_unit_test(renamed_meanwhile),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("editing", tests, set_up, tear_down);
}

int main(void)
{
	return harness_supervise(tests_run);
}
