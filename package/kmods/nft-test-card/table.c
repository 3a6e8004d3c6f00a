// SPDX-License-Identifier: GPL-2.0
/*
 * The card's table of rules, found by the frame and by the kernel's cookie.
 */
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "card.h"

#define TABLE_BITS	10

static DEFINE_HASHTABLE(by_key, TABLE_BITS);
static DEFINE_HASHTABLE(by_cookie, TABLE_BITS);
/* Held by whoever changes the table. */
static DEFINE_SPINLOCK(table_lock);

static u32 key_hash(const struct card_key *key)
{
	return jhash(key, sizeof(*key), 0);
}

static void remove_rule(struct card_rule *rule)
{
	lockdep_assert_held(&table_lock);
	hash_del_rcu(&rule->by_key);
	hash_del_rcu(&rule->by_cookie);
	atomic_dec(&card_counts.rules);
	kfree_rcu(rule, rcu);
}

/* Takes the rule over, unless it fails. */
int card_table_add(struct card_rule *rule)
{
	int err = 0;

	spin_lock(&table_lock);
	if (rule->in->gone || rule->out->gone) {
		err = -ENODEV;
	} else if (card_table_find(rule->binding, rule->cookie)) {
		err = -EEXIST;
	} else if (atomic_read(&card_counts.rules) >= card_table_size) {
		atomic64_inc(&card_counts.full);
		err = -ENOSPC;
	} else {
		/* In front: a flow that came back counts before what is left of the old one. */
		hash_add_rcu(by_key, &rule->by_key, key_hash(&rule->key));
		hash_add_rcu(by_cookie, &rule->by_cookie, rule->cookie);
		atomic_inc(&card_counts.rules);
	}
	spin_unlock(&table_lock);
	return err;
}

bool card_table_remove(const struct card_binding *binding, unsigned long cookie)
{
	struct card_rule *rule;

	spin_lock(&table_lock);
	rule = card_table_find(binding, cookie);
	if (rule)
		remove_rule(rule);
	spin_unlock(&table_lock);
	return rule;
}

/* Removes the rules of a flowtable. */
void card_table_release(const struct card_binding *binding)
{
	struct hlist_node *next;
	struct card_rule *rule;
	int bucket;

	spin_lock(&table_lock);
	hash_for_each_safe(by_key, bucket, next, rule, by_key)
		if (rule->binding == binding)
			remove_rule(rule);
	spin_unlock(&table_lock);
}

/* Removes the rules of frames that come in on a port or leave by it, and takes no more of them. */
void card_table_flush(struct card_port *port)
{
	struct hlist_node *next;
	struct card_rule *rule;
	int bucket;

	spin_lock(&table_lock);
	port->gone = true;
	hash_for_each_safe(by_key, bucket, next, rule, by_key)
		if (rule->in == port || rule->out == port)
			remove_rule(rule);
	spin_unlock(&table_lock);
}

/* Under RCU, or with the table locked. */
struct card_rule *card_table_find(const struct card_binding *binding, unsigned long cookie)
{
	struct card_rule *rule;

	hash_for_each_possible_rcu(by_cookie, rule, by_cookie, cookie, lockdep_is_held(&table_lock))
		if (rule->cookie == cookie && rule->binding == binding)
			return rule;
	return NULL;
}

/* Under RCU. */
struct card_rule *card_table_lookup(const struct card_key *key)
{
	struct card_rule *rule;

	hash_for_each_possible_rcu(by_key, rule, by_key, key_hash(key))
		if (memcmp(&rule->key, key, sizeof(*key)) == 0)
			return rule;
	return NULL;
}

static void show_tuple(struct seq_file *seq, const struct card_tuple *tuple, bool ipv6)
{
	const char *form = ipv6 ? "%pI6:%u->%pI6:%u" : "%pI4:%u->%pI4:%u";
	int at = ipv6 ? 0 : 3;

	seq_printf(seq, form, &tuple->src.s6_addr32[at], ntohs(tuple->ports[0]),
		   &tuple->dst.s6_addr32[at], ntohs(tuple->ports[1]));
}

/* In the form of mtk_ppe's file of the same name, with what there are bits of a register for in words. */
int card_table_show(struct seq_file *seq, void *unused)
{
	struct card_rule *rule;
	int bucket;

	rcu_read_lock();
	hash_for_each_rcu(by_key, bucket, rule, by_key) {
		seq_printf(seq, "%05x BND %s 5T orig=", bucket, rule->key.ipv6 ? "IPv6" : "IPv4");
		show_tuple(seq, &rule->key.tuple, rule->key.ipv6);
		seq_puts(seq, " new=");
		show_tuple(seq, &rule->to, rule->key.ipv6);
		seq_printf(seq, " eth=%pM->%pM proto=%s in=%s out=%s vlan=%u,%u pppoe=%u packets=%lld bytes=%lld\n",
			   rule->macs + ETH_ALEN, rule->macs,
			   rule->key.l4proto == IPPROTO_TCP ? "tcp" : "udp",
			   rule->in->dev->name, rule->out->dev->name, rule->key.vid, rule->vid, rule->sid,
			   atomic64_read(&rule->packets), atomic64_read(&rule->bytes));
	}
	rcu_read_unlock();
	return 0;
}
