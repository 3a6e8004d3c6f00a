// SPDX-License-Identifier: GPL-2.0
/*
 * What netfilter's flowtable asks of the card.
 *
 * A flowtable binds to each of its devices, and then offers each direction of each flow to all of them, so a port
 * takes the rules of frames that come in on it, and no others. It offers what a rule can say: a match on addresses,
 * ports and VLAN, and headers that are to be changed. It does not say that a packet loses one of its hop limit, or
 * that the PPPoE header it came with goes: who routes packets does both.
 */
#include <linux/bitops.h>
#include <linux/etherdevice.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/slab.h>
#include <net/flow_offload.h>
#include <net/ipv6.h>
#include <net/pkt_cls.h>

#include "card.h"

/* Whether a rule is for frames that come in on this port. */
static bool is_for(const struct card_port *in, const struct flow_rule *flow)
{
	struct flow_match_meta meta;

	if (!flow_rule_match_key(flow, FLOW_DISSECTOR_KEY_META))
		return false;
	flow_rule_match_meta(flow, &meta);
	return meta.key->ingress_ifindex == in->dev->ifindex;
}

/* The VLAN of a rule, if any: netfilter fills it in, and does not list it among the keys that it uses. */
static const struct flow_dissector_key_vlan *vlan_of(const struct flow_rule *flow)
{
	const struct flow_match *match = &flow->match;

	if (!match->dissector->offset[FLOW_DISSECTOR_KEY_VLAN])
		return NULL;
	return skb_flow_dissector_target(match->dissector, FLOW_DISSECTOR_KEY_VLAN, match->key);
}

static int read_match(const struct flow_rule *flow, struct card_key *key)
{
	const u64 known = BIT_ULL(FLOW_DISSECTOR_KEY_META) | BIT_ULL(FLOW_DISSECTOR_KEY_CONTROL) |
			  BIT_ULL(FLOW_DISSECTOR_KEY_BASIC) | BIT_ULL(FLOW_DISSECTOR_KEY_IPV4_ADDRS) |
			  BIT_ULL(FLOW_DISSECTOR_KEY_IPV6_ADDRS) | BIT_ULL(FLOW_DISSECTOR_KEY_TCP) |
			  BIT_ULL(FLOW_DISSECTOR_KEY_PORTS) | BIT_ULL(FLOW_DISSECTOR_KEY_VLAN);
	struct flow_match_control control;
	struct flow_match_basic basic;
	const struct flow_dissector_key_vlan *vlan;
	struct flow_match_ports ports;

	if (flow->match.dissector->used_keys & ~known ||
	    !flow_rule_match_key(flow, FLOW_DISSECTOR_KEY_CONTROL) ||
	    !flow_rule_match_key(flow, FLOW_DISSECTOR_KEY_BASIC) ||
	    !flow_rule_match_key(flow, FLOW_DISSECTOR_KEY_PORTS))
		return -EOPNOTSUPP;

	flow_rule_match_basic(flow, &basic);
	key->l4proto = basic.key->ip_proto;
	if (key->l4proto != IPPROTO_TCP && key->l4proto != IPPROTO_UDP)
		return -EOPNOTSUPP;

	flow_rule_match_control(flow, &control);
	switch (control.key->addr_type) {
	case FLOW_DISSECTOR_KEY_IPV4_ADDRS: {
		struct flow_match_ipv4_addrs addrs;

		flow_rule_match_ipv4_addrs(flow, &addrs);
		ipv6_addr_set_v4mapped(addrs.key->src, &key->tuple.src);
		ipv6_addr_set_v4mapped(addrs.key->dst, &key->tuple.dst);
		break;
	}
	case FLOW_DISSECTOR_KEY_IPV6_ADDRS: {
		struct flow_match_ipv6_addrs addrs;

		flow_rule_match_ipv6_addrs(flow, &addrs);
		key->ipv6 = true;
		key->tuple.src = addrs.key->src;
		key->tuple.dst = addrs.key->dst;
		break;
	}
	default:
		return -EOPNOTSUPP;
	}

	flow_rule_match_ports(flow, &ports);
	key->tuple.ports[0] = ports.key->src;
	key->tuple.ports[1] = ports.key->dst;

	vlan = vlan_of(flow);
	if (vlan) {
		if (vlan->vlan_tpid != htons(ETH_P_8021Q))
			return -EOPNOTSUPP;
		key->vid = vlan->vlan_id;
	}
	return 0;
}

