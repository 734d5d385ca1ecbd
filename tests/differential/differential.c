// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The same rules and the same random packets for the kernel's NAT and for xfwd: what comes out is
 * equal, but for what judge.h lists.
 *
 *	differential				past cases, then random ones
 *	differential --replay FILE		one case
 *	differential --minutes N		random ones for so long
 *	differential --packets N		as many random ones
 *
 * XFWD_SEED repeats a run; without, --minutes has another one each time. A case that differs is made as small as it can be and written to
 * build/differential-*.case.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "judge.h"
#include "rules.h"
#include "traffic.h"

#define PACKETS_DEFAULT    100000
#define PACKETS_OF_RULESET 300
#define FAILURES_MAX       5
#define SEED_DEFAULT       "1"
#define TRIALS             5
#define SHRINK_RUNS        400

static const char *replay;
static double minutes;
static uint64_t packets_wanted; /* of random cases, if not of so many minutes */
static int tests_seen, tests_failed;

static struct judge judge;

static void report(bool is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++tests_seen, name);
	fflush(stdout);
	tests_failed += !is_good;
}

/* ---- trying again ---- */

/* The first step in which the edges differ, or -1. */
static ssize_t scenario_run(const struct scenario *s)
{
	static struct step step;

	if (!judge_begin(&judge, s))
		return -1;
	for (size_t i = 0; i < s->count; i++) {
		step = *s->steps[i];
		if (!judge_step(&judge, &step))
			return i;
	}
	return -1;
}

struct shrinking {
	struct scenario *now;
	char kind[sizeof(judge.kind)];
	int runs;
};

static bool still_differs(struct shrinking *shrinking, const struct scenario *s)
{
	if (shrinking->runs++ > SHRINK_RUNS)
		return false;
	return scenario_run(s) >= 0 && !strcmp(judge.kind, shrinking->kind);
}

/* Leaves out what it can of the packets, at first many at a time. */
static bool shrink_steps(struct shrinking *shrinking)
{
	struct scenario *s = shrinking->now, less = *s;
	bool is_smaller = false;

	for (size_t size = (s->count + 1) / 2; size; size /= 2) {
		for (size_t at = 0; at < s->count;) {
			size_t gone = at + size < s->count ? size : s->count - at;

			less.steps = malloc(s->count * sizeof(*s->steps));
			less.count = s->count - gone;
			memcpy(less.steps, s->steps, at * sizeof(*s->steps));
			memcpy(less.steps + at, s->steps + at + gone,
			       (s->count - at - gone) * sizeof(*s->steps));
			if (still_differs(shrinking, &less)) {
				memcpy(s->steps, less.steps, less.count * sizeof(*s->steps));
				s->count = less.count;
				is_smaller = true;
			} else {
				at += gone;
			}
			free(less.steps);
		}
	}
	return is_smaller;
}

static bool shrink_rules(struct shrinking *shrinking)
{
	struct scenario *s = shrinking->now;
	static char all[RULES_TEXT];
	bool is_smaller = false;
	char *line = s->rules;

	while (*line) {
		size_t length = strcspn(line, "\n");

		length += line[length] == '\n';
		strcpy(all, s->rules);
		memmove(line, line + length, strlen(line + length) + 1);
		if (still_differs(shrinking, s)) {
			is_smaller = true;
			continue;
		}
		strcpy(s->rules, all);
		line += length;
	}
	return is_smaller;
}

static void scenario_shrink(struct scenario *s)
{
	struct shrinking shrinking = { .now = s };
	bool is_smaller;

	strcpy(shrinking.kind, judge.kind);
	do {
		is_smaller = shrink_steps(&shrinking);
		is_smaller |= shrink_rules(&shrinking);
	} while (is_smaller);
	s->manner.loose = s->manner.loose && scenario_run(s) >= 0;
}

/* ---- tests ---- */

/* Says what differs, and where to find it again. */
static void failure_report(struct scenario *s, const char *path, uint64_t seed)
{
	ssize_t at;

	scenario_write(s, path, judge.kind);
	at = scenario_run(s);
	printf("# the edges differ; XFWD_SEED=0x%" PRIx64 " begins with these rules\n", seed);
	printf("# the same again: build/tests/differential/differential --replay %s\n", path);
	printf("# mode %s %s%s, rules:\n", attach_mode_names[s->manner.mode[ETH0]],
	       attach_mode_names[s->manner.mode[ETH1]], s->manner.loose ? ", tcp loose" : "");
	for (const char *line = s->rules; *line; line += strcspn(line, "\n") + 1)
		printf("#   %.*s\n", (int)strcspn(line, "\n"), line);
	for (ssize_t i = 0; i <= at; i++) {
		struct step step = *s->steps[i];
		struct view view;

		if (i == at)
			judge_explain(&judge, &step);
		else if (view_read(&view, &step.in[0].frame))
			printf("# before: %d to %s: %s\n", step.count,
			       iface_names[step.in[0].iface], ends_text(&view.ends));
	}
}

