/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the grammar, and what is said about a line that does not follow it. One error a line: what
 * a word means after the first mistake is guesswork.
 */
%code requires {
#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

#include "config.h"
#include "diag.h"
#include "parse.h"

/* A piece of the text that is parsed; it has no NUL at its end. */
struct slice {
	const char *at;
	int length;
};

/* One file being read. */
struct parser {
	/* What it fills; without a config it reads exactly one rule, and origins is not used. */
	struct config *config;
	struct origins *origins;
	struct diag *diag;

	const struct parser *parent; /* the file that includes this one */
	dev_t device; /* of this file, as is inode; both 0 for text that is no file */
	ino_t inode;
	const char *file; /* its name */
	const char *member; /* whose text this is; NULL: the file's own */
	const char *text; /* ends with a newline */

	void *scanner;
	size_t offset; /* of the next token */
	size_t line_start; /* of the last token's line */
	int line;
	int token; /* the last one */
	int piece; /* what the next part of an endpoint is */
	int skip_depth; /* open blocks, while one is skipped */
	bool recovering; /* the rest of the statement is thrown away */

	/* Of the statement under construction. */
	struct rule rule;
	unsigned int given; /* options of the rule, GIVEN_… */
	bool family_said; /* by a word of its own */
	bool has_length; /* the last address, in its brackets or behind it */
	char ifname[IF_NAMESIZE]; /* of an interface statement, as is mode */
	int mode; /* enum attach_mode; -1: not given */
	struct rule_origin origin;

	int bad_line; /* the last line with an error */
	int result; /* 0, -EINVAL, -ENOMEM */
};
}

