// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Owns reading: which files are read, and what they are. Words are the business of lexer.l, their
 * order that of parser.y, what they mean together that of statement.c, and JSON that of json.c.
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

/* What may pass stays the result, whatever is wrong besides. */
static void result_add(struct parser *parser, int err)
{
	if (err == -ENOMEM || err == -EIO || !parser->result)
		parser->result = err;
}

/* The result for a file that cannot be read: it is wrong, unless another time it can be. */
static int unreadable(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -EIO ? -EIO : -EINVAL;
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

/* Takes away the byte order mark that some editors begin a file with. */
static size_t text_begin(char *text, size_t length)
{
	static const unsigned char mark[] = { 0xef, 0xbb, 0xbf };

	if (length < sizeof(mark) || memcmp(text, mark, sizeof(mark)))
		return length;
	memmove(text, text + sizeof(mark), length - sizeof(mark));
	return length - sizeof(mark);
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
	*length = text_end(*text, text_begin(*text, used));
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
	result_add(parser, err);
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
	result_add(parser, err);
}

static void include_error(struct parser *parser, const struct location *where, const char *what,
			  const char *path, int err)
{
	parser_error(parser, where, "cannot %s \"%s\": %s", what, path, strerror(-err));
	result_add(parser, unreadable(err));
}

static bool include_allowed(struct parser *parser, const char *path, const struct location *where)
{
	const struct parser *open = parser;
	struct stat status;
	int depth = 0;

	if (stat(path, &status)) {
		include_error(parser, where, "read", path, -errno);
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
		include_error(parent, where, "read", path, err);
		return;
	}
	if (!err)
		err = parser_run(&parser, length);
	result_add(parent, err);
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
		include_error(parser, where, "search", pattern, -errno);
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
	return unreadable(err);
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
