# What machines boot: a root of Debian 13 with Nitride in it, disks, initrds. Sourced by tests/vm/run.
# shellcheck shell=bash disable=SC2154

readonly TOOLS_PACKAGES=linux-image-cloud-amd64,linux-headers-cloud-amd64,qemu-system-x86,gcc,make,kmod,cpio,xz-utils,ovmf,swtpm
readonly GUEST_PACKAGES=systemd,systemd-sysv,systemd-cryptsetup,udev,dbus,cryptsetup-bin,dracut,dracut-network,kmod,iproute2,procps,e2fsprogs,zstd,libtss2-esys-3.0.2-0t64,libtss2-tctildr0t64,libtss2-tcti-device0t64
GUEST=$WORK/guest
INITRD=$GUEST/etc/nitride/initrd
readonly DISKS=$WORK/disks
readonly ROOT_UUID=6e697472-6964-4e65-8000-000000000001
# Twice what is in it.
readonly ROOT_MIB=400
readonly DATA_UUID=6e697472-6964-4e65-8000-000000000002
kernel=""
building=""

# FOLDER PACKAGES [OPTIONS...]: makes it once; the next run finds it.
make_root() {
  [ ! -d "$1" ] || return 0
  local root=$1 packages=$2 new
  shift 2
  mkdir -p "$(dirname "$root")"
  new=$(mktemp -d "$root.XXXXXX")
  mmdebstrap --quiet --variant=minbase --include="$packages" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' "$@" trixie "$new" ||
    { rm -rf --one-file-system "$new"; return 1; }
  mv "$new" "$root"
}
# What initramfs-tools needs lies in it and is not installed: it does not go with dracut.
make_guest_root() {
  # shellcheck disable=SC2016
  make_root "$CACHE/guest" $GUEST_PACKAGES \
    --customize-hook='APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get clean' \
    --customize-hook='APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get install -qq -y --no-install-recommends --download-only initramfs-tools-core busybox' \
    --customize-hook='mkdir -p "$1/srv/initramfs" && mv "$1"/var/cache/apt/archives/*.deb "$1/srv/initramfs/"'
}

# Kernel, headers, compiler, QEMU.
make_tools() {
  make_root "$TOOLS" $TOOLS_PACKAGES
  # A folder of an earlier version lacks some of it.
  if [ ! -e "$TOOLS/usr/share/OVMF/OVMF_CODE_4M.fd" ] || [ ! -e "$TOOLS/usr/bin/swtpm" ]; then
    cp /etc/resolv.conf "$TOOLS/etc/resolv.conf"
    with_tools "apt-get update -qq && apt-get install -qq -y --no-install-recommends ovmf swtpm" >"$WORK/tools.log" 2>&1 ||
      { cat "$WORK/tools.log" >&2; return 1; }
  fi
  kernel=$(cd "$TOOLS/lib/modules" && echo *)
  cp "$TOOLS/boot/vmlinuz-$kernel" "$WORK/vmlinuz"
}

in_guest() { # COMMAND...: with the kernel's file systems, which go with it
  unshare --mount --fork sh -ec 'root=$1; shift
    mount -t proc proc "$root/proc"; mount -t sysfs sysfs "$root/sys"; mount --rbind /dev "$root/dev"
    exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"' - "$GUEST" "$@"
}

make_guest() {
  rm -rf --one-file-system "$GUEST"
  cp -a "$CACHE/guest" "$GUEST"
  mkdir -p "$GUEST/lib/modules"
  cp -a "$TOOLS/lib/modules/$kernel" "$GUEST/lib/modules/"
  rm -rf "$GUEST/lib/modules/$kernel/build" "$GUEST/lib/modules/$kernel/source"
  # What only takes time in a machine that lives for minutes.
  for unit in ldconfig systemd-journal-catalog-update e2scrub_reap systemd-binfmt systemd-update-utmp \
    systemd-hwdb-update console-getty getty@ serial-getty@ systemd-journal-flush; do
    ln -sf /dev/null "$GUEST/etc/systemd/system/$unit.service"
  done
  ln -sf /dev/null "$GUEST/etc/systemd/system/e2scrub_all.timer"
  touch "$GUEST/etc/.updated" "$GUEST/var/.updated"
  printf 'nitride-vm\n' >"$GUEST/etc/hostname"
  : >"$GUEST/etc/machine-id"
  printf '[Journal]\nRateLimitBurst=0\nStorage=volatile\n' >"$GUEST/etc/systemd/journald.conf"
  printf '/dev/mapper/root / ext4 defaults 0 0\n' >"$GUEST/etc/fstab"
  mkdir -p "$GUEST/etc/systemd/network"
  printf '[Match]\nType=ether\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n' >"$GUEST/etc/systemd/network/80-dhcp.network"
  in_guest systemctl enable -q systemd-networkd
}

