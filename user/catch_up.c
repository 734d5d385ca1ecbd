// SPDX-License-Identifier: GPL-2.0-or-later
/* Bringing the running state in line with links and addresses that have changed. */
#include "catch_up.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach.h"
#include "commit.h"
#include "ifaces.h"
#include "flows.h"
#include "loader.h"
#include "msg.h"
#include "session.h"

struct ending {
	int forget; /* the program that ends a flow */
	const struct config *config;
	struct netdev_address *here; /* the addresses of this machine */
	size_t here_count;
	size_t count;
};

static bool slot_masquerades(const struct config *config, __u32 slot)
{
	for (size_t i = 0; i < config->rule_count && slot; i++)
		if (config->rules[i].slot == slot)
			return config->rules[i].kind == RULE_MASQUERADE;
	return false;
}

static bool is_address(const struct netdev_address *here, const struct flow_key *key)
{
	return (here->family == AF_INET) == (key->family == FAMILY_IP4) &&
	       !memcmp(here->word, key->daddr, sizeof(here->word));
}

static int end_flow(const struct flow_view *flow, void *context)
{
	struct ending *ending = context;

	if (!flow->entry[0].flow.rule_out)
		return 0;
	for (size_t i = 0; i < ending->here_count; i++)
		if (is_address(&ending->here[i], &flow->key[1]))
			return 0;
	if (!slot_masquerades(ending->config, flow->entry[0].flow.rule_out))
		return 0;
	if (flow_end(ending->forget, &flow->key[0]))
		ending->count++;
	return 0;
}

/*
 * Their answers would not come here, and what they send would bear an address that may be another
 * machine's by now. What is there is compared, not what was removed: an address that was taken away
 * and given back at once ends nothing.
 */
static int end_flows(const struct session *session)
{
	struct ending ending = { .config = &session->config };
	const struct flow_filter any = { 0 };
	int err = netdev_addresses(&ending.here, &ending.here_count);

	ending.forget = loader_program(&session->pins, "flow_forget");
	if (!err && ending.forget < 0)
		err = ending.forget;
	if (!err)
		err = flows_each(&session->state, &any, end_flow, &ending);
	free(ending.here);
	if (ending.forget >= 0)
		close(ending.forget);
	if (ending.count)
		msg_note("ended %zu flows that were translated to an address that has gone",
			 ending.count);
	return err;
}

/* An index that was given to another link since must not pass for attached. */
static int detach_gone(const struct session *session, struct catch_up *what)
{
	int err = 0, failed;

	for (size_t i = 0; i < what->gone_count; i++) {
		failed = detach_interface(&session->state, &session->pins, what->gone[i]);
		if (failed && failed != -ENOENT) /* it was not attached */
			err = failed;
	}
	what->gone_count = 0;
	return err;
}

static int sync_links(struct session *session)
{
	int err = netdevs_get(&session->devs), other;

	if (err)
		return err;
	if (!commit_is_current(&session->state, &session->config, &session->devs))
		err = session_commit(session, COMMIT_KEEP_ATTACHED | COMMIT_ATTACH_EACH);
	/* Also where that failed: the interfaces' addresses have to be known. */
	other = ifaces_sync(&session->state, &session->devs);
	return err ? err : other;
}

/* One part does not wait for another that failed. */
static int follow_changes(struct session *session, struct catch_up *what)
{
	int err = state_config(&session->state, &session->config), other;

	if (err)
		return err;
	err = detach_gone(session, what);
	other = sync_links(session);
	if (!err)
		err = other;
	if (!what->end_flows)
		return err;
	other = end_flows(session);
	what->end_flows = other;
	return err ? err : other;
}

int catch_up(const struct pins *pins, struct catch_up *what)
{
	struct session session = { .pins = *pins };
	int err;

	/* Not session_write(): what `xfwd down` took away is not loaded again. */
	err = pins_lock(&session.pins);
	if (err)
		return err;
	err = state_open(&session.state, &session.pins);
	if (err) {
		if (err == -ENOENT) {
			*what = (struct catch_up){ 0 };
			err = 0;
		}
		goto out;
	}
	session.open = true;
	err = follow_changes(&session, what);
	if (err)
		msg_error("cannot follow a change of interfaces or addresses: %s", strerror(-err));
out:
	session_close(&session);
	return err;
}
