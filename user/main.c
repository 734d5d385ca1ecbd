// SPDX-License-Identifier: GPL-2.0-or-later
/* The command line: global options, and the table of commands. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "msg.h"

struct command {
	const char *name;
	const char *words;
	const char *summary;
	const char *help; /* more than the summary says; may be NULL */
	int (*run)(const struct invocation *call);
};

static int cmd_help(const struct invocation *call);
static int cmd_version(const struct invocation *call);

#define RULE_HELP \
	"RULE: ACTION [in IF | out IF] [ipv4 | ipv6] [PROTO] [from SRC[:PORT[-PORT]]]\n" \
	"      [to DST[:PORT[-PORT]]] [-> TARGET] [OPTION ...]\n" \
	"      static [IF] OUTSIDE <-> INSIDE [name WORD]\n" \
	"ACTION: accept drop dnat redirect snat masquerade. PROTO: tcp udp sctp icmp or tcp,udp.\n" \
	"IF: an interface, or \"any\". accept and drop with neither in nor out are \"in any\".\n" \
	"OPTION: name WORD, random, mapping KIND, filtering KIND, hairpin, limit flows N,\n" \
	"      limit rate N/s, mss auto | N.\n" \
	"Quote the rule, or say \"into\" for \"->\" and \"with\" for \"<->\", which are redirections\n" \
	"to the shell.\n" \
	"  xfwd add 'redirect in eth0 tcp to :80 -> :8080'\n" \
	"  xfwd add 'dnat in eth0 tcp to 203.0.113.7:443 -> 10.0.0.5:8443'\n" \
	"  xfwd add 'masquerade out eth0 from 10.0.0.0/24'\n" \
	"  xfwd add 'dnat in eth0 tcp to [2001:db8::1]:443 -> [2001:db8:1::5]:8443'"

