// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Owns reading: which files are read, and what the words of a statement mean together. The words
 * themselves are the business of lexer.l, their order that of parser.y, and JSON that of json.c.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parser.h"

#define INCLUDE_DEPTH_MAX 16
/* Columns are ints, and no configuration is this large. */
#define FILE_SIZE_MAX     (256 << 20)

void parser_error(struct parser *parser, const struct location *where, const char *format, ...)
{
	va_list arguments;

	if (!parser->result)
		parser->result = -EINVAL;
	/* What comes after a line's first error is mostly its consequence. */
	if (parser->bad_line == where->line)
		return;
	parser->bad_line = where->line;

	va_start(arguments, format);
	diag_verror(parser->diag, where, parser->text + parser->line_start, format, arguments);
	va_end(arguments);
}

/* Reports what is said for the second time. */
bool given_before(struct parser *parser, bool before, const char *message,
		  const struct location *where)
{
	if (before)
		parser_error(parser, where, "%s", message);
	return before;
}

static void origin_begin(struct parser *parser, const struct location *where)
{
	memset(&parser->origin, 0, sizeof(parser->origin));
	parser->origin.rule = *where;
	parser->origin.source = parser->text + parser->line_start;
}

void rule_begin(struct parser *parser, enum rule_action_kind kind, const struct location *where)
{
	origin_begin(parser, where);
	memset(&parser->rule, 0, sizeof(parser->rule));
	parser->given = 0;
	parser->family_said = false;
	parser->rule.kind = kind;
	if (kind == RULE_SNAT || kind == RULE_MASQUERADE)
		parser->rule.stage = STAGE_OUT;
}

void rule_direction(struct parser *parser, enum stage stage, const struct location *where)
{
	if (given_before(parser, parser->origin.ifname.line && parser->rule.stage == stage,
			 stage == STAGE_IN ? "in is given twice" : "out is given twice", where))
		return;
	if (given_before(parser, parser->origin.ifname.line,
			 "a rule has either in or out, not both", where))
		return;
	parser->rule.stage = stage;
}

void rule_ifname(struct parser *parser, struct slice name, const struct location *where)
{
	parser->origin.ifname = *where;
	/* In quotes it is an interface of that name. */
	if (name.length == 3 && !memcmp(name.at, "any", 3))
		return;
	read_ifname(parser, unquote(name), where, parser->rule.ifname);
}

/* What is said of IPv4 and IPv6 has to agree: in addresses, protocols and words. */
void rule_family(struct parser *parser, uint8_t family, const struct location *where)
{
	if (parser->rule.family && parser->rule.family != family)
		parser_error(parser, where, "this is IPv%d, what comes before is IPv%d",
			     family == AF_INET6 ? 6 : 4, family == AF_INET6 ? 4 : 6);
	parser->rule.family = family;
}

void rule_family_word(struct parser *parser, uint8_t family, const struct location *where)
{
	if (given_before(parser, parser->family_said, "ipv4 or ipv6 is given twice", where))
		return;
	parser->family_said = true;
	rule_family(parser, family, where);
}

/* Both in network byte order, of one family. */
static bool range_is_too_wide(const struct address *min, const struct address *max)
{
	unsigned __int128 first = 0, last = 0;

	for (int i = 0; i < 4; i++) {
		first = first << 32 | ntohl(min->word[i]);
		last = last << 32 | ntohl(max->word[i]);
	}
	return (last - first) >> 64;
}

void rule_target(struct parser *parser, const struct prefix *min, const struct prefix *max,
		 const struct location *at_max)
{
	struct target *target = &parser->rule.target;

	target->family = min->family;
	target->addr_min = min->addr;
	target->addr_max = max->addr;
	if (min->len != max->len || min->len != family_bits(min->family))
		parser_error(parser, at_max, "a target is an address or a range, not a prefix");
	else if (memcmp(&min->addr, &max->addr, sizeof(min->addr)) > 0)
		parser_error(parser, at_max, "the address range ends before it begins");
	else if (min->family == AF_INET6 && range_is_too_wide(&min->addr, &max->addr))
		parser_error(parser, at_max, "the address range has more than 2^64 addresses");
}