# The packages of this checkout, or those of NITRIDE_VM_PACKAGES. They take minutes of which the
# network's share is another's: so they begin before the roots.
build_packages() {
  [ -z "${NITRIDE_VM_PACKAGES:-}" ] || return 0
  packaging/build --debs "$WORK/packages" >"$WORK/build.log" 2>&1 &
  building=$!
}
stop_building() {
  [ -z "$building" ] || kill "$building" 2>/dev/null || true
}
# What runs on this machine comes out of them as well.
unpack_packages() {
  local packages=${NITRIDE_VM_PACKAGES:-$WORK/packages} package
  if [ -n "$building" ]; then
    wait "$building" || { tail -n 20 "$WORK/build.log" >&2; return 1; }
    building=""
  fi
  rm -rf "$BIN" "$WORK/unpacked"
  for package in "$packages"/nitride{,-provisiond}_*.deb; do
    dpkg-deb -x "$package" "$WORK/unpacked"
  done
  mkdir "$BIN"
  mv "$WORK"/unpacked/usr/bin/* "$WORK/unpacked/usr/libexec/nitride-quote" "$BIN/"
}
install_nitride() {
  mkdir -p "$GUEST/srv/packages"
  cp "${NITRIDE_VM_PACKAGES:-$WORK/packages}"/nitride{,-dracut,-initramfs}_*.deb "$GUEST/srv/packages/"
  in_guest sh -ec 'dpkg -i /srv/packages/nitride_*.deb /srv/packages/nitride-dracut_*.deb' >"$WORK/install.log" 2>&1 ||
    { cat "$WORK/install.log" >&2; return 1; }
}

# The system's own configuration, and what the initrd's has in common with it.
configure_guest() {
  local port folder
  port=$(cat "$SERVICE/port")
  rm -rf "$INITRD"
  mkdir -p "$GUEST/etc/vhsm/policy.d"
  cp -r examples/config/initrd "$INITRD"
  cp "$SERVICE/owner.pub" "$INITRD/"
  cp "$SERVICE/owner.pub" "$GUEST/etc/vhsm/"
  cp "$INITRD/quote.toml" "$GUEST/etc/nitride/quote.toml"
  cp "$INITRD/agent.toml" "$GUEST/etc/nitride/agent.toml"
  for folder in "$INITRD" "$GUEST/etc/nitride"; do
    cp "$SERVICE/tls.pem" "$folder/ca.pem"
    sed -i "s|https://provision.example:8443|https://10.0.2.2:$port|" "$folder/agent.toml"
  done
  sed -e 's/phase = "initrd"/phase = "system"/' -e 's|/etc/nitride/owner.pub|/etc/vhsm/owner.pub|' -e '/^\[\[disk-key\]\]/,$d' "$INITRD/vhsmd.toml" >"$GUEST/etc/vhsm/vhsmd.toml"
  cat tests/vm/guest/vhsmd.toml >>"$GUEST/etc/vhsm/vhsmd.toml"
  cp tests/vm/guest/policy.toml "$GUEST/etc/vhsm/policy.d/vm.toml"
  install -m 755 tests/vm/guest/check "$GUEST/usr/local/bin/nitride-vm-check"
  install -m 644 tests/vm/guest/check.service "$GUEST/etc/systemd/system/nitride-vm-check.service"
  # For the doctor, who has the vault give a passphrase as a boot would.
  in_guest systemctl enable -q vhsmd nitride-agent nitride-vm-check vhsm-disk@root.socket vhsm-disk@data.socket
}

# The example's set with its three lines changed, and a second volume by the same fetch.
configure_initrd() {
  sed -i 's|^device = .*|device = "/dev/disk/by-id/virtio-root"|' "$INITRD/unlock.toml"
  printf '\n[[volume]]\nname = "data"\ndevice = "/dev/disk/by-id/virtio-data"\nexpect = ["%s"]\n' \
    "$(expectation data "$DISKS/data")" >>"$INITRD/unlock.toml"
  printf '\n[[disk-key]]\nvolume = "data"\nsocket = "/run/cryptsetup-keys.d/data.key"\nkey = "disk/root"\n' >>"$INITRD/vhsmd.toml"
  sed -i 's/^release-to = .*/release-to = [{ volume = "root" }, { volume = "data" }]/' "$INITRD/policy.d/disk.toml"
}