static void one_case(const char *path)
{
	static struct scenario scenario;
	char name[512];
	ssize_t at = 0;
	bool is_read;

	is_read = scenario_read(&scenario, path);
	if (is_read)
		at = scenario_run(&scenario);
	if (is_read && at >= 0)
		judge_explain(&judge, scenario.steps[at]);
	snprintf(name, sizeof(name), "case %s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	report(is_read && at < 0, name);
	scenario_clear(&scenario);
}

static void past_cases(void)
{
	glob_t found;

	if (!glob("tests/differential/*.case", 0, NULL, &found))
		for (size_t i = 0; i < found.gl_pathc; i++)
			one_case(found.gl_pathv[i]);
	globfree(&found);
}

static void random_manner(uint64_t *random, struct manner *manner)
{
	static const enum attach_mode modes[][IFACES] = {
		{ MODE_NATIVE, MODE_NATIVE },   { MODE_TC, MODE_TC },
		{ MODE_GENERIC, MODE_GENERIC }, { MODE_NATIVE, MODE_TC },
		{ MODE_TC, MODE_NATIVE },
	};

	memcpy(manner->mode, PICK(random, modes), sizeof(manner->mode));
	manner->loose = !random_below(random, 4);
}

/* The kinds of difference seen: one of each is enough. */
static char kinds[FAILURES_MAX][sizeof(judge.kind)];
static int kind_count;

static bool is_new_kind(void)
{
	for (int i = 0; i < kind_count; i++)
		if (!strcmp(kinds[i], judge.kind))
			return false;
	if (kind_count < FAILURES_MAX)
		strcpy(kinds[kind_count++], judge.kind);
	return true;
}

/* Each time that it is tried? The edges choose anew each time. */
static bool is_certain(const struct scenario *s)
{
	for (int i = 0; i < TRIALS; i++)
		if (scenario_run(s) < 0)
			return false;
	return true;
}

/* The same rules and packets in namespaces without connections: does it differ again? */
static void failure_handle(struct scenario *s, uint64_t seed)
{
	char path[64], name[sizeof(judge.kind)];

	snprintf(path, sizeof(path), "build/differential-%d.case", kind_count + 1);
	snprintf(name, sizeof(name), "%s", judge.kind);
	if (scenario_run(s) >= 0 && is_new_kind()) {
		scenario_shrink(s);
		if (is_certain(s)) {
			failure_report(s, path, seed);
			report(false, name);
			return;
		}
		kind_count--;
	}
	excuses[EXCUSE_CHANCE]++;
}

static bool is_time_left(time_t began)
{
	if (minutes > 0)
		return difftime(time(NULL), began) < minutes * 60;
	return packets_sent < packets_wanted;
}

static void random_cases(void)
{
	static struct scenario scenario;
	uint64_t random, seed;
	unsigned int rulesets = 0;
	time_t began = time(NULL);

	/* The short form is the same each time, but for what the edges choose. */
	if (!minutes)
		setenv("XFWD_SEED", SEED_DEFAULT, 0);
	random = random_seed();
	while (is_time_left(began) && kind_count < FAILURES_MAX) {
		scenario_clear(&scenario);
		seed = random;
		rules_random(&random, scenario.rules, RULES_TEXT);
		random_manner(&random, &scenario.manner);
		rulesets++;
		if (!judge_begin(&judge, &scenario)) {
			report(false, "rules are not valid");
			printf("%s", scenario.rules);
			return;
		}
		for (int n = 0; n < PACKETS_OF_RULESET; n++) {
			struct step *step = scenario_add(&scenario);

			traffic_step(&random, &judge, step);
			if (!judge_step(&judge, step)) {
				failure_handle(&scenario, seed);
				break;
			}
		}
	}
	printf("# %u rulesets, %ju packets to each edge, %ju translated by the kernel\n", rulesets,
	       (uintmax_t)packets_sent, (uintmax_t)packets_translated);
	for (int i = 0; i < EXCUSE_COUNT; i++)
		printf("# %7ju %s: %s\n", (uintmax_t)excuses[i], excuse_names[i],
		       excuse_reasons[i]);
	if (!tests_failed)
		report(true, "random rules and packets");
}

static int tests_run(void)
{
	wire_up();
	if (replay) {
		one_case(replay);
	} else {
		past_cases();
		random_cases();
	}
	wire_down();
	printf("1..%d\n", tests_seen);
	return tests_failed > 0;
}

static int usage(const char *name)
{
	fprintf(stderr, "usage: %s [--replay FILE | --minutes N | --packets N]\n", name);
	return 2;
}

int main(int argc, char **argv)
{
	packets_wanted = PACKETS_DEFAULT / harness_slower();
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return usage(argv[0]);
		if (!strcmp(argv[i], "--replay"))
			replay = argv[i + 1];
		else if (!strcmp(argv[i], "--minutes"))
			minutes = atof(argv[i + 1]);
		else if (!strcmp(argv[i], "--packets"))
			packets_wanted = strtoull(argv[i + 1], NULL, 0);
		else
			return usage(argv[0]);
	}
	return harness_supervise(tests_run);
}