static const struct command commands[] = {
	{ "apply", "FILE [--dry-run]", "make the running rules equal the file: all or nothing",
	  "Rules that stay keep their handles, counters and flows. FILE \"-\" is standard input.\n"
	  "A file that begins with \"{\" is JSON, as `save -j` prints it.\n"
	  "--dry-run only says what would change.",
	  cmd_apply },
	{ "run", "FILE", "apply the file and stay: follow changes, and forward faster for it",
	  "In the foreground, for a service manager (scripts/xfwd.service). While it is there, flows\n"
	  "keep their next hops, masquerade follows addresses, and interfaces that come back are\n"
	  "attached. SIGHUP loads FILE again; one that is invalid changes nothing. When it ends,\n"
	  "whichever way, rules, flows and attachments stay.",
	  cmd_run },
	{ "check", "FILE", "parse and validate a file; needs neither root nor a kernel", NULL,
	  cmd_check },
	{ "add", "RULE", "append a rule", RULE_HELP, cmd_add },
	{ "insert", "N RULE", "put a rule at position N (from 1)", RULE_HELP, cmd_insert },
	{ "replace", "HANDLE RULE", "put a rule in another's place", RULE_HELP, cmd_replace },
	{ "delete", "HANDLE | RULE", "remove a rule, by the handle that `list` shows or its words",
	  RULE_HELP, cmd_delete },
	{ "flush", "", "remove all rules; interfaces stay attached until `down`", NULL, cmd_flush },
	{ "zero", "", "set all counters to zero", NULL, cmd_zero },
	{ "list", "", "the rules in order, with handles and counters", NULL, cmd_list },
	{ "save", "", "the running configuration, in file form",
	  "With -j in JSON; `apply` reads both.", cmd_save },
	{ "flows", "[delete] [FILTER]", "show the flow table, or end flows",
	  "FILTER: pairs of words; a flow has to fit all of them.\n"
	  "  proto P  src ADDR  dst ADDR  sport N  dport N  state S  rule HANDLE\n"
	  "S: opening established closing (tcp), answered unanswered (others).",
	  cmd_flows },
	{ "status", "", "interfaces and how they are attached", NULL, cmd_status },
	{ "stats", "", "packets by hook and by what became of them", NULL, cmd_stats },
	{ "down", "[IF]", "detach and remove everything (or detach one interface)",
	  "Rules, flows and pins go, and sysctls that xfwd set are put back.", cmd_down },
	{ "version", "", "print the version", NULL, cmd_version },
	{ "help", "[COMMAND]", "this, or more about one command", NULL, cmd_help },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static void usage(FILE *out)
{
	fputs("usage: xfwd [-n NETNS] [-j] [-p] [-q] COMMAND …\n\n", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		char head[64];

		snprintf(head, sizeof(head), "%s %s", commands[i].name, commands[i].words);
		fprintf(out, "  %-28s %s\n", head, commands[i].summary);
	}
	fputs("\n"
	      "  -n, --netns NAME   work in this network namespace (of `ip netns`)\n"
	      "  -j, --json         print JSON; -p, --pretty: with line breaks\n"
	      "  -q, --quiet        no notes\n"
	      "\n"
	      "Exit status: 0 done; 1 failed, nothing changed, or done, but what it says could not be\n"
	      "written; 2 wrong usage, or an invalid file.\n",
	      out);
}

static int cmd_help(const struct invocation *call)
{
	const struct command *command;

	if (call->argc < 2) {
		usage(stdout);
		return EXIT_DONE;
	}
	if (call->argc > 2)
		return cmd_usage("help", "\"%s\" is not expected here", call->argv[2]);
	command = command_find(call->argv[1]);
	if (!command)
		return cmd_usage("help", "no command \"%s\"", call->argv[1]);
	printf("xfwd %s %s\n%s.\n", command->name, command->words, command->summary);
	if (command->help)
		printf("\n%s\n", command->help);
	return EXIT_DONE;
}

static int cmd_version(const struct invocation *call)
{
	if (call->argc > 1)
		return cmd_usage("version", "it takes no words");
	if (call->json)
		return cmd_json(call, json_pack("{s:s}", "version", XFWD_VERSION));
	puts("xfwd " XFWD_VERSION);
	return EXIT_DONE;
}

int cmd_usage(const char *name, const char *format, ...)
{
	const struct command *command = command_find(name);
	va_list args;

	fprintf(stderr, "xfwd: %s: ", name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nusage: xfwd %s %s\n", name, command ? command->words : "");
	return EXIT_USAGE;
}

char *cmd_join(const struct invocation *call, int first)
{
	size_t length = 1;
	char *text;

	for (int i = first; i < call->argc; i++)
		length += strlen(call->argv[i]) + 1;
	text = calloc(1, length);
	for (int i = first; text && i < call->argc; i++) {
		if (i > first)
			strcat(text, " ");
		strcat(text, call->argv[i]);
	}
	return text;
}

bool cmd_number(const char *word, unsigned long max, unsigned long *number)
{
	char *end;

	if (*word < '0' || *word > '9')
		return false;
	errno = 0;
	*number = strtoul(word, &end, 10);
	return !*end && !errno && *number <= max;
}

json_t *cmd_string(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string)
		return string;
	copy = strdup(text);
	for (char *c = copy; c && *c; c++)
		if (*c & 0x80)
			*c = '?';
	string = copy ? json_string(copy) : NULL;
	free(copy);
	return string;
}

int cmd_json(const struct invocation *call, json_t *object)
{
	int err;

	if (!object) {
		msg_error("out of memory");
		return EXIT_FAILED;
	}
	err = json_dumpf(object, stdout,
			 (call->pretty ? JSON_INDENT(2) : JSON_COMPACT) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(object);
	return err ? EXIT_FAILED : EXIT_DONE;
}

/* Options that take no value. */
static bool set_flag(struct invocation *call, const char *word)
{
	const struct {
		const char *brief;
		const char *full;
		bool *flag;
	} flags[] = {
		{ "-j", "--json", &call->json },
		{ "-p", "--pretty", &call->pretty },
		{ "-q", "--quiet", &call->quiet },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!strcmp(word, flags[i].brief) || !strcmp(word, flags[i].full)) {
			*flags[i].flag = true;
			return true;
		}
	}
	return false;
}

/* Takes the global options out of the words, wherever they stand. 0, or the exit code. */
static int take_options(struct invocation *call, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (set_flag(call, argv[i]))
			continue;
		if (strcmp(argv[i], "-n") && strcmp(argv[i], "--netns")) {
			call->argv[call->argc++] = argv[i];
			continue;
		}
		if (++i == argc) {
			msg_error("%s needs the name of a network namespace", argv[i - 1]);
			return EXIT_USAGE;
		}
		call->netns = argv[i];
	}
	return 0;
}

static bool asks_for_help(const char *word)
{
	return !strcmp(word, "-h") || !strcmp(word, "--help");
}

static int run(struct invocation *call)
{
	static const char *names[COMMAND_COUNT];
	const struct command *command;
	const char *near;

	if (!call->argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (asks_for_help(call->argv[0]))
		call->argv[0] = "help";
	if (!strcmp(call->argv[0], "--version"))
		call->argv[0] = "version";
	command = command_find(call->argv[0]);
	if (command && call->argc == 2 && asks_for_help(call->argv[1])) {
		call->argv[1] = call->argv[0];
		return cmd_help(call);
	}
	if (command)
		return command->run(call);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		names[i] = commands[i].name;
	near = diag_nearest(call->argv[0], names, COMMAND_COUNT);
	if (near)
		msg_error("no command \"%s\"; did you mean \"%s\"?", call->argv[0], near);
	else
		msg_error("no command \"%s\"; `xfwd help` lists them", call->argv[0]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct invocation call = { .argv = calloc(argc + 1, sizeof(char *)) };
	int code;

	if (!call.argv)
		return EXIT_FAILED;
	signal(SIGPIPE, SIG_IGN); /* what is said may be read by nobody: no change ends halfway */
	code = take_options(&call, argc, argv);
	msg_quiet(call.quiet);
	if (!code)
		code = run(&call);
	/* A full disk or a closed pipe must not look like success. */
	if (fflush(stdout) || ferror(stdout))
		code = code ? code : EXIT_FAILED;
	free(call.argv);
	return code;
}
