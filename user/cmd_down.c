// SPDX-License-Identifier: GPL-2.0-or-later
/* `down`: everything of this namespace, or one interface, as it was before xfwd. */
#include "cmd.h"

#include <errno.h>
#include <string.h>

#include "attach.h"
#include "commit.h"
#include "ifaces.h"
#include "msg.h"
#include "session.h"
#include "sysctl.h"

static int down_interface(struct session *session, const char *name)
{
	struct attachment at;
	unsigned int *list = NULL;
	size_t count = 0;
	int err = netdevs_get(&session->devs), found = 0;

	if (!err)
		err = commit_follow_names(&session->state, &session->devs);
	if (!err)
		err = attachment_list(&session->state, &list, &count);
	for (size_t i = 0; i < count && !err; i++) {
		if (attachment_get(&session->state, list[i], &at) || strcmp(at.name, name))
			continue;
		err = sysctl_restore(&session->state, name);
		if (!err)
			err = detach_interface(&session->state, &session->pins, list[i]);
		found = 1;
	}
	free(list);
	/* Others must not mark packets for a program that is no longer there. */
	if (!err && found)
		err = ifaces_sync(&session->state, &session->devs);
	if (err)
		msg_error("cannot detach from %s: %s", name, strerror(-err));
	else if (!found)
		msg_error("not attached to an interface \"%s\"", name);
	else if (commit_attaches(&session->config, name))
		msg_note("the rules still name %s: `xfwd run` attaches it again with the next "
			 "change of a link or an address, and so does `xfwd apply`",
			 name);
	return err || !found ? EXIT_FAILED : EXIT_DONE;
}

static int down_everything(struct session *session)
{
	return session_down(session) ? EXIT_FAILED : EXIT_DONE;
}

/* What is left of a namespace that has gone: the pins go, and with them the links. */
static int down_pins(struct session *session)
{
	int err = 0;

	if (session->pins.lock.fd < 0)
		err = pins_lock(&session->pins);
	if (!err)
		err = pins_remove(session->pins.dir);
	return err ? EXIT_FAILED : EXIT_DONE;
}

/* What this version cannot read, but for what is the same in all of them. */
static int down_unreadable(struct session *session, bool all)
{
	int err;

	if (!all) {
		msg_error("only all of it can be ended: `xfwd down` without an interface");
		return EXIT_FAILED;
	}
	err = state_open_lasting(&session->state, &session->pins);
	if (!err)
		return down_everything(session);
	if (err == -ENOENT)
		return down_pins(session);
	if (err == -EXDEV)
		return EXIT_FAILED;
	msg_error("cannot read what was changed here (%s): sysctls stay as they are, and so do tc "
		  "filters that are not TCX links",
		  strerror(-err));
	down_pins(session);
	return EXIT_FAILED;
}

int cmd_down(const struct invocation *call)
{
	struct session session;
	int err, code = EXIT_FAILED;

	if (call->argc > 2)
		return cmd_usage("down", "at most one interface");
	err = session_change(&session, call->netns);
	if (!err)
		code = call->argc == 2 ? down_interface(&session, call->argv[1])
				       : down_everything(&session);
	else if (err == -ENOENT && call->argc == 2)
		msg_error("nothing is running here");
	else if (err == -EPROTO || err == -EIO)
		code = down_unreadable(&session, call->argc < 2);
	else if (err == -ENOENT || (err == -ENXIO && pins_exist(&session.pins)))
		code = down_pins(&session);
	session_close(&session);
	return code;
}
