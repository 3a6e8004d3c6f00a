// SPDX-License-Identifier: GPL-2.0
/*
 * Flowtables with `flags offload` on any device, as OpenWrt's kernels take them though no device can.
 *
 * The kernel asks those who offload for devices of others, as it asks nobody about a device whose own driver does. What
 * is taken here gets no rule: its flows stay in software, as on such a kernel.
 */
#include <linux/module.h>
#include <net/flow_offload.h>
#include <net/pkt_cls.h>

#include "card.h"

static int any_block(enum tc_setup_type type, void *data, void *priv)
{
	return -EOPNOTSUPP;
}

/* By its address the kernel finds what is to be taken back. */
static void any_unbound(void *priv)
{
}

static int any_setup(struct net_device *dev, struct Qdisc *sch, void *priv, enum tc_setup_type type, void *data,
		     void *table, void (*cleanup)(struct flow_block_cb *cb))
{
	struct flow_block_offload *block = data;
	struct flow_block_cb *cb;

	if (type != TC_SETUP_FT || !dev || !block || block->binder_type != FLOW_BLOCK_BINDER_TYPE_CLSACT_INGRESS)
		return -EOPNOTSUPP;
	switch (block->command) {
	case FLOW_BLOCK_BIND:
		cb = flow_indr_block_cb_alloc(any_block, dev, dev, any_unbound, block, dev, sch, table, priv, cleanup);
		if (IS_ERR(cb))
			return PTR_ERR(cb);
		flow_block_cb_add(cb, block);
		return 0;
	case FLOW_BLOCK_UNBIND:
		cb = flow_block_cb_lookup(block->block, any_block, dev);
		if (!cb)
			return -ENOENT;
		flow_indr_block_cb_remove(cb, block);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* accept_any=: the kernel does not change two parameters at once. */
static bool accept_any;

static int accept_any_set(const char *value, const struct kernel_param *param)
{
	bool wanted;
	int err = kstrtobool(value, &wanted);

	if (err || wanted == accept_any)
		return err;
	if (wanted)
		err = flow_indr_dev_register(any_setup, &accept_any);
	else
		flow_indr_dev_unregister(any_setup, &accept_any, any_unbound);
	if (!err)
		accept_any = wanted;
	return err;
}

static const struct kernel_param_ops accept_any_ops = { .set = accept_any_set, .get = param_get_bool };
module_param_cb(accept_any, &accept_any_ops, &accept_any, 0644);
MODULE_PARM_DESC(accept_any, "flowtables are taken for every device, as OpenWrt's kernels take them, and no rule is");

void card_any_exit(void)
{
	if (accept_any)
		flow_indr_dev_unregister(any_setup, &accept_any, any_unbound);
}
