/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every way a packet can leave the pipeline, counted per hook.
 *
 * X(NAME, "name", "what it means"): the one list behind the BPF code, `xfwd stats` and its JSON.
 * PASS_* leave the packet exactly as it came; ANSWER_* make it an ICMP error and send it back.
 */
#ifndef XFWD_VERDICT_H
#define XFWD_VERDICT_H

#define XFWD_VERDICTS(X) \
	X(FORWARD, "forwarded", "translated and sent to its next hop") \
	X(DELIVER, "delivered", "translated and handed to this host") \
	X(TRANSLATE, "translated", "translated on its way out of this host's stack") \
	X(PASS_NO_RULE, "no_rule", "no flow and no rule covers it") \
	X(PASS_ACCEPT, "accepted", "an accept rule exempts it") \
	X(PASS_TRACKED, "tracked", "belongs to a flow that is not translated") \
	X(PASS_DONE, "done", "translated before it reached this hook") \
	X(PASS_OTHER_PROTOCOL, "other_protocol", \
	  "not IP, or of a VLAN that has no interface here") \
	X(PASS_OTHER_HOST, "other_host", "its link-layer destination is not this interface") \
	X(PASS_STRAY, "stray", "begins no flow: left to this host's own sockets") \
	X(PASS_TO_TC, "to_tc", \
	  "left by XDP to the tc program: needs the stack or has no redirect target") \
	X(PASS_PARTIAL, "partial_checksum", \
	  "left by XDP to the tc program: its checksum is not computed yet") \
	X(PASS_MTU, "mtu_stack", "larger than the path takes: left to the stack, which fragments") \
	X(PASS_ELSEWHERE, "elsewhere", \
	  "its route leaves by another interface than its flow: left to the stack, as marks may lead it") \
	X(ANSWER_TTL, "time_exceeded", "time to live used up: its sender is told") \
	X(ANSWER_MTU, "too_big", "larger than the path takes: its sender is told") \
	X(HELD, "held", "a fragment that waits for the first of its datagram") \
	X(RELEASED, "released", "a first fragment, begun anew with those that waited for it") \
	X(DROP_RULE, "dropped_by_rule", "a drop rule matched") \
	X(DROP_MALFORMED, "malformed", "a header is cut short or contradicts itself") \
	X(DROP_MARTIAN, "martian", "an address that may not come from a wire") \
	X(DROP_STRAY, "stray_dropped", "begins no flow, and may not leave untranslated") \
	X(DROP_FRAGMENT, "fragment", \
	  "a fragment whose first part was not seen, or whose checksum cannot be kept right") \
	X(DROP_UNSUPPORTED, "unsupported", \
	  "a protocol that cannot be translated, and may not leave as it is") \
	X(DROP_UNSOLICITED, "unsolicited", \
	  "to a mapped port, from where its filtering takes nothing") \
	X(DROP_LIMIT, "limit", \
	  "its source has as many flows, or begins as many, as its rule allows") \
	X(DROP_NO_PORT, "no_port", "no free port for a new flow") \
	X(DROP_NO_ADDRESS, "no_address", "the interface has no address to translate to") \
	X(DROP_FLOW_TABLE_FULL, "flow_table_full", "no room for a new flow") \
	X(DROP_TTL, "ttl", "time to live used up, and its sender may not be told (again so soon)") \
	X(DROP_MTU, "mtu", "larger than the path takes, and its sender may not be told") \
	X(DROP_UNREACHABLE, "unreachable", "the route to its new destination says no") \
	X(DROP_ERROR, "error", "a kernel helper failed")

enum verdict {
#define XFWD_VERDICT_ENUM(name, text, help) VERDICT_##name,
	XFWD_VERDICTS(XFWD_VERDICT_ENUM)
#undef XFWD_VERDICT_ENUM
		VERDICT_COUNT,
	/* Not an answer: a stage returns it to hand the packet to the next stage. */
	VERDICT_CONTINUE = VERDICT_COUNT,
};

/* Where the pipeline is attached. */
#define XFWD_HOOKS(X) \
	X(XDP_INGRESS, "xdp_ingress") \
	X(TC_INGRESS, "tc_ingress") \
	X(TC_EGRESS, "tc_egress")

enum hook {
#define XFWD_HOOK_ENUM(name, text) HOOK_##name,
	XFWD_HOOKS(XFWD_HOOK_ENUM)
#undef XFWD_HOOK_ENUM
		HOOK_COUNT,
};

#endif