# NAME UUID FOLDER MIB: a volume with these files, encrypted where it lies: there is no device mapper.
encrypt() {
  local at=$DISKS/$1
  mkdir -p "$DISKS"
  truncate -s "$4M" "$at"
  mkfs.ext4 -q -F -L "$1" -m 0 -O ^has_journal -d "$3" "$at"
  truncate -s +32M "$at"
  # So few iterations are for tests, whose processor is interpreted.
  cryptsetup reencrypt --encrypt -q --type luks2 --reduce-device-size 32M --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
    --resilience none --cipher aes-xts-plain64 --key-size 512 --key-file "$SERVICE/passphrase" --uuid "$2" "$at"
}
# NAME DEVICE: what nitride-unlock expects of it, in the form of an envelope.
expectation() {
  printf '[[volume]]\nname = "%s"\ndevice = "%s"\ndanger-any-header = true\n' "$1" "$2" >"$WORK/unlock.toml"
  "$BIN/nitride-unlock" --config "$WORK/unlock.toml" status "$1" | grep -o 'luks2:[^" ]*' | head -1
}

make_disks() {
  local defect
  rm -rf "$DISKS" "$WORK/data"
  mkdir "$WORK/data"
  echo "what is on the second volume" >"$WORK/data/file"
  encrypt data $DATA_UUID "$WORK/data" 16
  configure_initrd
  # What the system tries of headers that a host has changed.
  for defect in null-cipher extra-segment reencrypt-flag other-uuid; do
    printf '[[volume]]\nname = "%s"\ndevice = "/dev/disk/by-id/virtio-%s"\nexpect = ["%s"]\npassphrases = ["data"]\n' \
      $defect $defect "$(expectation data "$DISKS/data")"
  done >"$GUEST/etc/nitride/hostile.toml"
  encrypt root $ROOT_UUID "$GUEST" "$ROOT_MIB"
}

# What a machine has below /boot: its next initrd, and the same with what a host might put before it.
make_boot_disk() {
  local folder=$WORK/boot added=$WORK/added generators=usr/lib/systemd/system-generators
  rm -rf "$folder" "$added" "$DISKS/boot"
  mkdir -p "$folder" "$added/$generators"
  printf '#!/bin/sh\n' >"$added/$generators/systemd-debug-generator"
  with_tools "cd added && find usr | cpio --quiet -o -H newc >../boot/changed"
  cat "$WORK/initrd" >>"$folder/changed"
  cp "$WORK/initrd" "$folder/initrd"
  truncate -s 100M "$DISKS/boot"
  mkfs.ext4 -q -F -L boot -O ^has_journal -d "$folder" "$DISKS/boot"
  rm -r "$folder" "$added"
}

make_initrd() { # NAME [OPTIONS of dracut...]
  local name=$1
  shift
  in_guest dracut --force --quiet --no-hostonly --no-hostonly-cmdline --reproducible --zstd \
    --add "systemd-networkd nitride" --omit "plymouth lvm mdraid multipath nvdimm bluetooth iscsi nfs ssh-client network-manager network-legacy i18n" \
    --kver "$kernel" "$@" "/boot/$name" >"$WORK/$name.log" 2>&1 || { tail -n 20 "$WORK/$name.log" >&2; return 1; }
  mv "$GUEST/boot/$name" "$WORK/$name"
}

# The same by initramfs-tools, of which all but the package that dracut stands for goes beside it.
make_initramfs() {
  in_guest sh -ec "
    dpkg -i /srv/initramfs/*.deb /srv/packages/nitride-initramfs_*.deb
    printf 'MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\nBUSYBOX=auto\nRESUME=none\n' >/etc/initramfs-tools/conf.d/vm
    mkinitramfs -o /boot/initramfs $kernel" >"$WORK/initramfs.log" 2>&1 || { tail -n 20 "$WORK/initramfs.log" >&2; return 1; }
  mv "$GUEST/boot/initramfs" "$WORK/initramfs.initrd"
}
