// SPDX-License-Identifier: GPL-2.0-or-later
/* Owns what is remembered of where things were said, and the texts that errors point into. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"

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

int origin_append(struct rule_origin **origins, size_t count, const struct rule_origin *origin)
{
	void *array = *origins;
	int err = origins_grow(&array, count, sizeof(*origin));

	*origins = array;
	if (!err)
		(*origins)[count] = *origin;
	return err;
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

int origins_file(struct origins *origins, const char *name, char *text)
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