%code provides {
/* Words are cut in messages: one may be megabytes. */
#define WORD_MAX 40
#define WORD_SHOWN(slice) (slice).length < WORD_MAX ? (slice).length : WORD_MAX, (slice).at

/* parser.given */
#define GIVEN_RANDOM      (1U << 0)
#define GIVEN_MAPPING     (1U << 1)
#define GIVEN_FILTERING   (1U << 2)
#define GIVEN_HAIRPIN     (1U << 3)
#define GIVEN_LIMIT_FLOWS (1U << 4)
#define GIVEN_LIMIT_RATE  (1U << 5)
#define GIVEN_MSS         (1U << 6)

/* lexer.l */
int lexer_token(YYSTYPE *value, struct location *where, void *scanner);
int lexer_open(struct parser *parser, size_t length);
void lexer_close(struct parser *parser);
/* Throws everything away up to the end of the block that the last token opened. */
void lexer_skip_block(struct parser *parser);
/* What a word is worth. An error is reported, and the result is one that does no harm. */
uint16_t read_port(struct parser *parser, struct slice word, const struct location *where);
uint8_t read_length(struct parser *parser, struct slice word, const struct location *where,
		    uint8_t family);
struct prefix read_address(struct parser *parser, struct slice word, const struct location *where);
struct prefix read_address6(struct parser *parser, struct slice word, const struct location *where);
struct prefix read_host(struct parser *parser, struct slice word, const struct location *where);
struct prefix prefix_cut(struct parser *parser, struct prefix prefix, uint8_t length,
			 const struct location *where);
struct port_range port_range(struct parser *parser, uint16_t min, uint16_t max,
			     const struct location *at_max);
uint32_t read_limit(struct parser *parser, struct slice word, const struct location *where);
uint32_t read_rate(struct parser *parser, struct slice word, const struct location *where);
uint16_t read_mss(struct parser *parser, struct slice word, const struct location *where);
uint32_t read_count(struct parser *parser, struct slice word, const struct location *where);
uint32_t read_duration(struct parser *parser, struct slice word, const struct location *where);
/* What a name says; one in quotes has them in its slice. */
struct slice unquote(struct slice word);
int read_timeout(struct parser *parser, struct slice word, const struct location *where);
void read_ifname(struct parser *parser, struct slice word, const struct location *where,
		 char name[IF_NAMESIZE]);
void read_name(struct parser *parser, struct slice word, const struct location *where,
	       char name[RULE_NAME_MAX]);

/* origins.c: 0 or -ENOMEM. */
int origin_append(struct rule_origin **origins, size_t count, const struct rule_origin *origin);
/* Locations and rules' lines point into both from now on. Takes `text` over, even on failure. */
int origins_file(struct origins *origins, const char *name, char *text);

/* statement.c: what the words of a statement mean together. */
void origin_begin(struct parser *parser, const struct location *where);
void parser_error(struct parser *parser, const struct location *where, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool given_before(struct parser *parser, bool before, const char *message,
		  const struct location *where);
void rule_begin(struct parser *parser, enum rule_action_kind kind, const struct location *where);
void rule_direction(struct parser *parser, enum stage stage, const struct location *where);
void rule_ifname(struct parser *parser, struct slice name, const struct location *where);
void rule_family(struct parser *parser, uint8_t family, const struct location *where);
void rule_family_word(struct parser *parser, uint8_t family, const struct location *where);
void rule_target(struct parser *parser, const struct prefix *min, const struct prefix *max,
		 const struct location *at_max);
void rule_static(struct parser *parser, const struct prefix *outside,
		 const struct location *at_outside, const struct prefix *inside,
		 const struct location *at_inside);
bool rule_option(struct parser *parser, unsigned int option, const struct location *where);
void rule_mapping(struct parser *parser, enum mapping mapping, const struct location *where);
void rule_filtering(struct parser *parser, enum filtering filtering, const struct location *where);
void rule_mss(struct parser *parser, uint16_t mss, const struct location *where);
/* What no word said. */
void rule_default(struct parser *parser);
void rule_end(struct parser *parser);
void set_timeout(struct parser *parser, struct slice name, const struct location *at_name,
		 struct slice value, const struct location *at_value);
void interface_begin(struct parser *parser, struct slice name, const struct location *where,
		     const struct location *at_name);
void interface_end(struct parser *parser);

/* parse.c */
void include_files(struct parser *parser, struct slice path, const struct location *where);
/* For members of a JSON file: a rule, and an interface's name. */
void rule_text(struct parser *parser, const char *member, const char *text);
void interface_text(struct parser *parser, const char *member, const char *text);

/* json.c */
bool json_begins(const char *text);
int json_run(struct parser *parser, size_t length);
}

%code {
#include <stdio.h>
#include <string.h>

/* How many kinds of tokens may be expected in one place, at most. */
#define EXPECTED_MAX 32

static int yylex(YYSTYPE *value, struct location *where, struct parser *parser);
static void yyerror(const struct location *where, struct parser *parser, const char *message);

/* A block spans lines; what is said about it points at its first. */
#define YYLLOC_DEFAULT(current, rhs, count) \
	do { \
		(current) = YYRHSLOC(rhs, (count) ? 1 : 0); \
		if ((count) && (current).line == YYRHSLOC(rhs, count).line) \
			(current).last_column = YYRHSLOC(rhs, count).last_column; \
	} while (0)
}

%define api.pure full
%define api.token.prefix {T_}
%define api.location.type {struct location}
%define parse.error custom
%define parse.lac full
%locations
%param {struct parser *parser}

%union {
	struct slice slice;
	struct port_range ports;
	struct prefix prefix;
	struct endpoint endpoint;
	int number;
}

/* The text in quotes is what a user reads: a token as it is typed, or what it stands for. */
%token END 0 "the end"
%token START_FILE START_RULE UNCLOSED
%token ACCEPT "accept" DROP "drop" DNAT "dnat" REDIRECT "redirect" SNAT "snat"
%token MASQUERADE "masquerade" STATIC "static"
%token SET "set" INTERFACE "interface" INCLUDE "include"
%token IN "in" OUT "out" IPV4 "ipv4" IPV6 "ipv6"
%token TCP "tcp" UDP "udp" SCTP "sctp" ICMP "icmp" ICMPV6 "icmpv6"
%token FROM "from" TO "to" ARROW "->" BOTH "<->"
%token NAME "name" RANDOM "random" MAPPING "mapping" FILTERING "filtering" HAIRPIN "hairpin"
%token LIMIT "limit" MSS "mss" FLOWS "flows" RATE "rate"
%token INDEPENDENT "endpoint-independent" DEPENDENT "endpoint-dependent"
%token ADDRESS_DEPENDENT "address-dependent"
%token ADDRESS_AND_PORT_DEPENDENT "address-and-port-dependent"
%token TIMEOUT "timeout" LOOSE "loose" SYSCTL "sysctl" SOURCE_CHECK "source-check"
%token ON "on" OFF "off"
%token MODE "mode" AUTO "auto" NATIVE "native" GENERIC "generic" TC "tc"
%token WORD "a word" <slice> NUMBER "a number" <slice> ANY_NAME "a name"
%token <slice> STRING "a string in quotes" ADDRESS "an address" PORT "a port"
%token <slice> LENGTH "a prefix length" ADDRESS6 "an IPv6 address"
%token SLASH "/" DASH "-" COMMA "," COLON ":" OPEN "{" CLOSE "}" SEMICOLON ";"
%token NEWLINE "the end of the line"

%type <slice> name
%type <number> action protocols protocol mode switch length port mapping filtering mss
%type <prefix> net host address
%type <ports> ports
%type <endpoint> endpoint

%%

input
	: START_FILE lines
	{
		(void)yynerrs; /* which bison's own code only counts up: clang 15 and later warn */
	}
	| START_RULE rule NEWLINE
	;

lines
	: %empty
	| lines line
	{
		if (parser->result == -ENOMEM)
			YYNOMEM;
	}
	;

line
	: separator
	| statement separator
	| error separator		{ yyerrok; }
	;

separator
	: NEWLINE
	| ";"
	;

statement
	: rule				{ rule_end(parser); }
	| SET setting
	| interface
	| INCLUDE STRING		{ include_files(parser, $2, &@2); }
	;

rule
	: action			{ rule_begin(parser, $1, &@1); }
	  matches target options	{ rule_default(parser); }
	| STATIC			{ rule_begin(parser, RULE_STATIC, &@1); }
	  static_interface net BOTH net	{ rule_static(parser, &$4, &@4, &$6, &@6); }
	  options
	;

static_interface
	: %empty
	| name				{ rule_ifname(parser, $1, &@1); }
	;

action
	: ACCEPT			{ $$ = RULE_ACCEPT; }
	| DROP				{ $$ = RULE_DROP; }
	| DNAT				{ $$ = RULE_DNAT; }
	| REDIRECT			{ $$ = RULE_REDIRECT; }
	| SNAT				{ $$ = RULE_SNAT; }
	| MASQUERADE			{ $$ = RULE_MASQUERADE; }
	;

matches
	: %empty
	| matches match
	;

match
	: IN				{ rule_direction(parser, STAGE_IN, &@1); }
	  name				{ rule_ifname(parser, $3, &@3); }
	| OUT				{ rule_direction(parser, STAGE_OUT, &@1); }
	  name				{ rule_ifname(parser, $3, &@3); }
	| FROM { given_before(parser, parser->origin.from.line, "from is given twice", &@1); }
	  endpoint { parser->rule.from = $3; parser->origin.from = @3; }
	| TO { given_before(parser, parser->origin.to.line, "to is given twice", &@1); }
	  endpoint { parser->rule.to = $3; parser->origin.to = @3; }
	| IPV4				{ rule_family_word(parser, AF_INET, &@1); }
	| IPV6				{ rule_family_word(parser, AF_INET6, &@1); }
	| protocols
	{
		if (!given_before(parser, parser->rule.protocols,
				  "the protocol is given twice; a list is written tcp,udp", &@1))
			parser->rule.protocols = $1;
	}
	;

name
	: ANY_NAME
	| STRING
	;

protocols
	: protocol
	| protocols "," protocol
	{
		given_before(parser, $1 & $3, "this protocol is given twice", &@3);
		$$ = $1 | $3;
	}
	;

protocol
	: TCP				{ $$ = RULE_TCP; }
	| UDP				{ $$ = RULE_UDP; }
	| SCTP				{ $$ = RULE_SCTP; }
	| ICMP				{ $$ = RULE_ICMP; }
	| ICMPV6
	{
		rule_family(parser, AF_INET6, &@1);
		$$ = RULE_ICMP;
	}
	;

endpoint
	: net				{ $$ = (struct endpoint){ .prefix = $1 }; }
	| net ":" ports			{ $$ = (struct endpoint){ .prefix = $1, .ports = $3 }; }
	| ":" ports			{ $$ = (struct endpoint){ .ports = $2 }; }
	;

net
	: host
	| host "/" length		{ $$ = prefix_cut(parser, $1, $3, &@1); }
	;

ports
	: port				{ $$ = (struct port_range){ $1, $1 }; }
	| port "-" port			{ $$ = port_range(parser, $1, $3, &@3); }
	;

target
	: %empty
	| ARROW destination		{ parser->origin.target = @2; }
	;

destination
	: addresses
	| addresses ":" ports		{ parser->rule.target.ports = $3; }
	| ":" ports			{ parser->rule.target.ports = $2; }
	;

addresses
	: address			{ rule_target(parser, &$1, &$1, &@1); }
	| address "-" address		{ rule_target(parser, &$1, &$3, &@3); }
	;

/*
 * Each word is a rule of its own, so that it is read, and its error reported, before the parser
 * looks at the next word and finds an error there.
 */
host
	: ADDRESS			{ $$ = read_host(parser, $1, &@1); }
	| ADDRESS6			{ $$ = read_address6(parser, $1, &@1); }
	;

address
	: ADDRESS			{ $$ = read_address(parser, $1, &@1); }
	| ADDRESS6			{ $$ = read_address6(parser, $1, &@1); }
	;

/* Always after a host and its "/". */
length
	: LENGTH { $$ = read_length(parser, $1, &@1, $<prefix>-1.family); }
	;

port
	: PORT				{ $$ = read_port(parser, $1, &@1); }
	;

options
	: %empty
	| options option
	;

option
	: RANDOM
	{
		if (rule_option(parser, GIVEN_RANDOM, &@1))
			parser->rule.random = 1;
	}
	| HAIRPIN
	{
		if (rule_option(parser, GIVEN_HAIRPIN, &@1))
			parser->rule.hairpin = 1;
	}
	| MAPPING mapping		{ rule_mapping(parser, $2, &@$); }
	| FILTERING filtering		{ rule_filtering(parser, $2, &@$); }
	| LIMIT FLOWS NUMBER
	{
		if (rule_option(parser, GIVEN_LIMIT_FLOWS, &@$))
			parser->rule.limit_flows = read_limit(parser, $3, &@3);
	}
	| LIMIT RATE NUMBER
	{
		if (rule_option(parser, GIVEN_LIMIT_RATE, &@$))
			parser->rule.limit_rate = read_rate(parser, $3, &@3);
	}
	| MSS mss			{ rule_mss(parser, $2, &@$); }
	| NAME name
	{
		if (!given_before(parser, parser->rule.name[0], "name is given twice", &@1))
			read_name(parser, $2, &@2, parser->rule.name);
	}
	;

mapping
	: INDEPENDENT			{ $$ = MAPPING_INDEPENDENT; }
	| DEPENDENT			{ $$ = MAPPING_DEPENDENT; }
	;

filtering
	: INDEPENDENT			{ $$ = FILTERING_INDEPENDENT; }
	| ADDRESS_DEPENDENT		{ $$ = FILTERING_ADDRESS; }
	| ADDRESS_AND_PORT_DEPENDENT	{ $$ = FILTERING_ADDRESS_AND_PORT; }
	;

mss
	: AUTO				{ $$ = RULE_MSS_AUTO; }
	| NUMBER			{ $$ = read_mss(parser, $1, &@1); }
	;

setting
	: FLOWS NUMBER { parser->config->options.flows = read_count(parser, $2, &@2); }
	| TIMEOUT name NUMBER		{ set_timeout(parser, $2, &@2, $3, &@3); }
	| TCP LOOSE switch		{ parser->config->options.tcp_loose = $3; }
	| SYSCTL switch			{ parser->config->options.sysctl = $2; }
	| SOURCE_CHECK switch		{ parser->config->options.source_check = $2; }
	;

switch
	: ON				{ $$ = 1; }
	| OFF				{ $$ = 0; }
	;

interface
	: INTERFACE name		{ interface_begin(parser, $2, &@1, &@2); }
	  block				{ interface_end(parser); }
	;

block
	: %empty
	| "{" body "}"
	;

body
	: items
	| items item
	| items error			{ yyerrok; }
	;

items
	: %empty
	| items separator
	| items item separator
	| items error separator		{ yyerrok; }
	;

item
	: MODE mode
	{
		if (!given_before(parser, parser->mode >= 0, "mode is given twice", &@1))
			parser->mode = $2;
	}
	;

mode
	: AUTO				{ $$ = MODE_AUTO; }
	| NATIVE			{ $$ = MODE_NATIVE; }
	| GENERIC			{ $$ = MODE_GENERIC; }
	| TC				{ $$ = MODE_TC; }
	;

%%

static int yylex(YYSTYPE *value, struct location *where, struct parser *parser)
{
	const char *rest = parser->text + parser->offset;

	if (!parser->line) {
		*where = (struct location){ .file = parser->file, .line = ++parser->line,
					    .first_column = 1, .last_column = 1,
					    .member = parser->member };
		parser->token = parser->config ? T_START_FILE : T_START_RULE;
		return parser->token;
	}

	if (parser->token == T_NEWLINE || parser->token == T_SEMICOLON)
		parser->recovering = false;
	/* Only now: what the parser did since the newline was still about the line before it. */
	if (parser->token == T_NEWLINE) {
		parser->line++;
		parser->line_start = parser->offset;
	}
	/* A block that is not understood is one error, not one for each of its lines. */
	if (parser->token == T_OPEN && parser->recovering) {
		rest += strspn(rest, " \t\r");
		if (*rest == '\n' || *rest == '#')
			lexer_skip_block(parser);
	}
	parser->token = lexer_token(value, where, parser->scanner);
	return parser->token;
}

/* bison itself calls this for one reason only. */
static void yyerror(const struct location *where, struct parser *parser, const char *message)
{
	(void)where;
	(void)message;
	parser->result = -ENOMEM;
}

/* What may follow, as a user would say it; NULL for what is better left unsaid. */
static const char *phrase(yysymbol_kind_t symbol, const bool *expected)
{
	switch (symbol) {
	case YYSYMBOL_ADDRESS6: /* where an address is, too */
	case YYSYMBOL_SEMICOLON: /* where the end of the line is, too */
	case YYSYMBOL_SLASH: /* these three belong to the word before */
	case YYSYMBOL_DASH:
	case YYSYMBOL_COMMA:
		return NULL;
	case YYSYMBOL_COLON:
		return expected[YYSYMBOL_ADDRESS] ? ":port" : NULL;
	case YYSYMBOL_YYEOF: /* at the start of a line, these two are no news */
	case YYSYMBOL_NEWLINE:
		return expected[YYSYMBOL_SET] ? NULL : yysymbol_name(symbol);
	case YYSYMBOL_STRING:
		return expected[YYSYMBOL_ANY_NAME] ? NULL : yysymbol_name(symbol);
	default:
		return yysymbol_name(symbol);
	}
}

/* "a, b or c" */
static void phrases_join(const char *const *phrases, int count, char *text, size_t size)
{
	size_t used = 0;

	for (int i = 0; i < count && used < size; i++)
		used += snprintf(text + used, size - used, "%s%s",
				 !i		  ? "" :
				 i == count - 1 ? " or " :
						  ", ",
				 phrases[i]);
}

static void word_error(struct parser *parser, const struct location *where, bool unknown,
		       const char *const *phrases, int count)
{
	int length = where->last_column - where->first_column + 1;
	struct slice slice = { parser->text + parser->line_start + where->first_column - 1, length };
	const char *nearest = NULL;
	char word[WORD_MAX + 1];
	char text[512] = "";

	if (*slice.at == '"') {
		slice.at++;
		slice.length -= 2;
	}
	snprintf(word, sizeof(word), "%.*s", WORD_SHOWN(slice));
	if (unknown)
		nearest = diag_nearest(word, phrases, count);
	phrases_join(phrases, count, text, sizeof(text));
	if (nearest)
		parser_error(parser, where, "unknown word \"%s\"; did you mean \"%s\"?", word,
			     nearest);
	else
		parser_error(parser, where, "%s \"%s\"; expected %s",
			     unknown ? "unknown word" : "unexpected", word, text);
}

static int yyreport_syntax_error(const yypcontext_t *context, struct parser *parser)
{
	const struct location *where = yypcontext_location(context);
	yysymbol_kind_t token = yypcontext_token(context);
	yysymbol_kind_t symbols[EXPECTED_MAX];
	const char *phrases[EXPECTED_MAX];
	bool expected[YYNTOKENS] = {};
	char text[512] = "";
	int count, used = 0;

	count = yypcontext_expected_tokens(context, symbols, EXPECTED_MAX);
	for (int i = 0; i < count; i++)
		expected[symbols[i]] = true;
	for (int i = 0; i < count; i++) {
		phrases[used] = phrase(symbols[i], expected);
		used += !!phrases[used];
	}

	if (token == YYSYMBOL_YYEOF) {
		parser->result = -EINVAL;
		diag_error(parser->diag, &parser->origin.rule, parser->origin.source,
			   "the block that begins here has no }");
	} else if (token == YYSYMBOL_NEWLINE) {
		phrases_join(phrases, used, text, sizeof(text));
		parser_error(parser, where, "the line ends too early; expected %s", text);
	} else if (token == YYSYMBOL_UNCLOSED) {
		parser_error(parser, where, "the string has no closing quote");
	} else {
		word_error(parser, where, token == YYSYMBOL_WORD, phrases, used);
	}
	parser->recovering = parser->token != T_NEWLINE && parser->token != T_SEMICOLON;
	return 0;
}
