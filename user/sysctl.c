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

/* What switches forwarding on, for all interfaces; each one's own flag is set along. */
static const char *const forward_paths[FAMILY_COUNT] = {
	[FAMILY_IP4] = "net/ipv4/ip_forward",
	[FAMILY_IP6] = "net/ipv6/conf/all/forwarding",
};

static const char *const family_folders[FAMILY_COUNT] = {
	[FAMILY_IP4] = "net/ipv4/conf",
	[FAMILY_IP6] = "net/ipv6/conf",
};

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

static bool is_saved(const struct state *state, const char *path)
{
	struct saved saved = { 0 };

	snprintf(saved.path, sizeof(saved.path), "%s", path);
	return !bpf_map_lookup_elem(state->map[MAP_saved_sysctls], saved.path, saved.value);
}

/* An interface that has got another name since it was attached. */
struct renamed {
	unsigned int ifindex;
	char from[IF_NAMESIZE];
	char to[IF_NAMESIZE];
};

/* free() *list. */
static int renamed_list(const struct state *state, const struct netdevs *devs,
			struct renamed **list, size_t *count)
{
	struct attachment attachment;
	unsigned int *indexes;
	size_t attached;
	int err = attachment_list(state, &indexes, &attached);

	*count = 0;
	*list = err ? NULL : calloc(attached + 1, sizeof(**list));
	if (!err && !*list)
		err = -ENOMEM;
	for (size_t i = 0; i < attached && !err; i++) {
		const struct netdev *dev = netdev_by_index(devs, indexes[i]);
		struct renamed *entry = &(*list)[*count];

		if (!dev || attachment_get(state, indexes[i], &attachment) ||
		    !strcmp(dev->name, attachment.name))
			continue;
		entry->ifindex = indexes[i];
		strcpy(entry->from, attachment.name);
		strcpy(entry->to, dev->name);
		++*count;
	}
	free(indexes);
	return err;
}

int sysctl_names_changed(const struct state *state, const struct netdevs *devs)
{
	struct renamed *renamed;
	size_t count;
	int err = renamed_list(state, devs, &renamed, &count);

	free(renamed);
	return err ? err : count > 0;
}

/* What it is now, if it is one of those interfaces. */
static void path_rename(char path[XFWD_SYSCTL_PATH], const struct renamed *renamed, size_t count)
{
	char before[XFWD_SYSCTL_PATH], family[5], name[IF_NAMESIZE];

	if (sscanf(path, "net/%4[^/]/conf/%15[^/]/", family, name) != 2)
		return;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(renamed[i].from, name))
			continue;
		memcpy(before, path, sizeof(before));
		memset(path, 0, XFWD_SYSCTL_PATH);
		snprintf(path, XFWD_SYSCTL_PATH, "net/%s/conf/%s/%s", family, renamed[i].to,
			 strrchr(before, '/') + 1);
		return;
	}
}

static bool saved_has(const struct saved *list, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i].path, path))
			return true;
	return false;
}

/* All is written before any of it is deleted: two may have changed names with each other. */
static int saved_rename(const struct state *state, const struct renamed *renamed,
			size_t renamed_count)
{
	size_t count, moved_count;
	struct saved *list = saved_list(state, &count), *moved = saved_list(state, &moved_count);
	int fd = state->map[MAP_saved_sysctls], err = list && moved ? 0 : -ENOMEM;

	for (size_t i = 0; i < moved_count && !err; i++) {
		path_rename(moved[i].path, renamed, renamed_count);
		err = bpf_map_update_elem(fd, moved[i].path, moved[i].value, BPF_ANY);
	}
	for (size_t i = 0; i < count && !err; i++)
		if (!saved_has(moved, moved_count, list[i].path))
			err = bpf_map_delete_elem(fd, list[i].path);
	free(list);
	free(moved);
	return err;
}

int sysctl_follow_names(const struct state *state, const struct netdevs *devs)
{
	struct attachment attachment;
	struct renamed *renamed;
	size_t count;
	int err = renamed_list(state, devs, &renamed, &count);

	if (!err && count)
		err = saved_rename(state, renamed, count);
	for (size_t i = 0; i < count && !err; i++) {
		err = attachment_get(state, renamed[i].ifindex, &attachment);
		strcpy(attachment.name, renamed[i].to);
		if (!err)
			err = attachment_put(state, renamed[i].ifindex, &attachment);
	}
	free(renamed);
	return err;
}

static int cannot_read(const char *what, int err)
{
	msg_error("cannot read %s: %s", what, strerror(-err));
	return err;
}

