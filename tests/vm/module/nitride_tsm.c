// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * A provider of configfs-tsm for tests: reports as SEV-SNP's, with everything in its place and no
 * signature, and the faults that a provider can have. Which one is a parameter that may be written
 * at any time.
 */
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/tsm.h>

#define REPORT_LEN 1184
#define TABLE_LEN 54

static char *fault = "none";
module_param(fault, charp, 0644);
MODULE_PARM_DESC(fault, "none, stale, empty, busy-once, busy, timed-out, stall or no-table");

static unsigned int floor;
module_param(floor, uint, 0444);

static bool was_busy;

static const u8 vcek[16] = { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64,
			     0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd };

static bool is(const char *name)
{
	/* A parameter that was written by echo ends with a line feed. */
	return sysfs_streq(fault, name);
}

static int report_new(struct tsm_report *report, void *data)
{
	struct tsm_desc *desc = &report->desc;
	u8 *out, *table;

	if (desc->inblob_len != 64)
		return -EINVAL;
	if (is("timed-out"))
		return -ETIMEDOUT;
	if (is("busy"))
		return -EBUSY;
	if (is("busy-once")) {
		was_busy = !was_busy;
		if (was_busy)
			return -EBUSY;
	}
	if (is("stall"))
		msleep_interruptible(3000);

	out = kvzalloc(REPORT_LEN, GFP_KERNEL);
	if (!out)
		return -ENOMEM;
	out[0x00] = 3;
	out[0x0a] = 3;
	out[0x30] = desc->privlevel;
	out[0x34] = 1;
	memcpy(out + 0x50, desc->inblob, 64);
	if (is("stale"))
		memset(out + 0x50, 0xaa, 64);
	memset(out + 0x90, 0x5e, 48);
	out[0x188] = 0x19;
	out[0x189] = 0x11;
	report->outblob = out;
	report->outblob_len = is("empty") ? 0 : REPORT_LEN;
	if (is("no-table"))
		return 0;

	/* One entry, the end of the list, six bytes of certificate. */
	table = kvzalloc(TABLE_LEN, GFP_KERNEL);
	if (!table)
		return -ENOMEM;
	memcpy(table, vcek, sizeof(vcek));
	table[16] = 48;
	table[20] = 6;
	memcpy(table + 48, "a vcek", 6);
	report->auxblob = table;
	report->auxblob_len = TABLE_LEN;
	return 0;
}

static bool attr_visible(int n)
{
	return n == TSM_REPORT_GENERATION || n == TSM_REPORT_PROVIDER ||
	       n == TSM_REPORT_PRIVLEVEL || n == TSM_REPORT_PRIVLEVEL_FLOOR;
}

static bool bin_attr_visible(int n)
{
	return n == TSM_REPORT_INBLOB || n == TSM_REPORT_OUTBLOB || n == TSM_REPORT_AUXBLOB;
}

static struct tsm_ops ops = {
	.name = "sev_guest",
	.report_new = report_new,
	.report_attr_visible = attr_visible,
	.report_bin_attr_visible = bin_attr_visible,
};

static int __init begin(void)
{
	ops.privlevel_floor = floor;
	return tsm_register(&ops, NULL);
}

static void __exit end(void)
{
	tsm_unregister(&ops);
}

module_init(begin);
module_exit(end);
MODULE_DESCRIPTION("A provider of configfs-tsm for tests");
MODULE_LICENSE("Dual MIT/GPL");
