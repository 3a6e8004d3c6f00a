/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A network card that takes flows of netfilter's flowtable, made of ordinary ones.
 *
 * A port of the card is stacked on another Ethernet device, its wire:
 *
 *	ip link add lan0 link eth0 type nft-test-card
 *
 * All ports are of one card. A frame that comes in on a wire is looked up in the card's table first. If there is a
 * rule for it, it is rewritten and leaves by the wire of the port that the rule names, and neither of the two ports
 * sees it; if there is none, its port receives it. So the kernel's own code decides what is offloaded, and asks for it
 * the way it asks any driver; only what the silicon of a real card does is done here, by the processor.
 */
#ifndef NFT_TEST_CARD_H
#define NFT_TEST_CARD_H

#include <linux/if_ether.h>
#include <linux/if_vlan.h>
#include <linux/in6.h>
#include <linux/netdevice.h>
#include <linux/rculist.h>
#include <linux/skbuff.h>

#define CARD_NAME	"nft-test-card"

struct flow_block_offload;
struct flow_cls_offload;
struct seq_file;

/* What the card does with the flowtables that are bound to its ports. */
enum card_offload {
	CARD_OFFLOAD_FULL,	/* takes them, and their rules */
	CARD_OFFLOAD_ACCEPT,	/* takes them and no rule, as any card seems to on OpenWrt's kernels */
	CARD_OFFLOAD_NONE,	/* takes none, as a card without such an engine */
};

/* main.c: the parameters of the module */
extern enum card_offload card_offload;
extern bool card_bypass;
extern unsigned int card_table_size;
extern unsigned int card_stats_delay;

bool card_refuses(const struct net_device *in, bool ipv6, u8 l4proto);
void card_show_table(bool show);

/* The private part of a port's net_device. */
struct card_port {
	struct net_device *dev;
	struct net_device *wire;
	u32 number;			/* among all ports; an index is one of a namespace only */
	enum card_offload offload;	/* as it was when the port was made */
	bool wire_had_gro;
	bool gone;			/* takes no rules any more; under the table's lock */
};

/* A flowtable that is bound to a port. While rules are replaced there are two of them. */
struct card_binding {
	struct card_port *port;
};

/* Both ends of a packet; IPv4 addresses are mapped ones. */
struct card_tuple {
	struct in6_addr src;
	struct in6_addr dst;
	__be16 ports[2];	/* source and destination, as TCP and UDP have them */
};

/* What a frame is looked up by. Hashed and compared as bytes: has no holes, and is made with all bytes set. */
struct card_key {
	struct card_tuple tuple;
	u32 in;			/* number of the port that it came in on */
	u16 vid;		/* its VLAN; 0 without a tag */
	u8 l4proto;
	u8 ipv6;
};

static_assert(sizeof(struct card_key) == sizeof(struct card_tuple) + 8);

/* One direction of a flow. Read under RCU; all but the counters stays as it is once the rule is in the table. */
struct card_rule {
	struct hlist_node by_key;
	struct hlist_node by_cookie;
	struct rcu_head rcu;
	unsigned long cookie;	/* the kernel's name for it */
	struct card_key key;

	const struct card_binding *binding;	/* whose rule it is */
	struct card_port *in;
	struct card_port *out;
	struct card_tuple to;	/* addresses and ports as they leave */
	u8 macs[2 * ETH_ALEN];	/* destination and source */
	bool vlan_pop;
	bool vlan_push;
	bool pppoe_push;
	u16 vid;
	u16 sid;

	atomic64_t packets;
	atomic64_t bytes;	/* of IP, as conntrack counts them */
	unsigned long used;	/* jiffies of the last frame */
	/* What the kernel was told; asked for by one work item at a time. */
	u64 told_packets;
	u64 told_bytes;
	unsigned long told;
};

/* table.c */
int card_table_add(struct card_rule *rule);
bool card_table_remove(const struct card_binding *binding, unsigned long cookie);
void card_table_release(const struct card_binding *binding);
void card_table_flush(struct card_port *port);
struct card_rule *card_table_find(const struct card_binding *binding, unsigned long cookie);
struct card_rule *card_table_lookup(const struct card_key *key);
int card_table_show(struct seq_file *seq, void *unused);

/* Counts of what happened, in debugfs. */
struct card_counts {
	atomic_t rules;		/* in the table now */
	atomic64_t hits;	/* frames that the card sent on */
	atomic64_t dropped;	/* frames that it had a rule for, and could not send */
	atomic64_t misses;	/* frames that went up to a port */
	atomic64_t refused;	/* rules: a parameter says so, or the card cannot */
	atomic64_t full;	/* rules: the table was full */
};

extern struct card_counts card_counts;

/* offload.c */
int card_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data);

/* any.c */
void card_any_exit(void);

/* frame.c */
bool card_forward(struct card_port *in, struct sk_buff *skb);

/* port.c */
extern struct rtnl_link_ops card_link_ops;
extern struct notifier_block card_notifier;

bool card_is_port(const struct net_device *dev);
bool card_has_link(const struct card_port *port);
bool card_send(const struct card_port *port, struct sk_buff *skb);

#endif
