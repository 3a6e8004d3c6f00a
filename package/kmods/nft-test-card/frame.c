// SPDX-License-Identifier: GPL-2.0
/*
 * Frames: looked up as they come from the wire, rewritten, and sent by another.
 */
#include <linux/if_pppox.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/ppp_defs.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/ipv6.h>

#include "card.h"

/* Where the headers of a frame lie, from skb->data, and how long its packet is. */
struct card_frame {
	unsigned int l3;
	unsigned int l4;
	unsigned int length;
};

static bool read_ipv4(struct sk_buff *skb, struct card_frame *frame, struct card_key *key)
{
	const struct iphdr *ip;

	if (!pskb_may_pull(skb, frame->l3 + sizeof(*ip)))
		return false;
	ip = (void *)(skb->data + frame->l3);
	/* Options, fragments, expired and broken packets are the kernel's. */
	if (ip->version != 4 || ip->ihl != 5 || ip_is_fragment(ip) || ip->ttl <= 1 ||
	    ip_fast_csum(ip, ip->ihl))
		return false;
	ipv6_addr_set_v4mapped(ip->saddr, &key->tuple.src);
	ipv6_addr_set_v4mapped(ip->daddr, &key->tuple.dst);
	key->l4proto = ip->protocol;
	frame->length = ntohs(ip->tot_len);
	frame->l4 = frame->l3 + sizeof(*ip);
	return true;
}

static bool read_ipv6(struct sk_buff *skb, struct card_frame *frame, struct card_key *key)
{
	const struct ipv6hdr *ip;

	if (!pskb_may_pull(skb, frame->l3 + sizeof(*ip)))
		return false;
	ip = (void *)(skb->data + frame->l3);
	if (ip->version != 6 || ip->hop_limit <= 1)
		return false;
	key->tuple.src = ip->saddr;
	key->tuple.dst = ip->daddr;
	key->ipv6 = true;
	key->l4proto = ip->nexthdr;
	frame->length = sizeof(*ip) + ntohs(ip->payload_len);
	frame->l4 = frame->l3 + sizeof(*ip);
	return true;
}

static bool read_ports(struct sk_buff *skb, struct card_frame *frame, struct card_key *key)
{
	unsigned int size = key->l4proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	if (key->l4proto != IPPROTO_TCP && key->l4proto != IPPROTO_UDP)
		return false;
	if (frame->l3 + frame->length > skb->len || frame->l4 + size > frame->l3 + frame->length ||
	    !pskb_may_pull(skb, frame->l4 + size))
		return false;
	memcpy(key->tuple.ports, skb->data + frame->l4, sizeof(key->tuple.ports));
	if (key->l4proto == IPPROTO_TCP) {
		const struct tcphdr *tcp = (void *)(skb->data + frame->l4);

		/* The kernel must see how a connection ends. */
		return !tcp->fin && !tcp->rst;
	}
	return true;
}

/* A PPPoE session's frame is read past its header. */
static bool read_pppoe(struct sk_buff *skb, struct card_frame *frame, __be16 *proto)
{
	const struct pppoe_hdr *pppoe;
	__be16 ppp;

	if (!pskb_may_pull(skb, PPPOE_SES_HLEN))
		return false;
	pppoe = (void *)skb->data;
	if (pppoe->ver != 1 || pppoe->type != 1 || pppoe->code)
		return false;
	memcpy(&ppp, pppoe + 1, sizeof(ppp));
	frame->l3 = PPPOE_SES_HLEN;
	switch (ntohs(ppp)) {
	case PPP_IP:
		*proto = htons(ETH_P_IP);
		return true;
	case PPP_IPV6:
		*proto = htons(ETH_P_IPV6);
		return true;
	default:
		return false;
	}
}

static bool read_frame(const struct card_port *in, struct sk_buff *skb, struct card_frame *frame, struct card_key *key)
{
	__be16 proto = skb->protocol;

	memset(frame, 0, sizeof(*frame));
	memset(key, 0, sizeof(*key));
	key->in = in->number;
	if (skb_is_gso(skb) || is_multicast_ether_addr(eth_hdr(skb)->h_dest))
		return false;
	if (skb_vlan_tag_present(skb)) {
		key->vid = skb_vlan_tag_get_id(skb);
		if (skb->vlan_proto != htons(ETH_P_8021Q) || !key->vid)
			return false;
	}
	if (proto == htons(ETH_P_PPP_SES) && !read_pppoe(skb, frame, &proto))
		return false;
	if (proto == htons(ETH_P_IP))
		return read_ipv4(skb, frame, key) && read_ports(skb, frame, key);
	return proto == htons(ETH_P_IPV6) && read_ipv6(skb, frame, key) && read_ports(skb, frame, key);
}

