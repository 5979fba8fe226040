# Boots of tests/vm/run: evidence through the kernel's own configfs-tsm, signed by a chip of the test's
# that lies outside the machine, and keys that cross into a root that dm-verity protects, or dm-integrity.
# Sourced by tests/vm/run.
# shellcheck shell=bash disable=SC2154

readonly CHIP=$WORK/chip
readonly KEPT_MIB=300
readonly KEPT_LINE="console=ttyS0 ro panic=-1 systemd.show_status=1 $CLOSED"
chip=""

stop_chip() {
  if [ -n "$chip" ]; then
    kill "$chip" 2>/dev/null || true
    wait "$chip" 2>/dev/null || true
    chip=""
  fi
}
# It draws its roots, says what policy wants it, and waits for a machine.
start_chip() {
  cargo build --quiet -p nitride-vm --bin nitride-vm-chip
  rm -rf "$CHIP"
  mkdir -p "$CHIP"
  target/debug/nitride-vm-chip "$CHIP" >"$CHIP/log" 2>&1 &
  chip=$!
  for _ in $(seq 600); do
    [ -S "$CHIP/chip" ] && return 0
    kill -0 "$chip" 2>/dev/null || break
    sleep 0.1
  done
  failed="no chip: $(tail -n 1 "$CHIP/log")"
  return 1
}

# A copy of the image, what it has beside that of the other boots, and what it has differently.
make_kept_image() (
  extra=$WORK/extra
  rm -rf --one-file-system "$extra" "$WORK/kept"
  cp -a "$GUEST" "$WORK/kept"
  GUEST=$WORK/kept
  INITRD=$GUEST/etc/nitride/initrd
  install -D -m 755 -t "$extra/usr/lib/nitride-vm" tests/vm/guest/chip/forward
  install -m 644 "$WORK/module/nitride_tsm.ko" "$CHIP/answer-len" "$extra/usr/lib/nitride-vm/"
  install -D -m 644 -t "$extra/usr/lib/systemd/system" tests/vm/guest/chip/nitride-vm-chip.service
  mkdir "$extra/usr/lib/systemd/system/vhsmd.service.wants"
  ln -s ../nitride-vm-chip.service "$extra/usr/lib/systemd/system/vhsmd.service.wants/"
  cp -a "$extra/." "$GUEST/"
  cp -a "$extra" "$GUEST/srv/extra"
  for own in "$INITRD" "$GUEST/etc/nitride"; do
    sed -i -e '/^\[tpm\]/,$d' -e 's/^tee = .*/tee = "snp"/' "$own/quote.toml"
    printf '[snp]\ninterface = "configfs-tsm"\n' >>"$own/quote.toml"
  done
  for own in "$INITRD/vhsmd.toml" "$GUEST/etc/vhsm/vhsmd.toml"; do
    sed -i -e 's/^tee = .*/tee = "snp"/' -e 's/^phase = .*/across-switch-root = "keep"/' "$own"
  done
  # The initrd opens one volume, and the system another by the key that came over.
  sed -i '/^\[\[disk-key\]\]/,$d' "$INITRD/vhsmd.toml"
  printf '[[disk-key]]\nvolume = "data"\nkey = "disk/root"\n' >>"$INITRD/vhsmd.toml"
  sed -i '/^\[\[volume\]\]/,$d' "$INITRD/unlock.toml"
  # Which volume it is, says the envelope: one of the two that are booted by this initrd is not made yet.
  printf '[[volume]]\nname = "data"\ndevice = "/dev/disk/by-id/virtio-data"\ndanger-any-header = true\n' >>"$INITRD/unlock.toml"
  volume_toml data more | sed 's/^name = .*/name = "more"/; s/virtio-data/virtio-more/' >"$GUEST/etc/nitride/unlock.toml"
  for own in "$INITRD/policy.d/disk.toml" "$GUEST/etc/vhsm/policy.d/disk.toml"; do
    sed 's/^release-to = .*/release-to = [{ volume = "data" }, { volume = "more" }]/' examples/config/initrd/policy.d/disk.toml >"$own"
  done
  # No doctor asks there; a volume has one key.
  sed -i '/^\[\[disk-key\]\]/,$d' "$GUEST/etc/vhsm/vhsmd.toml"
  sed -i "/^# The initrd's passphrase/,\$d" "$GUEST/etc/vhsm/policy.d/vm.toml"
  printf '[[disk-key]]\nvolume = "more"\nkey = "disk/root"\n' >>"$GUEST/etc/vhsm/vhsmd.toml"
  in_guest systemctl disable -q vhsm-disk@root.socket vhsm-disk@data.socket
  in_guest systemctl enable -q vhsm-disk@more.socket
  printf 'tmpfs /var tmpfs defaults 0 0\n' >"$GUEST/etc/fstab"
  cp "$DISKS/data" "$DISKS/more"
  rm -f "$DISKS/verity"
  truncate -s "${KEPT_MIB}M" "$DISKS/verity"
  mkfs.ext4 -q -F -b 4096 -L verity -m 0 -O ^has_journal -d "$GUEST" "$DISKS/verity"
  make_initrd kept.initrd --add systemd-veritysetup --include /srv/extra / --install "dd modprobe insmod sleep"
)
volume_toml() { # NAME PASSPHRASE
  printf '[[volume]]\nname = "%s"\ndevice = "/dev/disk/by-id/virtio-%s"\nexpect = ["%s"]\npassphrases = ["%s"]\n' \
    "$1" "$1" "$(expectation "$1" "$DISKS/$1")" "$2"
}