static int set_one(const struct state *state, const char *path, const char *value, bool allowed)
{
	char before[XFWD_SYSCTL_VALUE];
	int err = sysctl_read(path, before);

	if (err)
		return cannot_read(path, err);
	if (!strcmp(before, value))
		return 0;
	if (!allowed) {
		msg_note("%s is %s and has to be %s for these rules (`set sysctl off` leaves it to "
			 "you)",
			 path, before, value);
		return 0;
	}
	err = save(state, path, before);
	if (!err)
		err = sysctl_write(path, value);
	if (err)
		msg_error("cannot set %s: %s", path, strerror(-err));
	else
		msg_note("%s set to %s (was %s; `xfwd down` puts it back)", path, value, before);
	return err;
}

/* What an interface has by itself is noted: putting back the switch will clear it. */
static void save_forwarding(const struct state *state, enum family family, const char *ifname)
{
	static const char *const names[] = { "forwarding", "force_forwarding" };
	char path[XFWD_SYSCTL_PATH], value[XFWD_SYSCTL_VALUE];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", family_folders[family], ifname, names[i]);
		if (!sysctl_read(path, value) && strcmp(value, "0"))
			save(state, path, value);
	}
}

/*
 * Does the interface live by what routers advertise? Those with a default route of that kind do, and
 * at boot, before the first router has spoken, those that rules name and that have no address of
 * their own.
 */
static bool is_advertised(const struct state *state, const struct netdev *dev,
			  const unsigned int *routed, size_t routed_count)
{
	struct attachment attachment;

	for (size_t i = 0; i < routed_count; i++)
		if (routed[i] == dev->ifindex)
			return true;
	return !dev->has_fixed6 && !attachment_get(state, dev->ifindex, &attachment);
}

/* What forwards takes no router advertisements, unless accept_ra is 2: its default route would go. */
static int keep_advertised(const struct state *state, const struct netdevs *devs, bool allowed)
{
	char path[XFWD_SYSCTL_PATH], value[XFWD_SYSCTL_VALUE];
	unsigned int *routed;
	size_t count;
	int err = netdev_advertised(&routed, &count);

	if (err)
		cannot_read("the default routes", err);
	for (size_t i = 0; i < devs->count && !err; i++) {
		const struct netdev *dev = &devs->list[i];

		snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", dev->name);
		if (!sysctl_read(path, value) && !strcmp(value, "1") &&
		    is_advertised(state, dev, routed, count))
			err = set_one(state, path, "2", allowed);
	}
	free(routed);
	return err;
}

static int set_forwarding(const struct state *state, const struct netdevs *devs, enum family family,
			  bool allowed)
{
	const char *path = forward_paths[family];
	char value[XFWD_SYSCTL_VALUE];
	int err = sysctl_read(path, value);
	bool is_on = !err && strcmp(value, "0");

	if (err == -ENOENT && family == FAMILY_IP6) {
		msg_note("this kernel runs without IPv6: its rules rest");
		return 0;
	}
	if (err)
		return cannot_read(path, err);
	if (is_on && !is_saved(state, path))
		return 0;
	if (family == FAMILY_IP6)
		err = keep_advertised(state, devs, allowed);
	if (err || is_on)
		return err;
	for (size_t i = 0; i < devs->count && allowed; i++)
		save_forwarding(state, family, devs->list[i].name);
	if (allowed)
		save_forwarding(state, family, "default");
	return set_one(state, path, "1", allowed);
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

unsigned int sysctl_rule_forwards(const struct rule *rule)
{
	switch (rule->kind) {
	case RULE_DNAT:
		if (target_is_loopback(rule))
			return 0;
		/* fall through */
	case RULE_SNAT:
	case RULE_MASQUERADE:
	case RULE_STATIC:
		return 1U << (rule->family == AF_INET6 ? FAMILY_IP6 : FAMILY_IP4);
	default:
		return 0;
	}
}

static unsigned int forwards(const struct config *config)
{
	unsigned int families = 0;

	for (size_t i = 0; i < config->rule_count; i++)
		families |= sysctl_rule_forwards(&config->rules[i]);
	return families;
}

bool sysctl_is_needed(const struct rule *rule)
{
	unsigned int families = sysctl_rule_forwards(rule);
	char value[XFWD_SYSCTL_VALUE];

	for (int family = 0; family < FAMILY_COUNT; family++)
		if (families & 1U << family &&
		    (sysctl_read(forward_paths[family], value) || !strcmp(value, "0")))
			return true;
	return sysctl_rule_loops_back(rule);
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

/* `families`: what forwards() says of the configuration. */
static bool is_needed(const struct config *config, unsigned int families, const char *path)
{
	char ifname[IF_NAMESIZE];

	if (sscanf(path, "net/ipv4/conf/%15[^/]/route_localnet", ifname) == 1 &&
	    strstr(path, "/route_localnet"))
		return needs_localnet(config, ifname);
	return families & 1U << (strncmp(path, "net/ipv6/", 9) ? FAMILY_IP4 : FAMILY_IP6);
}

static bool is_switch(const char *path)
{
	return !strcmp(path, forward_paths[FAMILY_IP4]) || !strcmp(path, forward_paths[FAMILY_IP6]);
}

/* One that is so already is not written: that it cannot be may be why. */
static int put_back(const struct state *state, const struct saved *saved)
{
	char now[XFWD_SYSCTL_VALUE];
	int err = sysctl_read(saved->path, now);

	if (!err && strcmp(now, saved->value))
		err = sysctl_write(saved->path, saved->value);
	if (err && err != -ENOENT) /* the interface may be gone */
		return err;
	return bpf_map_delete_elem(state->map[MAP_saved_sysctls], saved->path);
}

/* Switches first: they set others along. */
static int put_all_back(const struct state *state, const struct saved *list, size_t count)
{
	int err = 0, failed;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < count; i++) {
			if (round == is_switch(list[i].path))
				continue;
			failed = put_back(state, &list[i]);
			if (failed)
				err = failed;
		}
	}
	return err;
}