/* Changes addresses and ports, and the checksums by the difference; a packet loses one of its hop limit. */
static void rewrite(struct sk_buff *skb, const struct card_frame *frame, const struct card_rule *rule)
{
	const struct card_tuple *from = &rule->key.tuple, *to = &rule->to;
	void *l3 = skb->data + frame->l3, *l4 = skb->data + frame->l4;
	bool udp = rule->key.l4proto == IPPROTO_UDP;
	__sum16 *check = udp ? &((struct udphdr *)l4)->check : &((struct tcphdr *)l4)->check;
	/* A datagram may have none, unless that is still to come: wires that are virtual leave it to whoever needs it. */
	__sum16 none = 0;

	if (udp && !*check && skb->ip_summed != CHECKSUM_PARTIAL)
		check = &none;

	if (rule->key.ipv6) {
		struct ipv6hdr *ip = l3;

		inet_proto_csum_replace16(check, skb, from->src.s6_addr32, to->src.s6_addr32, true);
		inet_proto_csum_replace16(check, skb, from->dst.s6_addr32, to->dst.s6_addr32, true);
		ip->saddr = to->src;
		ip->daddr = to->dst;
		ip->hop_limit--;
	} else {
		struct iphdr *ip = l3;

		inet_proto_csum_replace4(check, skb, ip->saddr, to->src.s6_addr32[3], true);
		inet_proto_csum_replace4(check, skb, ip->daddr, to->dst.s6_addr32[3], true);
		csum_replace4(&ip->check, ip->saddr, to->src.s6_addr32[3]);
		csum_replace4(&ip->check, ip->daddr, to->dst.s6_addr32[3]);
		ip->saddr = to->src.s6_addr32[3];
		ip->daddr = to->dst.s6_addr32[3];
		ip_decrease_ttl(ip);
	}
	inet_proto_csum_replace2(check, skb, from->ports[0], to->ports[0], false);
	inet_proto_csum_replace2(check, skb, from->ports[1], to->ports[1], false);
	memcpy(l4, to->ports, sizeof(to->ports));
	if (udp && check != &none && !*check)
		*check = CSUM_MANGLED_0;
}

static void push_pppoe(struct sk_buff *skb, const struct card_rule *rule)
{
	unsigned int length = skb->len;
	struct pppoe_hdr *pppoe = skb_push(skb, PPPOE_SES_HLEN);
	__be16 ppp = htons(rule->key.ipv6 ? PPP_IPV6 : PPP_IP);

	pppoe->ver = 1;
	pppoe->type = 1;
	pppoe->code = 0;
	pppoe->sid = htons(rule->sid);
	pppoe->length = htons(length + sizeof(ppp));
	memcpy(pppoe + 1, &ppp, sizeof(ppp));
	skb->protocol = htons(ETH_P_PPP_SES);
}

static void push_ethernet(struct sk_buff *skb, const struct card_rule *rule)
{
	struct ethhdr *eth = skb_push(skb, ETH_HLEN);

	memcpy(eth, rule->macs, sizeof(rule->macs));
	eth->h_proto = skb->protocol;
	skb_reset_mac_header(skb);
}

/* Whether the frame was sent. Consumes the skb either way. */
static bool transmit(struct sk_buff *skb, const struct card_frame *frame, const struct card_rule *rule)
{
	struct net_device *wire = rule->out->wire;

	if (skb->ip_summed != CHECKSUM_PARTIAL)
		skb->ip_summed = CHECKSUM_NONE;
	if (skb_ensure_writable(skb, min_t(unsigned int, frame->l4 + sizeof(struct tcphdr), skb->len)))
		goto drop;
	/* Short frames came with padding. */
	if (pskb_trim(skb, frame->l3 + frame->length))
		goto drop;
	rewrite(skb, frame, rule);

	skb_pull(skb, frame->l3);
	skb->protocol = htons(rule->key.ipv6 ? ETH_P_IPV6 : ETH_P_IP);
	if (skb_cow_head(skb, PPPOE_SES_HLEN + VLAN_HLEN + LL_RESERVED_SPACE(wire)))
		goto drop;
	if (rule->pppoe_push)
		push_pppoe(skb, rule);
	skb_reset_network_header(skb);
	if (rule->vlan_pop)
		__vlan_hwaccel_clear_tag(skb);
	if (rule->vlan_push)
		__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), rule->vid);
	push_ethernet(skb, rule);

	skb_clear_tstamp(skb);
	return card_send(rule->out, skb);

drop:
	kfree_skb(skb);
	return false;
}

/* How long a packet may be as it leaves: a VLAN's device may say less than its port. Under RCU. */
static unsigned int card_mtu(const struct card_rule *rule)
{
	const struct net_device *dev = rule->out->dev, *vlan = NULL;

	if (rule->vlan_push)
		vlan = __vlan_find_dev_deep_rcu(rule->out->dev, htons(ETH_P_8021Q), rule->vid);
	return READ_ONCE((vlan ?: dev)->mtu);
}

/* Whether the card took the frame, and with it the skb. Under RCU. */
bool card_forward(struct card_port *in, struct sk_buff *skb)
{
	struct card_frame frame;
	struct card_rule *rule;
	struct card_key key;
	unsigned int length;

	if (!read_frame(in, skb, &frame, &key))
		return false;
	rule = card_table_lookup(&key);
	if (!rule || READ_ONCE(card_bypass) || !card_has_link(rule->out))
		return false;
	/* Whoever sent it has to learn that it is too large. */
	length = frame.length + (rule->pppoe_push ? PPPOE_SES_HLEN : 0);
	if (length > card_mtu(rule))
		return false;

	if (!transmit(skb, &frame, rule)) {
		atomic64_inc(&card_counts.dropped);
		return true;
	}
	atomic64_inc(&card_counts.hits);
	atomic64_inc(&rule->packets);
	atomic64_add(frame.length, &rule->bytes);
	WRITE_ONCE(rule->used, jiffies);
	return true;
}
