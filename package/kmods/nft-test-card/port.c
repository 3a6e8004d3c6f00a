// SPDX-License-Identifier: GPL-2.0
/*
 * Ports: network devices, each stacked on the wire that it was given.
 *
 * A port has no checksum, segmentation or VLAN acceleration, and its wire merges nothing: each frame of the wire is
 * one lookup. It is not linked to its wire as an upper device: to whoever asks the kernel it is a card of its own.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/module.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#include <net/netdev_lock.h>
#endif
#include <net/rtnetlink.h>

#include "card.h"

static const struct net_device_ops card_netdev_ops;

bool card_is_port(const struct net_device *dev)
{
	return dev->netdev_ops == &card_netdev_ops;
}

/* Comes before anything of the port sees the frame. Runs under rcu_read_lock(). */
static rx_handler_result_t card_receive(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;
	struct card_port *port = rcu_dereference(skb->dev->rx_handler_data);

	if (skb->pkt_type == PACKET_LOOPBACK)
		return RX_HANDLER_PASS;
	skb = skb_share_check(skb, GFP_ATOMIC);
	*pskb = skb;
	if (!skb)
		return RX_HANDLER_CONSUMED;
	if (!netif_running(port->dev)) {
		kfree_skb(skb);
		return RX_HANDLER_CONSUMED;
	}
	if (card_forward(port, skb))
		return RX_HANDLER_CONSUMED;
	atomic64_inc(&card_counts.misses);
	DEV_STATS_INC(port->dev, rx_packets);
	DEV_STATS_ADD(port->dev, rx_bytes, skb->len + ETH_HLEN);
	skb->dev = port->dev;
	return RX_HANDLER_ANOTHER;
}

/* Whether both the port and its wire are up, and something is at the other end. */
bool card_has_link(const struct card_port *port)
{
	return netif_running(port->dev) && netif_running(port->wire) && netif_carrier_ok(port->wire);
}

/* Whether the port's wire took the frame. Consumes the skb either way. */
bool card_send(const struct card_port *port, struct sk_buff *skb)
{
	int sent;

	/* The queue of a wire without a link drops what it gets, and says the same as a congested one. */
	if (!card_has_link(port)) {
		kfree_skb(skb);
		return false;
	}
	skb->dev = port->wire;
	sent = dev_queue_xmit(skb);
	/* A congested queue may have dropped another frame in its place. */
	return sent == NET_XMIT_SUCCESS || sent == NET_XMIT_CN;
}

static netdev_tx_t card_xmit(struct sk_buff *skb, struct net_device *dev)
{
	unsigned int length = skb->len;

	if (likely(card_send(netdev_priv(dev), skb))) {
		DEV_STATS_INC(dev, tx_packets);
		DEV_STATS_ADD(dev, tx_bytes, length);
	} else {
		DEV_STATS_INC(dev, tx_dropped);
	}
	return NETDEV_TX_OK;
}

static int card_open(struct net_device *dev)
{
	struct card_port *port = netdev_priv(dev);

	return port->wire->flags & IFF_UP ? 0 : -ENETDOWN;
}

static int card_stop(struct net_device *dev)
{
	return 0;
}

static int card_init_port(struct net_device *dev)
{
	struct card_port *port = netdev_priv(dev);

	/* Its queue is locked while its wire, of the same type, locks one of its own. */
	netdev_lockdep_set_classes(dev);
	if (port->offload == CARD_OFFLOAD_FULL)
		card_show_table(true);
	return 0;
}

/* The last word: flowtables have left by now, but a work item of theirs may still be about to add a rule. */
static void card_uninit_port(struct net_device *dev)
{
	struct card_port *port = netdev_priv(dev);

	card_table_flush(port);
	if (port->offload == CARD_OFFLOAD_FULL)
		card_show_table(false);
}

static const struct net_device_ops card_netdev_ops = {
	.ndo_init = card_init_port,
	.ndo_uninit = card_uninit_port,
	.ndo_open = card_open,
	.ndo_stop = card_stop,
	.ndo_start_xmit = card_xmit,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_setup_tc = card_setup_tc,
};

static void card_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, CARD_NAME, sizeof(info->driver));
}

static const struct ethtool_ops card_ethtool_ops = {
	.get_drvinfo = card_get_drvinfo,
	.get_link = ethtool_op_get_link,
};

static void card_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &card_netdev_ops;
	dev->ethtool_ops = &card_ethtool_ops;
	dev->needs_free_netdev = true;
	/* What a port may carry its wire says; until then whoever makes it may want anything. */
	dev->max_mtu = ETH_MAX_MTU;
	dev->priv_flags |= IFF_NO_QUEUE;
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
}

/* Segments that the wire merged would be one lookup for several frames, and too large to send on. */
static void card_wire_gro(struct net_device *wire, bool on)
{
	if (on)
		wire->wanted_features |= NETIF_F_GRO;
	else
		wire->wanted_features &= ~NETIF_F_GRO;
	netdev_update_features(wire);
}