void rule_static(struct parser *parser, const struct prefix *outside,
		 const struct location *at_outside, const struct prefix *inside,
		 const struct location *at_inside)
{
	struct rule *rule = &parser->rule;

	parser->origin.to = *at_outside;
	parser->origin.target = *at_inside;
	if (!outside->family || !inside->family)
		parser_error(parser, outside->family ? at_inside : at_outside,
			     "static needs an address or a prefix on both sides");
	else if (outside->len != inside->len)
		parser_error(parser, at_inside,
			     "both sides have to be of one length: /%d is not /%d", inside->len,
			     outside->len);
	else if (!memcmp(&outside->addr, &inside->addr, sizeof(inside->addr)))
		parser_error(parser, at_inside, "both sides are the same");
	rule->to.prefix = *outside;
	rule->target.family = inside->family;
	rule->target.addr_min = inside->addr;
	rule->target.addr_max = address_last(&inside->addr, inside->family, inside->len);
}

#define KIND(kind) (1U << RULE_##kind)
#define ANY_SOURCE (KIND(SNAT) | KIND(MASQUERADE))
#define ANY_FLOW   (KIND(DNAT) | KIND(REDIRECT) | ANY_SOURCE)

/* Which kinds of rules an option goes with, and what is said of others. */
static const struct {
	const char *twice;
	unsigned int kinds;
	const char *elsewhere;
} rule_options[] = {
	{ "random is given twice", ANY_SOURCE, "random goes with snat and masquerade only" },
	{ "mapping is given twice", ANY_SOURCE, "mapping goes with snat and masquerade only" },
	{ "filtering is given twice", ANY_SOURCE, "filtering goes with snat and masquerade only" },
	{ "hairpin is given twice", KIND(DNAT), "hairpin goes with dnat only" },
	{ "limit flows is given twice", ANY_FLOW,
	  "limit goes with dnat, redirect, snat and masquerade only" },
	{ "limit rate is given twice", ANY_FLOW,
	  "limit goes with dnat, redirect, snat and masquerade only" },
	{ "mss is given twice", ANY_FLOW,
	  "mss goes with dnat, redirect, snat and masquerade only" },
};

/* Notes that the option is given; false where it may not be. */
bool rule_option(struct parser *parser, unsigned int option, const struct location *where)
{
	int at = __builtin_ctz(option);

	if (given_before(parser, parser->given & option, rule_options[at].twice, where))
		return false;
	parser->given |= option;
	if (rule_options[at].kinds & 1U << parser->rule.kind)
		return true;
	parser_error(parser, where, "%s", rule_options[at].elsewhere);
	return false;
}

/*
 * Where each destination sees another port, one port may be several hosts', told apart by who they
 * talk to: what comes from elsewhere is nobody's.
 */
static void check_filtering(struct parser *parser, const struct location *where)
{
	if (parser->rule.mapping == MAPPING_DEPENDENT && parser->rule.filtering)
		parser_error(parser, where, "filtering %s needs mapping endpoint-independent",
			     filtering_names[parser->rule.filtering]);
}

void rule_mapping(struct parser *parser, enum mapping mapping, const struct location *where)
{
	if (!rule_option(parser, GIVEN_MAPPING, where))
		return;
	parser->rule.mapping = mapping;
	check_filtering(parser, where);
}

void rule_filtering(struct parser *parser, enum filtering filtering, const struct location *where)
{
	if (!rule_option(parser, GIVEN_FILTERING, where))
		return;
	parser->rule.filtering = filtering;
	check_filtering(parser, where);
}

void rule_mss(struct parser *parser, uint16_t mss, const struct location *where)
{
	if (!rule_option(parser, GIVEN_MSS, where))
		return;
	parser->rule.mss = mss;
	if (parser->rule.protocols && !(parser->rule.protocols & RULE_TCP))
		parser_error(parser, where, "mss needs tcp");
}

void rule_default(struct parser *parser)
{
	/* Translating IPv6 sources is rarely wanted, and never by accident. */
	if (parser->rule.kind == RULE_MASQUERADE && !parser->rule.family)
		parser->rule.family = AF_INET;
}

void interface_begin(struct parser *parser, struct slice name, const struct location *where,
		     const struct location *at_name)
{
	origin_begin(parser, where);
	parser->origin.ifname = *at_name;
	parser->mode = -1;
	read_ifname(parser, unquote(name), at_name, parser->ifname);
}

