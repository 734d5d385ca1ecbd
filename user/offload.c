// SPDX-License-Identifier: GPL-2.0-or-later
/* VLAN offload on receipt, and what is left to do on sending, by ethtool's ioctl. */
#include "offload.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAMES_MAX    8
#define FEATURES_MAX 256
#define BLOCKS       (FEATURES_MAX / 32)

/* The kernel's names of some features. */
struct names {
	size_t count;
	const char *of[NAMES_MAX];
};

/* For 802.1Q and for 802.1ad tags. */
static const struct names rx_vlan = { 2, { "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse" } };

/* Without one of these, the kernel does that work before the device gets the packet. */
static const struct names tx_work = {
	.count = 7,
	.of = { "tx-scatter-gather", "tx-checksum-ip-generic", "tx-checksum-sctp",
		"tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp6-segmentation",
		"tx-udp-segmentation" },
};

static int ask(const char *ifname, void *command)
{
	struct ifreq request = { .ifr_data = command };
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

	strncpy(request.ifr_name, ifname, sizeof(request.ifr_name) - 1);
	result = sock < 0 ? -1 : ioctl(sock, SIOCETHTOOL, &request);
	if (sock >= 0)
		close(sock);
	return result;
}

/* The place of each name among the features; -1: it is unknown. How many features there are. */
static __u32 find_places(const char *ifname, const struct names *names, int places[NAMES_MAX])
{
	struct ethtool_gstrings *strings =
		calloc(1, sizeof(*strings) + FEATURES_MAX * ETH_GSTRING_LEN);
	union {
		char room[sizeof(struct ethtool_sset_info) + sizeof(__u32)];
		struct ethtool_sset_info info;
	} set = { 0 };
	__u32 count;
	bool known;

	set.info.cmd = ETHTOOL_GSSET_INFO;
	set.info.sset_mask = 1ULL << ETH_SS_FEATURES;
	count = ask(ifname, &set) < 0 ? 0 : set.info.data[0];
	known = strings && count && count <= FEATURES_MAX;

	if (known) {
		strings->cmd = ETHTOOL_GSTRINGS;
		strings->string_set = ETH_SS_FEATURES;
		strings->len = count;
		known = ask(ifname, strings) >= 0;
	}
	for (size_t i = 0; i < names->count; i++) {
		places[i] = -1;
		for (__u32 at = 0; known && at < strings->len; at++)
			if (!strncmp((char *)strings->data + at * ETH_GSTRING_LEN, names->of[i],
				     ETH_GSTRING_LEN))
				places[i] = at;
	}
	free(strings);
	return known ? count : 0;
}

/* Which of them are on: bit n is that of names->of[n]. */
static unsigned int features_get(const char *ifname, const struct names *names)
{
	union {
		char room[sizeof(struct ethtool_gfeatures) +
			  BLOCKS * sizeof(struct ethtool_get_features_block)];
		struct ethtool_gfeatures head;
	} all = { 0 };
	int places[NAMES_MAX];
	unsigned int on = 0;

	all.head.cmd = ETHTOOL_GFEATURES;
	all.head.size = BLOCKS;
	if (!find_places(ifname, names, places) || ask(ifname, &all) < 0)
		return 0;
	for (size_t i = 0; i < names->count; i++)
		if (places[i] >= 0 &&
		    all.head.features[places[i] / 32].active >> places[i] % 32 & 1)
			on |= 1U << i;
	return on;
}

unsigned int offload_get(const char *ifname)
{
	return features_get(ifname, &rx_vlan);
}

bool offload_takes_all(const char *ifname)
{
	return features_get(ifname, &tx_work) == (1U << tx_work.count) - 1;
}

void offload_set(const char *ifname, unsigned int bits, bool on)
{
	union {
		char room[sizeof(struct ethtool_sfeatures) +
			  BLOCKS * sizeof(struct ethtool_set_features_block)];
		struct ethtool_sfeatures head;
	} all = { 0 };
	__u32 count;
	int places[NAMES_MAX];

	count = bits ? find_places(ifname, &rx_vlan, places) : 0;
	if (!count)
		return;
	all.head.cmd = ETHTOOL_SFEATURES;
	all.head.size = (count + 31) / 32;
	for (size_t i = 0; i < rx_vlan.count; i++) {
		if (places[i] < 0 || !(bits >> i & 1))
			continue;
		all.head.features[places[i] / 32].valid |= 1U << places[i] % 32;
		if (on)
			all.head.features[places[i] / 32].requested |= 1U << places[i] % 32;
	}
	ask(ifname, &all);
}
