// SPDX-License-Identifier: GPL-2.0
/*
 * The module: its parameters, and what debugfs shows.
 *
 * Every parameter can be changed while rules are there; what was decided before stays so.
 */
#include <linux/debugfs.h>
#include <linux/in.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <net/rtnetlink.h>

#include "card.h"

unsigned int card_table_size = 4096;
module_param_named(table_size, card_table_size, uint, 0644);
MODULE_PARM_DESC(table_size, "how many rules the table holds; a flow needs two");

bool card_bypass;
module_param_named(bypass, card_bypass, bool, 0644);
MODULE_PARM_DESC(bypass, "rules are taken and kept, and every frame goes up all the same");

unsigned int card_stats_delay;
module_param_named(stats_delay, card_stats_delay, uint, 0644);
MODULE_PARM_DESC(stats_delay, "milliseconds between two reports of a rule's counters");

/* offload= */

static const char *const offload_words[] = {
	[CARD_OFFLOAD_FULL] = "full",
	[CARD_OFFLOAD_ACCEPT] = "accept",
	[CARD_OFFLOAD_NONE] = "none",
};

enum card_offload card_offload = CARD_OFFLOAD_FULL;

static int offload_set(const char *value, const struct kernel_param *param)
{
	int word = sysfs_match_string(offload_words, value);

	if (word < 0)
		return word;
	card_offload = word;
	return 0;
}

static int offload_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%s\n", offload_words[card_offload]);
}

static const struct kernel_param_ops offload_ops = { .set = offload_set, .get = offload_get };
module_param_cb(offload, &offload_ops, NULL, 0644);
MODULE_PARM_DESC(offload, "what ports made from now on do with flowtables: full, accept (and take no rule), none");

/* refuse= */

static const char *const refuse_words[] = { "all", "ipv4", "ipv6", "tcp", "udp" };

enum { REFUSE_ALL, REFUSE_IPV4, REFUSE_IPV6, REFUSE_TCP, REFUSE_UDP };

#define REFUSE_FROM	"from:"

static struct {
	unsigned long words;
	char from[IFNAMSIZ];
} refuse;
static DEFINE_SPINLOCK(refuse_lock);

static int refuse_set(const char *value, const struct kernel_param *param)
{
	unsigned long words = 0;
	char from[IFNAMSIZ] = "";
	char *copy, *rest, *word;
	int err = 0;

	copy = kstrdup(value, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	rest = strim(copy);
	while (!err && (word = strsep(&rest, ",")) != NULL) {
		int index = match_string(refuse_words, ARRAY_SIZE(refuse_words), word);

		if (index >= 0)
			__set_bit(index, &words);
		else if (str_has_prefix(word, REFUSE_FROM) &&
			 strscpy(from, word + strlen(REFUSE_FROM), sizeof(from)) > 0)
			continue;
		else if (*word)
			err = -EINVAL;
	}
	kfree(copy);
	if (err)
		return err;

	spin_lock(&refuse_lock);
	refuse.words = words;
	memcpy(refuse.from, from, sizeof(from));
	spin_unlock(&refuse_lock);
	return 0;
}

static int refuse_get(char *buffer, const struct kernel_param *param)
{
	const char *comma = "";
	int index, length = 0;

	spin_lock(&refuse_lock);
	for_each_set_bit(index, &refuse.words, ARRAY_SIZE(refuse_words)) {
		length += sysfs_emit_at(buffer, length, "%s%s", comma, refuse_words[index]);
		comma = ",";
	}
	if (refuse.from[0])
		length += sysfs_emit_at(buffer, length, "%s" REFUSE_FROM "%s", comma, refuse.from);
	spin_unlock(&refuse_lock);
	length += sysfs_emit_at(buffer, length, "\n");
	return length;
}

static const struct kernel_param_ops refuse_ops = { .set = refuse_set, .get = refuse_get };
module_param_cb(refuse, &refuse_ops, NULL, 0644);
MODULE_PARM_DESC(refuse, "rules that are refused, words with commas: all, ipv4, ipv6, tcp, udp, from:PORT");

bool card_refuses(const struct net_device *in, bool ipv6, u8 l4proto)
{
	unsigned long words;
	bool from;

	spin_lock(&refuse_lock);
	words = refuse.words;
	from = strcmp(refuse.from, in->name) == 0;
	spin_unlock(&refuse_lock);
	return from || words & BIT(REFUSE_ALL) || words & BIT(ipv6 ? REFUSE_IPV6 : REFUSE_IPV4) ||
	       words & BIT(l4proto == IPPROTO_TCP ? REFUSE_TCP : REFUSE_UDP);
}

/* debugfs */

struct card_counts card_counts;

DEFINE_SHOW_ATTRIBUTE(card_table);

static int card_counts_show(struct seq_file *seq, void *unused)
{
	seq_printf(seq, "rules=%d hits=%lld dropped=%lld misses=%lld refused=%lld full=%lld\n",
		   atomic_read(&card_counts.rules), atomic64_read(&card_counts.hits),
		   atomic64_read(&card_counts.dropped), atomic64_read(&card_counts.misses),
		   atomic64_read(&card_counts.refused), atomic64_read(&card_counts.full));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(card_counts);

static struct dentry *card_debugfs;
static struct dentry *card_table_debugfs;

/*
 * As mediatek's driver shows its table, which is how others find it; a card that cannot offload has none. Called for
 * every port that comes (or goes), under RTNL.
 */
void card_show_table(bool show)
{
	static unsigned int ports;

	if (show && !ports++) {
		card_table_debugfs = debugfs_create_dir("ppe0", NULL);
		debugfs_create_file("bind", 0444, card_table_debugfs, NULL, &card_table_fops);
	} else if (!show && !--ports) {
		debugfs_remove_recursive(card_table_debugfs);
	}
}

static int __init card_init(void)
{
	int err;

	err = register_netdevice_notifier(&card_notifier);
	if (err)
		goto no_notifier;
	err = rtnl_link_register(&card_link_ops);
	if (err)
		goto no_link;
	/* Whether that works nobody needs to know. */
	card_debugfs = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("counts", 0444, card_debugfs, NULL, &card_counts_fops);
	return 0;

no_link:
	unregister_netdevice_notifier(&card_notifier);
no_notifier:
	card_any_exit();
	return err;
}

static void __exit card_exit(void)
{
	/* Every port goes, and with it its rules and its part in flowtables. */
	rtnl_link_unregister(&card_link_ops);
	unregister_netdevice_notifier(&card_notifier);
	card_any_exit();
	debugfs_remove_recursive(card_debugfs);
	/* Rules are freed by kfree_rcu(), which needs nothing of this module. */
}

module_init(card_init);
module_exit(card_exit);

MODULE_DESCRIPTION("A network card for tests that offloads flows, stacked on others");
MODULE_LICENSE("GPL");
MODULE_ALIAS_RTNL_LINK(CARD_NAME);