boot_kept() {
  local line
  [ -e "$WORK/module/nitride_tsm.ko" ] || make_module
  start_chip || return 1
  make_kept_image
  # What the next boot has its root on; the machine finds its volume key, and no other.
  rm -f "$DISKS/integrity" "$DISKS/integrity.new"
  truncate -s $((KEPT_MIB + 48))M "$DISKS/integrity.new"
  line="$KEPT_LINE root=/dev/mapper/root nitride.checks=verity,kept,keys_after_the_switch,copied"
  line+=" roothash=$(veritysetup format "$DISKS/verity" "$DISKS/hash" | sed -n 's/^Root hash:[[:space:]]*//p')"
  line+=" systemd.verity_root_data=/dev/disk/by-id/virtio-verity systemd.verity_root_hash=/dev/disk/by-id/virtio-hash"
  kept_machine kept "$line" "$(disk verity)" "$(disk hash)" "$(disk data)" "$(lasting_disk integrity.new integrity)"
  check "vhsmd kept its keys because of dm-verity" says 'protection="verity" keys_kept=true'
  share data
  # What was made there opens by the service's passphrase from now on.
  cryptsetup luksAddKey -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file <(printf 'for a moment') \
    "$DISKS/integrity.new" "$SERVICE/passphrase" &&
    cryptsetup luksKillSlot -q --key-file "$SERVICE/passphrase" "$DISKS/integrity.new" 0 &&
    mv "$DISKS/integrity.new" "$DISKS/integrity"
}
# BOOT LINE DISK...: a machine with the chip, whose initrd opens the volume "data" and whose system "more".
kept_machine() {
  local name=$1 line=$2
  shift 2
  cp "$CHIP/attestation.toml" "$SERVICE/"
  rm -rf "$SERVICE/collateral"
  cp -r "$CHIP/collateral" "$SERVICE/"
  start_machine "$name" "$line" -kernel vmlinuz -initrd kept.initrd "$@" "$(disk more)" \
    -chardev socket,id=chip,path=chip/chip -device virtserialport,chardev=chip,name=chip
  fill_service
  start_service
  check "it boots, is looked into and powers off" await_end "$PATIENCE_SECS"
  check "the evidence is the chip's" attested snp
  check "the initrd's key was fetched once, and kept" released disk/secret/root 1
  check "nothing on the console takes input" is_closed
  stop_chip
}

# The same image on a volume whose every sector is authentic: made in the boot before, since that takes a
# device mapper.
boot_integrity() {
  [ -e "$DISKS/integrity" ] || run_boot kept
  [ -e "$DISKS/integrity" ] || { failed="no volume was made"; boot=$WORK/boots/integrity; mkdir -p "$boot"; return 1; }
  start_chip || return 1
  kept_machine integrity "$KEPT_LINE root=/dev/mapper/data rootfstype=ext4 nitride.checks=integrity,kept,keys_after_the_switch" \
    "$(disk integrity data)"
  check "vhsmd kept its keys because of dm-integrity" says 'protection="integrity" keys_kept=true'
  share data
}
attested() { # TEE
  grep -q "decision=\"attested\".* tee=\"$1\"" "$boot/provisiond" || { failed="nobody was attested by $1"; return 1; }
}