/*
 * Changes four bytes of a header as it will be. The kernel has both words in memory as the header's bytes lie, and in
 * the mask a bit for whatever is to stay.
 */
static void mangle(void *word, const struct flow_action_entry *action)
{
	u32 mask = action->mangle.mask, val = action->mangle.val, value;

#ifdef __BIG_ENDIAN
	/* But for the word that two MAC addresses share: their halves are shifted as is right for little-endian. */
	if (action->mangle.htype == FLOW_ACT_MANGLE_HDR_TYPE_ETH && action->mangle.offset == 4) {
		mask = ror32(mask, 16);
		val = ror32(val, 16);
	}
#endif
	memcpy(&value, word, sizeof(value));
	value = (value & mask) | val;
	memcpy(word, &value, sizeof(value));
}

static int read_mangle(const struct flow_action_entry *action, struct card_rule *rule)
{
	u32 at = action->mangle.offset;

	if (at % 4)
		return -EOPNOTSUPP;
	switch (action->mangle.htype) {
	case FLOW_ACT_MANGLE_HDR_TYPE_ETH:
		if (at + 4 > sizeof(rule->macs))
			return -EOPNOTSUPP;
		mangle(rule->macs + at, action);
		return 0;
	case FLOW_ACT_MANGLE_HDR_TYPE_IP4:
		if (rule->key.ipv6)
			return -EOPNOTSUPP;
		if (at == offsetof(struct iphdr, saddr))
			mangle(&rule->to.src.s6_addr32[3], action);
		else if (at == offsetof(struct iphdr, daddr))
			mangle(&rule->to.dst.s6_addr32[3], action);
		else
			return -EOPNOTSUPP;
		return 0;
	case FLOW_ACT_MANGLE_HDR_TYPE_IP6:
		/* Source and destination lie side by side, at the end of the header as at the start of the tuple. */
		if (!rule->key.ipv6 || at < offsetof(struct ipv6hdr, saddr) || at + 4 > sizeof(struct ipv6hdr))
			return -EOPNOTSUPP;
		mangle((u8 *)&rule->to + at - offsetof(struct ipv6hdr, saddr), action);
		return 0;
	case FLOW_ACT_MANGLE_HDR_TYPE_TCP:
	case FLOW_ACT_MANGLE_HDR_TYPE_UDP:
		if (at)
			return -EOPNOTSUPP;
		mangle(rule->to.ports, action);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int read_actions(struct flow_rule *flow, struct card_rule *rule)
{
	struct flow_action_entry *action;
	int i, err;

	rule->to = rule->key.tuple;
	flow_action_for_each(i, action, &flow->action) {
		switch (action->id) {
		case FLOW_ACTION_MANGLE:
			err = read_mangle(action, rule);
			if (err)
				return err;
			break;
		case FLOW_ACTION_CSUM:
			break;
		case FLOW_ACTION_VLAN_POP:
			if (rule->vlan_pop || !rule->key.vid)
				return -EOPNOTSUPP;
			rule->vlan_pop = true;
			break;
		case FLOW_ACTION_VLAN_PUSH:
			if (rule->vlan_push || action->vlan.proto != htons(ETH_P_8021Q))
				return -EOPNOTSUPP;
			rule->vlan_push = true;
			rule->vid = action->vlan.vid;
			break;
		case FLOW_ACTION_PPPOE_PUSH:
			if (rule->pppoe_push)
				return -EOPNOTSUPP;
			rule->pppoe_push = true;
			rule->sid = action->pppoe.sid;
			break;
		case FLOW_ACTION_REDIRECT:
			if (!card_is_port(action->dev))
				return -EOPNOTSUPP;
			rule->out = netdev_priv(action->dev);
			break;
		default:
			return -EOPNOTSUPP;
		}
	}
	return rule->out && is_valid_ether_addr(rule->macs) ? 0 : -EOPNOTSUPP;
}

static bool is_refused(const struct card_port *port, const struct card_key *key)
{
	return port->offload != CARD_OFFLOAD_FULL || card_refuses(port->dev, key->ipv6, key->l4proto);
}

static int card_replace(struct card_binding *binding, struct flow_cls_offload *flow)
{
	struct card_port *port = binding->port;
	struct card_rule *rule;
	int err;

	if (!is_for(port, flow->rule))
		return -EOPNOTSUPP;
	rule = kzalloc(sizeof(*rule), GFP_KERNEL);
	if (!rule)
		return -ENOMEM;
	rule->cookie = flow->cookie;
	rule->binding = binding;
	rule->in = port;
	rule->key.in = port->number;
	rule->used = jiffies;
	rule->told = jiffies;

	err = read_match(flow->rule, &rule->key);
	if (!err)
		err = read_actions(flow->rule, rule);
	if (!err && is_refused(port, &rule->key))
		err = -EOPNOTSUPP;
	if (err)
		atomic64_inc(&card_counts.refused);
	else
		err = card_table_add(rule);
	if (err)
		kfree(rule);
	return err;
}

/* Tells what was counted since the last time, if that is long enough ago. */
static int card_stats(const struct card_binding *binding, struct flow_cls_offload *flow)
{
	struct card_rule *rule;
	u64 packets, bytes;

	rcu_read_lock();
	rule = card_table_find(binding, flow->cookie);
	if (rule && time_after_eq(jiffies, rule->told + msecs_to_jiffies(card_stats_delay))) {
		packets = atomic64_read(&rule->packets);
		bytes = atomic64_read(&rule->bytes);
		flow_stats_update(&flow->stats, bytes - rule->told_bytes, packets - rule->told_packets, 0,
				  READ_ONCE(rule->used), FLOW_ACTION_HW_STATS_DELAYED);
		rule->told_packets = packets;
		rule->told_bytes = bytes;
		rule->told = jiffies;
	}
	rcu_read_unlock();
	return rule ? 0 : -ENOENT;
}

static int card_block(enum tc_setup_type type, void *data, void *priv)
{
	struct card_binding *binding = priv;
	struct flow_cls_offload *flow = data;

	if (type != TC_SETUP_CLSFLOWER)
		return -EOPNOTSUPP;
	switch (flow->command) {
	case FLOW_CLS_REPLACE:
		return card_replace(binding, flow);
	case FLOW_CLS_DESTROY:
		return card_table_remove(binding, flow->cookie) ? 0 : -ENOENT;
	case FLOW_CLS_STATS:
		return card_stats(binding, flow);
	default:
		return -EOPNOTSUPP;
	}
}

/* Nobody asks any more: what the flowtable left on the card it does not take back itself. */
static void card_unbound(void *priv)
{
	card_table_release(priv);
	kfree(priv);
}

/*
 * Kept in no list of the driver: two flowtables may come and go at the same time, each under a lock of its own, and
 * nothing has to be found but in its own flowtable.
 */
static int card_bind(struct card_port *port, struct flow_block_offload *block)
{
	struct card_binding *binding;
	struct flow_block_cb *cb;

	binding = kzalloc(sizeof(*binding), GFP_KERNEL);
	if (!binding)
		return -ENOMEM;
	binding->port = port;
	cb = flow_block_cb_alloc(card_block, port, binding, card_unbound);
	if (IS_ERR(cb)) {
		kfree(binding);
		return PTR_ERR(cb);
	}
	flow_block_cb_add(cb, block);
	return 0;
}

static int card_unbind(struct card_port *port, struct flow_block_offload *block)
{
	struct flow_block_cb *cb = flow_block_cb_lookup(block->block, card_block, port);

	if (!cb)
		return -ENOENT;
	/* The kernel frees it, and then card_unbound() is called. */
	flow_block_cb_remove(cb, block);
	return 0;
}

int card_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data)
{
	struct card_port *port = netdev_priv(dev);
	struct flow_block_offload *block = data;

	if (type != TC_SETUP_FT || port->offload == CARD_OFFLOAD_NONE ||
	    block->binder_type != FLOW_BLOCK_BINDER_TYPE_CLSACT_INGRESS)
		return -EOPNOTSUPP;
	switch (block->command) {
	case FLOW_BLOCK_BIND:
		/* Whoever switched it off with `ethtool -K` wants no more. */
		if (port->offload == CARD_OFFLOAD_FULL && !tc_can_offload(dev))
			return -EOPNOTSUPP;
		return card_bind(port, block);
	case FLOW_BLOCK_UNBIND:
		return card_unbind(port, block);
	default:
		return -EOPNOTSUPP;
	}
}