void set_timeout(struct parser *parser, struct slice name, const struct location *at_name,
		 struct slice value, const struct location *at_value)
{
	uint32_t seconds = read_duration(parser, value, at_value);
	int timeout = read_timeout(parser, name, at_name);

	if (timeout >= 0)
		parser->config->options.timeout[timeout] = seconds;
}

/* Room for one more where the array is full; how large it is follows from its count. */
static int origins_grow(void **array, size_t count, size_t size)
{
	void *grown;

	/* Full at 0 and at each power of two. */
	if (count & (count - 1))
		return 0;
	grown = reallocarray(*array, count ? 2 * count : 1, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	return 0;
}

static int origin_append(struct rule_origin **origins, size_t count,
			 const struct rule_origin *origin)
{
	void *array = *origins;
	int err = origins_grow(&array, count, sizeof(*origin));

	*origins = array;
	if (!err)
		(*origins)[count] = *origin;
	return err;
}

void rule_end(struct parser *parser)
{
	struct origins *origins = parser->origins;
	int err;

	if (parser->bad_line == parser->origin.rule.line)
		return;
	err = origin_append(&origins->rules, origins->rule_count, &parser->origin);
	if (!err)
		err = config_insert(parser->config, parser->config->rule_count, &parser->rule);
	if (!err)
		origins->rule_count++;
	else
		parser->result = err;
}

void interface_end(struct parser *parser)
{
	enum attach_mode mode = parser->mode < 0 ? MODE_AUTO : (enum attach_mode)parser->mode;
	struct origins *origins = parser->origins;
	struct config *config = parser->config;
	size_t at = 0;

	if (!parser->ifname[0])
		return;
	if (config_interface(config, parser->ifname, mode))
		goto out_of_memory;
	while (strcmp(config->interfaces[at].name, parser->ifname))
		at++;
	if (at < origins->interface_count) {
		origins->interfaces[at] = parser->origin;
		return;
	}
	if (origin_append(&origins->interfaces, origins->interface_count, &parser->origin))
		goto out_of_memory;
	origins->interface_count++;
	return;

out_of_memory:
	parser->result = -ENOMEM;
}

void origins_free(struct origins *origins)
{
	for (size_t i = 0; i < origins->file_count; i++) {
		free(origins->files[i]);
		free(origins->texts[i]);
	}
	free(origins->files);
	free(origins->texts);
	free(origins->rules);
	free(origins->interfaces);
	memset(origins, 0, sizeof(*origins));
}

/* Locations and rules' lines point into both from now on. Takes `text` over, even on failure. */
static int origins_file(struct origins *origins, const char *name, char *text)
{
	size_t count = origins->file_count;
	char *copy = strdup(name);
	void *files = origins->files;
	void *texts = origins->texts;
	int err = copy ? 0 : -ENOMEM;

	if (!err)
		err = origins_grow(&files, count, sizeof(*origins->files));
	origins->files = files;
	if (!err)
		err = origins_grow(&texts, count, sizeof(*origins->texts));
	origins->texts = texts;
	if (err) {
		free(copy);
		free(text);
		return err;
	}
	origins->files[count] = copy;
	origins->texts[count] = text;
	origins->file_count++;
	return 0;
}

/* Sees to it that the text ends with a newline; there is room for it. */
static size_t text_end(char *text, size_t length)
{
	if (!length || text[length - 1] != '\n')
		text[length++] = '\n';
	text[length] = '\0';
	return length;
}

/* The text as one that ends so; free() it. NULL: out of memory. */
static char *text_copy(const char *text, size_t *length)
{
	char *copy = malloc(*length + 2);

	if (!copy)
		return NULL;
	memcpy(copy, text, *length);
	*length = text_end(copy, *length);
	return copy;
}

static int text_read(int fd, char **text, size_t *length)
{
	size_t room = 65536, used = 0;
	struct stat status;
	ssize_t got = 1;
	char *grown;

	*text = NULL;
	if (!fstat(fd, &status) && S_ISREG(status.st_mode) && status.st_size < FILE_SIZE_MAX)
		room = status.st_size + 3;
	while (got > 0) {
		if (!*text || used + 2 >= room) {
			room = *text ? 2 * room : room;
			grown = realloc(*text, room);
			if (!grown)
				return -ENOMEM;
			*text = grown;
		}
		got = read(fd, *text + used, room - used - 2);
		if (got < 0)
			return -errno;
		used += got;
		if (used > FILE_SIZE_MAX)
			return -EFBIG;
	}
	*length = text_end(*text, used);
	return 0;
}

/* Reads the file into memory. 0 or -errno. */
static int parser_load(struct parser *parser, const char *path, size_t *length)
{
	bool is_stdin = !strcmp(path, "-") && !parser->parent;
	struct stat status = {};
	char *text = NULL;
	int err, fd;

	fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = text_read(fd, &text, length);
	if (!err && !fstat(fd, &status)) {
		parser->device = status.st_dev;
		parser->inode = status.st_ino;
	}
	if (!is_stdin)
		close(fd);
	if (err) {
		free(text);
		return err;
	}

	err = origins_file(parser->origins, is_stdin ? "standard input" : path, text);
	if (err)
		return err;
	parser->text = text;
	parser->file = parser->origins->files[parser->origins->file_count - 1];
	return 0;
}

/* Anything that has a NUL in it (UTF-16, say) would be a long list of puzzling errors. */
static bool is_text(struct parser *parser, size_t length)
{
	const char *nul = memchr(parser->text, '\0', length);
	struct location where = { .file = parser->file, .line = 1 };

	if (!nul)
		return true;
	for (const char *at = parser->text; at < nul; at++) {
		if (*at != '\n')
			continue;
		where.line++;
		parser->line_start = at + 1 - parser->text;
	}
	where.first_column = nul - parser->text - parser->line_start + 1;
	where.last_column = where.first_column;
	parser_error(parser, &where, "a NUL byte; this is not a text file");
	return false;
}

static int parser_run(struct parser *parser, size_t length)
{
	if (!is_text(parser, length))
		return parser->result;
	if (lexer_open(parser, length))
		return parser->result = -ENOMEM;
	yyparse(parser);
	lexer_close(parser);
	return parser->result;
}

/* A whole file; what begins with a brace is no line of the grammar. */
static int file_run(struct parser *parser, size_t length)
{
	return json_begins(parser->text) ? json_run(parser, length) : parser_run(parser, length);
}

/* For a member's text, which is kept as a file's. 0 or -ENOMEM. */
static int member_open(struct parser *inner, const struct parser *parser, const char *member,
		       const char *text, size_t *length)
{
	struct origins *origins = parser->origins;
	char *copy = text_copy(text, length);
	int err = copy ? origins_file(origins, member, copy) : -ENOMEM;

	if (err)
		return err;
	*inner = (struct parser){
		.diag = parser->diag,
		.file = parser->file,
		.member = origins->files[origins->file_count - 1],
		.text = copy,
	};
	return 0;
}

void rule_text(struct parser *parser, const char *member, const char *text)
{
	size_t length = strlen(text);
	struct parser inner;
	int err = member_open(&inner, parser, member, text, &length);

	if (!err)
		err = parser_run(&inner, length);
	if (!err) {
		inner.config = parser->config;
		inner.origins = parser->origins;
		rule_end(&inner);
		err = inner.result;
	}
	if (err == -ENOMEM || !parser->result)
		parser->result = err;
}

void interface_text(struct parser *parser, const char *member, const char *text)
{
	size_t length = strlen(text);
	struct slice name = { text, length };
	struct location where = {
		.file = parser->file, .line = 1, .first_column = 1, .last_column = length
	};
	struct parser inner;
	int err = member_open(&inner, parser, member, text, &length);

	if (!err) {
		where.member = inner.member;
		origin_begin(&inner, &where);
		inner.origin.ifname = where;
		read_ifname(&inner, name, &where, parser->ifname);
		parser->origin = inner.origin;
		err = inner.result;
	}
	if (err == -ENOMEM || !parser->result)
		parser->result = err;
}

static bool include_allowed(struct parser *parser, const char *path, const struct location *where)
{
	const struct parser *open = parser;
	struct stat status;
	int depth = 0;

	if (stat(path, &status)) {
		parser_error(parser, where, "cannot read \"%s\": %s", path, strerror(errno));
		return false;
	}
	/* Before it is opened: a FIFO would wait, a watchdog would bark. */
	if (!S_ISREG(status.st_mode)) {
		parser_error(parser, where, "cannot read \"%s\": not a regular file", path);
		return false;
	}
	for (; open; open = open->parent, depth++) {
		if (open->device != status.st_dev || open->inode != status.st_ino)
			continue;
		parser_error(parser, where, "\"%s\" includes itself", path);
		return false;
	}
	if (depth > INCLUDE_DEPTH_MAX) {
		parser_error(parser, where, "includes nest more than %d deep", INCLUDE_DEPTH_MAX);
		return false;
	}
	return true;
}

static void include_file(struct parser *parent, const char *path, const struct location *where)
{
	struct parser parser = {
		.config = parent->config,
		.origins = parent->origins,
		.diag = parent->diag,
		.parent = parent,
	};
	size_t length;
	int err;

	if (!include_allowed(parent, path, where))
		return;
	err = parser_load(&parser, path, &length);
	if (err && err != -ENOMEM) {
		parser_error(parent, where, "cannot read \"%s\": %s", path, strerror(-err));
		return;
	}
	if (!err)
		err = parser_run(&parser, length);
	if (err == -ENOMEM || !parent->result)
		parent->result = err;
}

/* A folder that is not there holds no files; one that cannot be read may. */
static int glob_error(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

static void include_glob(struct parser *parser, const char *pattern, const struct location *where)
{
	glob_t found = {};
	int err;

	err = glob(pattern, 0, glob_error, &found);
	if (err == GLOB_NOSPACE)
		parser->result = -ENOMEM;
	else if (err && err != GLOB_NOMATCH)
		parser_error(parser, where, "cannot search \"%s\": %s", pattern, strerror(errno));
	for (size_t i = 0; !err && i < found.gl_pathc; i++)
		include_file(parser, found.gl_pathv[i], where);
	globfree(&found);
}

/* The folder of the including file before the path; glob's own letters in it are escaped. */
static char *include_path(const char *file, struct slice path, bool escape)
{
	const char *slash = path.at[0] == '/' ? NULL : strrchr(file, '/');
	size_t folder = slash ? slash + 1 - file : 0;
	char *joined = malloc(2 * folder + path.length + 1);
	char *end = joined;

	if (!joined)
		return NULL;
	for (size_t i = 0; i < folder; i++) {
		if (escape && strchr("*?[\\", file[i]))
			*end++ = '\\';
		*end++ = file[i];
	}
	memcpy(end, path.at, path.length);
	end[path.length] = '\0';
	return joined;
}

void include_files(struct parser *parser, struct slice path, const struct location *where)
{
	struct slice bare = { path.at + 1, path.length - 2 };
	bool is_glob = memchr(bare.at, '*', bare.length) || memchr(bare.at, '?', bare.length) ||
		       memchr(bare.at, '[', bare.length);
	char *joined = include_path(parser->file, bare, is_glob);

	if (!joined)
		parser->result = -ENOMEM;
	else if (is_glob)
		include_glob(parser, joined, where);
	else
		include_file(parser, joined, where);
	free(joined);
}

int parse_file(const char *path, struct config *config, struct origins *origins, struct diag *diag)
{
	struct location whole = { .file = path };
	struct parser parser = { .config = config, .origins = origins, .diag = diag };
	size_t length;
	int err;

	memset(origins, 0, sizeof(*origins));
	err = parser_load(&parser, path, &length);
	if (!err)
		return file_run(&parser, length);
	if (err == -ENOMEM)
		return err;
	diag_error(diag, &whole, NULL, "cannot read it: %s", strerror(-err));
	return -EINVAL;
}

int parse_text(const char *name, const char *text, size_t length, struct config *config,
	       struct origins *origins, struct diag *diag)
{
	struct parser parser = { .config = config, .origins = origins, .diag = diag };
	char *copy = text_copy(text, &length);
	int err;

	memset(origins, 0, sizeof(*origins));
	if (!copy)
		return -ENOMEM;
	err = origins_file(origins, name, copy);
	if (err)
		return err;
	parser.text = copy;
	parser.file = origins->files[0];
	return file_run(&parser, length);
}

int parse_rule(const char *text, struct rule *rule, struct rule_origin *origin, struct diag *diag)
{
	struct parser parser = { .diag = diag, .file = "command line" };
	size_t length = strlen(text);
	char *copy = text_copy(text, &length);
	int err;

	if (!copy)
		return -ENOMEM;
	parser.text = copy;
	err = parser_run(&parser, length);
	free(copy);
	if (err)
		return err;
	*rule = parser.rule;
	*origin = parser.origin;
	origin->source = text;
	return 0;
}
