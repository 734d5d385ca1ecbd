// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs: one pipeline at three hooks, and the timer's.
 *
 * tc_ingress and tc_egress together are complete. XDP does the same sooner for what it can finish.
 */
#include "maps.h"
#include "pipeline.h"
#include "sweep.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* More than Linux 6.18 adds to any of the programs. */
#define INSNS_SPARE 2048

/*
 * Instructions that the verifier comes to know as dead, from the value of r0, and takes out before it
 * inlines map look-ups. What it had allotted for them then holds the instructions that these add; if
 * not, Linux 6.18 copies all that it knows of the program (for tc_ingress some 1.5 MB) once for each
 * page that comes, which is half of the time that loading takes (bpf_patch_insn_data,
 * kernel/bpf/verifier.c). Nothing but that time depends on it.
 */
static __always_inline void spare_insns(void)
{
	asm volatile("r0 = 0\n"
		     "if r0 == 0 goto 1f\n"
		     ".rept %[count]\n"
		     "r0 = 0\n"
		     ".endr\n"
		     "1:"
		     :
		     : [count] "i"(INSNS_SPARE)
		     : "r0");
}

static __always_inline int xdp_run(struct xdp_md *xdp, enum frames frames)
{
	struct packet p = {
		.ctx = xdp,
		.hook = HOOK_XDP_INGRESS,
		.ifindex = xdp->ingress_ifindex,
		.frames = frames,
		.hop.route = ROUTE_UNKNOWN,
	};
	int action = XDP_PASS;
	enum verdict verdict;

	spare_insns();
	verdict = pipeline(&p, &action);
	verdict_count(&p, verdict);
	if (verdict >= VERDICT_DROP_RULE)
		return XDP_DROP;
	if (action == XDP_PASS && p.ifindex != xdp->ingress_ifindex && vlan_undo(xdp))
		return XDP_DROP;
	return action;
}

/* Frames from a wire: their checksums are whole. */
SEC("xdp")
int xdp_wire(struct xdp_md *xdp)
{
	return xdp_run(xdp, FRAMES_WIRE);
}

/* Frames of virtual devices, which are or were skbs: a checksum may still be partial. */
SEC("xdp")
int xdp_virtual(struct xdp_md *xdp)
{
	return xdp_run(xdp, FRAMES_VIRTUAL);
}

/*
 * The same for generic XDP. A program of its own, as it may not be loaded for frames of several
 * buffers: Linux (6.18 for one) then hands tc an skb without its link-layer header.
 */
SEC("xdp")
int xdp_generic(struct xdp_md *xdp)
{
	return xdp_run(xdp, FRAMES_GENERIC);
}

static __always_inline int tc_run(struct __sk_buff *skb, enum hook hook)
{
	struct packet p = {
		.ctx = skb,
		.hook = hook,
		.ifindex = skb->ifindex,
		.hop.route = ROUTE_UNKNOWN,
	};
	int action = TC_ACT_UNSPEC; /* on to whatever else is attached there */
	enum verdict verdict;

	spare_insns();
	/* Not from another namespace: what it says is only said to our own tc_egress. */
	if (hook == HOOK_TC_INGRESS &&
	    (skb->tc_index == TC_INDEX_DONE || skb->tc_index == TC_INDEX_HALF))
		skb->tc_index = 0;
	verdict = pipeline(&p, &action);
	verdict_count(&p, verdict);
	if (verdict >= VERDICT_HELD)
		return TC_ACT_SHOT;
	return action;
}

SEC("tc")
int tc_ingress(struct __sk_buff *skb)
{
	return tc_run(skb, HOOK_TC_INGRESS);
}

SEC("tc")
int tc_egress(struct __sk_buff *skb)
{
	return tc_run(skb, HOOK_TC_EGRESS);
}
