/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every command that changes rules does around the change: enter the namespace, take the lock,
 * open the running state (or load one), read its configuration; then check, commit, and let go.
 */
#ifndef XFWD_SESSION_H
#define XFWD_SESSION_H

#include "config.h"
#include "edit.h"
#include "netdev.h"
#include "parse.h"
#include "pins.h"
#include "state.h"

struct session {
	struct pins pins;
	struct state state;
	struct netdevs devs;
	struct config config; /* the running one; the command changes it */
	bool loaded; /* by this session: taken down again should it fail */
	bool open;
};

/*
 * For reading: -ENOENT, without a word, where nothing is running; the configuration is then the
 * default one.
 */
int session_read(struct session *session, const char *netns);
/* The same with the writers' lock, for changes to what is running. -ENOENT without a word, too. */
int session_change(struct session *session, const char *netns);
/*
 * For writing rules: loads what is not loaded, for `first` to begin with. Without it, nothing is loaded,
 * and where nothing is running the session is not open, with the default configuration. Prints what is
 * wrong.
 */
int session_write(struct session *session, const char *netns, const struct config *first);
/* The interfaces that there are, which session_write() reads by itself. Prints what is wrong. */
int session_interfaces(struct session *session);
/*
 * Do the interfaces that `config` names exist, or are they at least named by what is running? Those
 * that are unknown go to diag, and what else is wrong is printed. 0 or -errno.
 */
int session_check(const struct session *session, const struct config *config,
		  const struct origins *origins, struct diag *diag);
/*
 * Would session_commit() refuse `config`, of what can be told without a change? Prints what is wrong, and
 * returns the same.
 */
int session_try(const struct session *session, const struct config *config);
/* Makes session->config the running one; flags of commit(), and what that returns. Prints what is wrong. */
int session_commit(struct session *session, unsigned int flags);
/*
 * Changes one rule in place. -EAGAIN: not to be had so; then session_write() and session_commit() do
 * it, and say what is wrong.
 */
int session_edit(struct session *session, const char *netns, struct edit *edit);
/* Detaches and removes everything of the namespace, and puts the sysctls back. Prints what is wrong. */
int session_down(struct session *session);
void session_close(struct session *session);

#endif