static int card_attach(struct net_device *dev, struct net_device *wire, bool has_mtu, struct netlink_ext_ack *extack)
{
	static atomic_t numbers;
	struct card_port *port = netdev_priv(dev);
	int err;

	if (wire->type != ARPHRD_ETHER || wire->flags & IFF_LOOPBACK || card_is_port(wire)) {
		NL_SET_ERR_MSG(extack, "A port needs an Ethernet device below it");
		return -EINVAL;
	}
	if (has_mtu && dev->mtu > wire->mtu) {
		NL_SET_ERR_MSG(extack, "The MTU is larger than that of the device below");
		return -EINVAL;
	}
	port->dev = dev;
	port->wire = wire;
	port->number = atomic_inc_return(&numbers);
	port->offload = card_offload;
	if (port->offload == CARD_OFFLOAD_FULL) {
		dev->features |= NETIF_F_HW_TC;
		dev->hw_features |= NETIF_F_HW_TC;
	}
	/* As the wire filters nothing, and so that it says who a frame is for. */
	eth_hw_addr_inherit(dev, wire);
	if (!has_mtu)
		dev->mtu = wire->mtu;
	dev->max_mtu = wire->mtu;
	dev->needed_headroom = LL_RESERVED_SPACE(wire);

	err = register_netdevice(dev);
	if (err)
		return err;
	err = netdev_rx_handler_register(wire, card_receive, port);
	if (err) {
		NL_SET_ERR_MSG(extack, "The device below is part of something already");
		goto registered;
	}
	err = dev_set_promiscuity(wire, 1);
	if (err)
		goto receiving;
	port->wire_had_gro = wire->wanted_features & NETIF_F_GRO;
	card_wire_gro(wire, false);
	netif_stacked_transfer_operstate(wire, dev);
	return 0;

receiving:
	netdev_rx_handler_unregister(wire);
registered:
	unregister_netdevice(dev);
	return err;
}

static void card_dellink(struct net_device *dev, struct list_head *head)
{
	struct card_port *port = netdev_priv(dev);

	netdev_rx_handler_unregister(port->wire);
	/* A wire that goes itself needs neither. */
	if (port->wire->reg_state == NETREG_REGISTERED) {
		dev_set_promiscuity(port->wire, -1);
		if (port->wire_had_gro)
			card_wire_gro(port->wire, true);
	}
	unregister_netdevice_queue(dev, head);
}

static int card_validate(struct nlattr *tb[], struct nlattr *data[], struct netlink_ext_ack *extack)
{
	if (!tb[IFLA_LINK] || tb[IFLA_ADDRESS]) {
		NL_SET_ERR_MSG(extack, "A port is made with `link DEVICE`, and has the address of that");
		return -EINVAL;
	}
	return 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
static int card_newlink(struct net_device *dev, struct rtnl_newlink_params *params,
			struct netlink_ext_ack *extack)
{
	struct net *net = rtnl_newlink_link_net(params);
	struct nlattr **tb = params->tb;
#else
static int card_newlink(struct net *net, struct net_device *dev, struct nlattr *tb[],
			struct nlattr *data[], struct netlink_ext_ack *extack)
{
#endif
	struct net_device *wire = __dev_get_by_index(net, nla_get_u32(tb[IFLA_LINK]));

	return wire ? card_attach(dev, wire, tb[IFLA_MTU], extack) : -ENODEV;
}

struct rtnl_link_ops card_link_ops = {
	.kind = CARD_NAME,
	.priv_size = sizeof(struct card_port),
	.setup = card_setup,
	.validate = card_validate,
	.newlink = card_newlink,
	.dellink = card_dellink,
};

static struct net_device *card_port_of(const struct net_device *wire)
{
	struct card_port *port;

	if (rtnl_dereference(wire->rx_handler) != card_receive)
		return NULL;
	port = rtnl_dereference(wire->rx_handler_data);
	return port->dev;
}

/* The wire takes no longer packets than this now. A port that wants less keeps that, as VLANs do. */
static void card_follow_mtu(struct net_device *dev, unsigned int mtu)
{
	if (dev->mtu > mtu)
		dev_set_mtu(dev, mtu);
	dev->max_mtu = mtu;
}

/* A port has link and address of its wire, carries no more than that, and goes with it. */
static int card_event(struct notifier_block *unused, unsigned long event, void *info)
{
	struct net_device *wire = netdev_notifier_info_to_dev(info);
	struct net_device *dev = card_port_of(wire);
	LIST_HEAD(gone);

	if (!dev)
		return NOTIFY_DONE;

	switch (event) {
	case NETDEV_UP:
	case NETDEV_CHANGE:
		netif_stacked_transfer_operstate(wire, dev);
		break;
	case NETDEV_DOWN:
		/* A wire that is switched off may still say that it has a carrier. */
		netif_carrier_off(dev);
		break;
	case NETDEV_CHANGEADDR:
		eth_hw_addr_set(dev, wire->dev_addr);
		call_netdevice_notifiers(NETDEV_CHANGEADDR, dev);
		break;
	case NETDEV_CHANGEMTU:
		card_follow_mtu(dev, wire->mtu);
		break;
	case NETDEV_UNREGISTER:
		if (wire->reg_state != NETREG_UNREGISTERING)
			break;
		card_dellink(dev, &gone);
		unregister_netdevice_many(&gone);
		break;
	}
	return NOTIFY_DONE;
}

struct notifier_block card_notifier = { .notifier_call = card_event };