bool sysctl_source_is_loose(const char *ifname)
{
	char path[XFWD_SYSCTL_PATH], value[XFWD_SYSCTL_VALUE];

	if (!sysctl_read("net/ipv4/conf/all/rp_filter", value) && !strcmp(value, "2"))
		return true;
	snprintf(path, sizeof(path), "net/ipv4/conf/%s/rp_filter", ifname);
	return !sysctl_read(path, value) && !strcmp(value, "2");
}

bool sysctl_needs_guard(const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (sysctl_rule_loops_back(&config->rules[i]))
			return true;
	return false;
}

int sysctl_release(const struct state *state, const struct config *config)
{
	size_t count, unneeded = 0;
	struct saved *list = saved_list(state, &count);
	unsigned int families = count ? forwards(config) : 0;
	int err = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < count; i++)
		if (!is_needed(config, families, list[i].path))
			list[unneeded++] = list[i];
	if (!err)
		err = put_all_back(state, list, unneeded);
	free(list);
	return err;
}

int sysctl_record(const struct state *state, struct sysctl_record *record)
{
	record->list = saved_list(state, &record->count);
	return record->list ? 0 : -ENOMEM;
}

int sysctl_undo(const struct state *state, const struct sysctl_record *before)
{
	size_t count, later = 0;
	struct saved *list = saved_list(state, &count);
	int err = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < count; i++)
		if (!saved_has(before->list, before->count, list[i].path))
			list[later++] = list[i];
	if (!err)
		err = put_all_back(state, list, later);
	free(list);
	return err;
}

int sysctl_provide(const struct state *state, const struct config *config,
		   const struct netdevs *devs)
{
	bool allowed = config->options.sysctl;
	unsigned int families = forwards(config);
	struct attachment attachment;
	char path[XFWD_SYSCTL_PATH];
	int err = 0;

	for (int family = 0; family < FAMILY_COUNT && !err; family++)
		if (families & 1U << family)
			err = set_forwarding(state, devs, family, allowed);
	for (size_t i = 0; i < devs->count && !err; i++) {
		const struct netdev *dev = &devs->list[i];

		if (attachment_get(state, dev->ifindex, &attachment) ||
		    !needs_localnet(config, dev->name))
			continue;
		snprintf(path, sizeof(path), "net/ipv4/conf/%s/route_localnet", dev->name);
		err = set_one(state, path, "1", allowed);
	}
	return err;
}

int sysctl_restore(const struct state *state, const char *ifname)
{
	static const struct sysctl_record nothing;
	struct saved saved = { 0 };

	if (!ifname)
		return sysctl_undo(state, &nothing);
	snprintf(saved.path, sizeof(saved.path), "net/ipv4/conf/%s/route_localnet", ifname);
	if (bpf_map_lookup_elem(state->map[MAP_saved_sysctls], saved.path, saved.value))
		return 0;
	return put_back(state, &saved);
}
