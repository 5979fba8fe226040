// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * A provider of configfs-tsm for tests: reports as SEV-SNP's, with everything in its place and no
 * signature, and the faults that a provider can have. Which one is a parameter that may be written
 * at any time. With forward=1 whoever has /dev/nitride_tsm open makes the reports: it reads 64 bytes,
 * and writes a report with its table of certificates.
 */
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/tsm.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#define REPORT_LEN 1184
#define TABLE_LEN 54
#define ANSWER_MAX 65536
#define PATIENCE (30 * HZ)

static char *fault = "none";
module_param(fault, charp, 0644);
MODULE_PARM_DESC(fault, "none, stale, empty, busy-once, busy, timed-out, stall or no-table");

static unsigned int floor;
module_param(floor, uint, 0444);

static bool forward;
module_param(forward, bool, 0444);

static bool was_busy;

/* One at a time: configfs-tsm asks under a lock of its own. */
static enum { IDLE, ASKED, TAKEN, ANSWERED } state;
static DECLARE_WAIT_QUEUE_HEAD(changed);
static u8 asked[64];
static u8 *answer;
static size_t answer_len;

static const u8 vcek[16] = { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64,
			     0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd };

static bool is(const char *name)
{
	/* A parameter that was written by echo ends with a line feed. */
	return sysfs_streq(fault, name);
}

static ssize_t take(struct file *file, char __user *to, size_t len, loff_t *at)
{
	if (len < sizeof(asked))
		return -EINVAL;
	if (wait_event_interruptible(changed, state == ASKED))
		return -ERESTARTSYS;
	if (copy_to_user(to, asked, sizeof(asked)))
		return -EFAULT;
	state = TAKEN;
	return sizeof(asked);
}

static ssize_t give(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	u8 *copy;

	if (state != TAKEN || len <= REPORT_LEN || len > ANSWER_MAX)
		return -EINVAL;
	copy = vmemdup_user(from, len);
	if (IS_ERR(copy))
		return PTR_ERR(copy);
	answer = copy;
	answer_len = len;
	state = ANSWERED;
	wake_up_all(&changed);
	return len;
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE,
	.read = take,
	.write = give,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "nitride_tsm",
	.fops = &device_operations,
	.mode = 0600,
};

static int report_forwarded(struct tsm_report *report)
{
	u8 *out, *table;
	size_t table_len;

	memcpy(asked, report->desc.inblob, sizeof(asked));
	state = ASKED;
	wake_up_all(&changed);
	if (!wait_event_timeout(changed, state == ANSWERED, PATIENCE)) {
		state = IDLE;
		return -ETIMEDOUT;
	}
	state = IDLE;
	table_len = answer_len - REPORT_LEN;
	out = kvzalloc(REPORT_LEN, GFP_KERNEL);
	table = kvzalloc(table_len, GFP_KERNEL);
	if (!out || !table) {
		kvfree(out);
		kvfree(table);
		kvfree(answer);
		return -ENOMEM;
	}
	memcpy(out, answer, REPORT_LEN);
	memcpy(table, answer + REPORT_LEN, table_len);
	kvfree(answer);
	report->outblob = out;
	report->outblob_len = REPORT_LEN;
	report->auxblob = table;
	report->auxblob_len = table_len;
	return 0;
}

static int report_new(struct tsm_report *report, void *data)
{
	struct tsm_desc *desc = &report->desc;
	u8 *out, *table;

	if (desc->inblob_len != 64)
		return -EINVAL;
	if (forward)
		return report_forwarded(report);
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
	int err;

	ops.privlevel_floor = floor;
	if (forward) {
		err = misc_register(&device);
		if (err)
			return err;
	}
	err = tsm_register(&ops, NULL);
	if (err && forward)
		misc_deregister(&device);
	return err;
}

static void __exit end(void)
{
	tsm_unregister(&ops);
	if (forward)
		misc_deregister(&device);
}

module_init(begin);
module_exit(end);
MODULE_DESCRIPTION("A provider of configfs-tsm for tests");
MODULE_LICENSE("Dual MIT/GPL");
