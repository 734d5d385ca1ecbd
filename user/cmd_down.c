// SPDX-License-Identifier: GPL-2.0-or-later
/* `down`: everything of this namespace, or one interface, as it was before xfwd. */
#include "cmd.h"

#include <errno.h>
#include <string.h>

#include "attach.h"
#include "msg.h"
#include "session.h"

static int down_interface(struct session *session, const char *name)
{
	struct attachment at;
	unsigned int *list = NULL;
	size_t count = 0;
	int err = attachment_list(&session->state, &list, &count), found = 0;

	for (size_t i = 0; i < count && !err; i++) {
		if (attachment_get(&session->state, list[i], &at) || strcmp(at.name, name))
			continue;
		err = detach_interface(&session->state, &session->pins, list[i]);
		found = 1;
	}
	free(list);
	if (err)
		msg_error("cannot detach from %s: %s", name, strerror(-err));
	else if (!found)
		msg_error("not attached to an interface \"%s\"", name);
	return err || !found ? EXIT_FAILED : EXIT_DONE;
}

int cmd_down(const struct invocation *call)
{
	struct session session;
	int err, code = EXIT_DONE;

	if (call->argc > 2)
		return cmd_usage("down", "at most one interface");
	err = session_read(&session, call->netns);
	if (!err)
		err = pins_lock(&session.pins);
	if (!err && call->argc == 2) {
		code = down_interface(&session, call->argv[1]);
	} else if (!err) {
		err = session_down(&session);
		if (err)
			msg_error("cannot take everything down: %s", strerror(-err));
	} else if (err == -ENOENT || err == -EPROTO || err == -EIO) {
		/* Nothing that this version can read: what is pinned goes all the same. */
		err = pins_lock(&session.pins);
		if (!err)
			err = pins_remove(session.pins.dir);
		if (!err && call->argc == 2) {
			msg_error("nothing is running here");
			code = EXIT_FAILED;
		}
	}
	session_close(&session);
	return err ? EXIT_FAILED : code;
}
