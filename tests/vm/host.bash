# A boot of tests/vm/run: a machine to which its host says more than a disk and a command line do, by the
# tables of the machine (SMBIOS), variables of the firmware, and disks of its own. Sourced by tests/vm/run.
# shellcheck shell=bash disable=SC2154

# Disks of a host. Two would lie over a folder of the initrd, with a policy that gives the passphrase to a
# unit of the host's; one has what looks like the memory of another kernel.
make_host_disks() {
  local tree=$WORK/host name
  rm -rf "$tree"
  cp -r "$INITRD" "$tree"
  sed -i 's/^release-to = .*/release-to = [{ unit = "host.service" }]/' "$tree/policy.d/disk.toml"
  for name in host-credentials host-options; do
    rm -f "$DISKS/$name"
    truncate -s 8M "$DISKS/$name"
    mkfs.ext4 -q -F -L $name -O ^has_journal -d "$tree" "$DISKS/$name"
  done
  # The page of a swap area that the kernel reads before it resumes (kernel/power/swap.c): the image's first
  # sector, its flags, the signature that was there before, and its own. Whoever looks at it in earnest
  # writes the old one back first.
  rm -f "$DISKS/host-image"
  truncate -s 8M "$DISKS/host-image"
  {
    head -c 4064 /dev/zero
    printf '\x01\0\0\0\0\0\0\0\0\0\0\0SWAPSPACE2S1SUSPEND\0'
  } | dd of="$DISKS/host-image" conv=notrunc status=none
}

# NAME: a credential by SMBIOS, of what is on standard input.
credential() { printf ' -smbios type=11,value=io.systemd.credential.binary:%s=%s' "$1" "$(base64 -w0)"; }
# What systemd 257 would make of them: mounts, units, files, rules, a password.
host_credentials() {
  printf '/dev/disk/by-id/virtio-host-credentials /etc/vhsm ext4 rw 0 0\n' | credential fstab.extra.initrd
  printf '[Unit]\nDefaultDependencies=no\nConditionPathExists=/etc/initrd-release\n[Service]\nExecStart=/bin/sh -c "echo the unit of the host runs >/dev/kmsg"\n' |
    credential systemd.extra-unit.host.service
  printf '[Unit]\nWants=host.service\n' | credential systemd.unit-dropin.sysinit.target
  # A file that an initrd has and a system has not.
  printf 'C /run/of-the-host - - - - /etc/initrd-release\n' | credential tmpfiles.extra
  # shellcheck disable=SC2016
  printf '$1$host$host' | credential passwd.hashed-password.root
}
# WORDS: of a command line, by a variable of the firmware; variables are not measured into what the policy wants.
host_variables() { tests/vm/variables.py "$TOOLS/usr/share/OVMF/OVMF_VARS_4M.fd" "$WORK/variables" "$1"; }

untouched() { # DISK: nobody has mounted it
  local times
  times=$(dumpe2fs -h "$DISKS/$1" 2>/dev/null | sed -n 's/^Mount count: *//p')
  [ "$times" = 0 ] || { failed="it was mounted ${times:-an unknown number of} times"; return 1; }
}
unread() { # DISK: nobody took it for an image, or began to
  not_said '[Rr]esume from hibernation' || return 1
  [ "$(dd if="$DISKS/$1" bs=1 skip=4086 count=9 status=none)" = S1SUSPEND ] || { failed="the kernel took it for an image"; return 1; }
}

# Nothing of it is refused by the command line here: the initrd by itself takes nothing.
boot_host() {
  local line="${LINE% "$CLOSED"} resume=/dev/disk/by-id/virtio-host-image nitride.checks=booted,unharmed"
  [ "$line" != "$LINE" ] || return 1
  make_host_disks
  host_variables "rd.systemd.mount-extra=/dev/disk/by-id/virtio-host-options:/etc/nitride:ext4:rw"
  want_tpm "$WORK/initrd" "$line"
  variables=$WORK/variables start_machine host "$line" -kernel vmlinuz -initrd initrd "$(disk root)" "$(disk data)" \
    "$(lasting_disk host-credentials)" "$(lasting_disk host-options)" "$(lasting_disk host-image)" "$(host_credentials)"
  fill_service
  start_service
  check "it boots by its own policy, is looked into and powers off" await_end "$PATIENCE_SECS"
  check "a mount by a credential (fstab.extra.initrd) is not made" untouched host-credentials
  check "a mount by a variable (SystemdOptions) is not made" untouched host-options
  check "an image on the disk of resume= is not resumed" unread host-image
  check "a unit by a credential (systemd.extra-unit) does not run in the initrd" not_said "the unit of the host runs"
  check "nothing on the console takes input" is_closed
}
