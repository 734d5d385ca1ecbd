// SPDX-License-Identifier: GPL-2.0-or-later
/* The sysctls that rules need. A value is saved before it is changed, in the running state. */
#include "sysctl.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "msg.h"

#define IP_FORWARD "net/ipv4/ip_forward"

struct saved {
	char path[XFWD_SYSCTL_PATH];
	char value[XFWD_SYSCTL_VALUE];
};

static int sysctl_open(const char *path, int flags)
{
	char full[PATH_MAX];
	int fd;

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int sysctl_read(const char *path, char value[XFWD_SYSCTL_VALUE])
{
	int fd = sysctl_open(path, O_RDONLY);
	ssize_t length;

	if (fd < 0)
		return fd;
	memset(value, 0, XFWD_SYSCTL_VALUE);
	length = read(fd, value, XFWD_SYSCTL_VALUE - 1);
	close(fd);
	if (length < 0)
		return -EIO;
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

static int sysctl_write(const char *path, const char *value)
{
	int fd = sysctl_open(path, O_WRONLY), err = 0;

	if (fd < 0)
		return fd;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int save(const struct state *state, const char *path, const char *value)
{
	struct saved saved = { 0 };
	int err;

	snprintf(saved.path, sizeof(saved.path), "%s", path);
	snprintf(saved.value, sizeof(saved.value), "%s", value);
	err = bpf_map_update_elem(state->map[MAP_saved_sysctls], saved.path, saved.value,
				  BPF_NOEXIST);
	return err == -EEXIST ? 0 : err;
}

/* All that is saved; free() the result. NULL with *count 0: nothing. */
static struct saved *saved_list(const struct state *state, size_t *count)
{
	int fd = state->map[MAP_saved_sysctls];
	struct saved *list = calloc(XFWD_SYSCTLS_MAX, sizeof(*list));
	char *last = NULL;

	*count = 0;
	while (list && *count < XFWD_SYSCTLS_MAX &&
	       !bpf_map_get_next_key(fd, last, list[*count].path)) {
		last = list[*count].path;
		if (!bpf_map_lookup_elem(fd, last, list[*count].value))
			++*count;
	}
	return list;
}

static int set_one(const struct state *state, const char *path, bool allowed)
{
	char before[XFWD_SYSCTL_VALUE];
	int err = sysctl_read(path, before);

	if (err || !strcmp(before, "1"))
		return err;
	if (!allowed) {
		msg_note("%s is %s and has to be 1 for these rules (`set sysctl off` leaves it to "
			 "you)",
			 path, before);
		return 0;
	}
	err = save(state, path, before);
	if (!err)
		err = sysctl_write(path, "1");
	if (err)
		msg_error("cannot set %s: %s", path, strerror(-err));
	else
		msg_note("%s set to 1 (was %s; `xfwd down` puts it back)", path, before);
	return err;
}

/*
 * ip_forward sets every interface's own flag along. Flags that were on by themselves are noted, as
 * putting ip_forward back will clear them too.
 */
static int set_forwarding(const struct state *state, const struct netdevs *devs, bool allowed)
{
	char path[XFWD_SYSCTL_PATH], value[XFWD_SYSCTL_VALUE];
	int err = sysctl_read(IP_FORWARD, value);

	if (err || !strcmp(value, "1"))
		return err;
	for (size_t i = 0; i < devs->count && allowed; i++) {
		snprintf(path, sizeof(path), "net/ipv4/conf/%s/forwarding", devs->list[i].name);
		if (!sysctl_read(path, value) && !strcmp(value, "1"))
			save(state, path, value);
	}
	return set_one(state, IP_FORWARD, allowed);
}

static bool target_is_loopback(const struct rule *rule)
{
	return rule->target.family == AF_INET &&
	       (ntohl(rule->target.addr_min.word[0]) >> 24) == 127;
}

bool sysctl_rule_loops_back(const struct rule *rule)
{
	return rule->kind == RULE_DNAT && target_is_loopback(rule);
}

bool sysctl_rule_forwards(const struct rule *rule)
{
	return rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE ||
	       (rule->kind == RULE_DNAT && !target_is_loopback(rule));
}

static bool needs_forwarding(const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (sysctl_rule_forwards(&config->rules[i]))
			return true;
	return false;
}

bool sysctl_is_needed(const struct rule *rule)
{
	char value[XFWD_SYSCTL_VALUE];

	if (sysctl_rule_loops_back(rule))
		return true;
	return sysctl_rule_forwards(rule) && (sysctl_read(IP_FORWARD, value) || strcmp(value, "1"));
}

/* Does a rule send what comes in at this interface to a loopback address? */
static bool needs_localnet(const struct config *config, const char *ifname)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];

		if (rule->kind == RULE_DNAT && target_is_loopback(rule) &&
		    (!rule->ifname[0] || !strcmp(rule->ifname, ifname)))
			return true;
	}
	return false;
}

static bool is_needed(const struct config *config, const char *path)
{
	char ifname[IF_NAMESIZE];

	if (sscanf(path, "net/ipv4/conf/%15[^/]/route_localnet", ifname) == 1 &&
	    strstr(path, "/route_localnet"))
		return needs_localnet(config, ifname);
	return needs_forwarding(config);
}

/* Puts back what `config` does not need (NULL: everything). ip_forward first: it sets others along. */
static int restore(const struct state *state, const struct config *config)
{
	size_t count;
	struct saved *list = saved_list(state, &count);
	int err = list ? 0 : -ENOMEM, failed;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < count; i++) {
			if (round == !strcmp(list[i].path, IP_FORWARD) ||
			    (config && is_needed(config, list[i].path)))
				continue;
			failed = sysctl_write(list[i].path, list[i].value);
			if (failed && failed != -ENOENT) /* the interface may be gone */
				err = failed;
			bpf_map_delete_elem(state->map[MAP_saved_sysctls], list[i].path);
		}
	}
	free(list);
	return err;
}

bool sysctl_needs_guard(const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (sysctl_rule_loops_back(&config->rules[i]))
			return true;
	return false;
}

int sysctl_sync(const struct state *state, const struct config *config, const struct netdevs *devs)
{
	bool allowed = config->options.sysctl;
	struct attachment attachment;
	char path[XFWD_SYSCTL_PATH];
	int err = restore(state, config);

	if (!err && needs_forwarding(config))
		err = set_forwarding(state, devs, allowed);
	for (size_t i = 0; i < devs->count && !err; i++) {
		const struct netdev *dev = &devs->list[i];

		if (attachment_get(state, dev->ifindex, &attachment) ||
		    !needs_localnet(config, dev->name))
			continue;
		snprintf(path, sizeof(path), "net/ipv4/conf/%s/route_localnet", dev->name);
		err = set_one(state, path, allowed);
	}
	return err;
}

int sysctl_restore(const struct state *state, const char *ifname)
{
	char path[XFWD_SYSCTL_PATH];
	char before[XFWD_SYSCTL_VALUE];
	int err;

	if (!ifname)
		return restore(state, NULL);
	snprintf(path, sizeof(path), "net/ipv4/conf/%s/route_localnet", ifname);
	memset(path + strlen(path), 0, sizeof(path) - strlen(path));
	if (bpf_map_lookup_elem(state->map[MAP_saved_sysctls], path, before))
		return 0;
	err = sysctl_write(path, before);
	if (!err)
		err = bpf_map_delete_elem(state->map[MAP_saved_sysctls], path);
	return err;
}
