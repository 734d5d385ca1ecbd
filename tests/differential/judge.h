/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames into both edges, and whether they make the same of them.
 *
 * What may differ is listed here, with the reason; each time that it does is counted.
 *
 * Some rules have no equal in nft, and are not compared: `static` (stateless; nft's prefix maps track
 * connections), `filtering` (netfilter knows the strictest only), `limit` (nft counts connections
 * tracked, whether a rule translates them or not, and forgets the closing ones), `hairpin` (nft needs a
 * second rule) and `random`, where there is nothing to compare.
 */
#ifndef XFWD_DIFFERENTIAL_JUDGE_H
#define XFWD_DIFFERENTIAL_JUDGE_H

#include "scenario.h"

/* Of a packet, or of a connection that began with such a packet. */
#define EXCUSES(X) \
	/* free choices */ \
	X(PORT_OF_RANGE, "which port of a rule's range a connection gets") \
	X(ADDRESS_OF_RANGE, "which address of a rule's range a connection gets") \
	X(PORT_CLASH, "which port a connection gets when another has the one that it came from") \
	X(PORT_REUSED, "netfilter gives a source the port that it has in another connection") \
	X(MAPPED, \
	  "mapping endpoint-independent: a port is one host's, for all destinations; netfilter's " \
	  "may be two hosts', and another for each") \
	X(RESERVED_PORT, "which port a connection gets that came from port 0") \
	X(IP_ID, "the IP id of what an edge itself sends") \
	X(ANSWER_SOURCE, \
	  "in whose name, and with which TOS, an edge itself says that time is exceeded") \
	X(ROUTER, \
	  "where a connection's port alone is changed, netfilter gives its errors the other end's " \
	  "name; xfwd leaves the router's") \
	X(QUOTED_MSS, \
	  "xfwd lowers a segment size before the stack finds that the packet's time is exceeded") \
	X(ZERO_SUM, "0 and 0xffff, which are one number to a checksum, after ports were mapped") \
	/* netfilter forwards as it came what its tracking calls invalid */ \
	X(DROPPED_STRAY, "begins no connection: xfwd drops what rules cover, and counts it") \
	X(DROPPED_MALFORMED, "contradicts itself: xfwd drops what rules cover, and counts it") \
	X(UNSOLICITED, \
	  "nobody may begin to talk to an address of a pool: xfwd drops and counts it") \
	X(BESIDE_REDIRECT, \
	  "one port talks to the edge directly and by a rule: xfwd knows the one only") \
	X(DROPPED_UNSUPPORTED, "a protocol that xfwd drops where it would have to leave as it is") \
	X(DROPPED_BY_RULE, "xfwd's drop rules also cover what begins no connection") \
	X(SILENT, "to an address that a snat rule lends out, and nobody's: xfwd says nothing") \
	X(DROPPED_ANSWER, "answers of a connection that is not translated meet xfwd's drop rules") \
	X(TRANSLATED_ECHO, \
	  "a request where an answer is due, or the other way round: one tuple to xfwd") \
	X(TRANSLATED_WRONG_SUM, "xfwd translates a wrong checksum as a wrong one") \
	X(TRANSLATED_STATE, \
	  "out of the order of TCP or SCTP: xfwd keeps translating the connection") \
	/* other */ \
	X(SCTP_MIDDLE, "netfilter may take up an SCTP association in its middle") \
	X(SCTP_QUOTE, "netfilter sums quoted SCTP up anew, over what there is of it") \
	X(WRONG_HEADER_SUM, "the kernel checks IPv4's header checksum; xfwd leaves it as wrong") \
	X(SHORT_DCCP, "where netfilter knows DCCP, it drops what has not the whole header") \
	X(TRAILER, "bytes behind the datagram: the kernel cuts them off") \
	X(OPTIONS, "the kernel reads IP options; xfwd takes them along as they are") \
	X(ZERO_UDP6, "UDP over IPv6 without a checksum (RFC 8200 8.1): to xfwd it is malformed") \
	X(QUERY, "netfilter tracks ICMP's timestamp, mask and information requests") \
	X(EXTENSION, "an IPv6 extension header that netfilter takes for a protocol") \
	X(SELF, \
	  "an address that is made to talk to itself, or a packet to look like its own answer") \
	X(GRE, "netfilter looks into GRE; made of a broken packet, there is nothing to be seen") \
	X(OTHER_ICMP, "ICMP of the other family: invalid to netfilter, any protocol to xfwd") \
	X(FRAGMENTS, "a part that is alone: the kernel waits for the others, xfwd for the first") \
	X(QUOTED_PART, "of a datagram in parts, the kernel's errors quote what it put together") \
	X(REST, "where a datagram's first part is dropped, xfwd may let the useless others go") \
	X(SHORT_QUOTE, \
	  "less than 8 bytes of a translated transport: netfilter drops it, to xfwd it is about " \
	  "nothing") \
	X(QUOTED_SUM, \
	  "quoted TCP that is cut off right behind its checksum: netfilter leaves that as it was") \
	X(OWN_PEER, \
	  "who has sent the edge itself a protocol without ports is nobody else's to netfilter; to " \
	  "xfwd, once the edge has answered") \
	X(EXPIRED, \
	  "a first packet that goes no further: a connection to xfwd, and none to netfilter") \
	X(DROPPED_ERROR, "an error about no translated connection: xfwd drops what rules cover") \
	X(OPENS_AGAIN, "a SYN against an untranslated connection's direction begins one to xfwd") \
	X(ASYMMETRIC, \
	  "xfwd does not know an untranslated connection whose answers take another way") \
	X(CHANCE, "what follows from a free choice: seen once, and not when tried again") \
	X(FOLLOWS, "a connection that one edge has and the other has not, by one of the above")

enum excuse {
#define EXCUSE_ENUM(name, reason) EXCUSE_##name,
	EXCUSES(EXCUSE_ENUM)
#undef EXCUSE_ENUM
		EXCUSE_COUNT,
	EXCUSE_NONE = EXCUSE_COUNT,
};

/* A connection as both edges have it, where they may have chosen: as frames say it. */
struct known {
	struct ends in, out; /* of packets of the first direction */
	enum iface_id from, to;
	unsigned int phase; /* the generator's */
	bool passed[2]; /* the same packet by both, of each direction */
	bool is_local; /* answered by the edge: `out` is as `in` */
	bool is_closing; /* or out of its order */
	bool is_doubtful; /* has the other edge it, too? */
};

#define KNOWN_MAX 512

struct judge {
	struct known known[KNOWN_MAX];
	size_t known_count;
	bool loose;
	/* The last step. */
	struct frame whole; /* the datagram that went in, if it was one: maybe in parts */
	bool is_one, is_parts;
	char kind[256]; /* of difference; the same for what is like it */
	struct outputs outputs[EDGES]; /* as frames say it */
	uint64_t verdicts[VERDICT_COUNT];
};

extern uint64_t excuses[EXCUSE_COUNT];
extern const char *const excuse_names[EXCUSE_COUNT], *const excuse_reasons[EXCUSE_COUNT];
/* Packets given to each edge, and how many came out of the kernel's translated. */
extern uint64_t packets_sent, packets_translated;

/* False: the rules are not valid. */
bool judge_begin(struct judge *judge, const struct scenario *scenario);
/* Do both make the same of it? Where this is a first run, notes in the step what was chosen. */
bool judge_step(struct judge *judge, struct step *step);
/* Have both edges passed packets of both directions, and nothing that ends it? */
bool known_is_steady(const struct known *known);
/* The last step, as TAP comments. */
void judge_explain(const struct judge *judge, const struct step *step);

#endif
