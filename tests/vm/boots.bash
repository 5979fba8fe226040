# The boots of tests/vm/run. Each starts a machine, does what is done from outside, and waits for its
# end; what was found goes into the table. Sourced by tests/vm/run.
# shellcheck shell=bash disable=SC2154

# What refuses a host by the command line (docs/operations.md, words for the kernel).
readonly CLOSED="efi=noruntime nohibernate systemd.import_credentials=no"
readonly LINE="console=ttyS0 root=/dev/mapper/root rw rootfstype=ext4 panic=-1 systemd.show_status=1 $CLOSED"
# Longest that a boot may take: ninety seconds where nothing else runs.
readonly PATIENCE_SECS=${NITRIDE_VM_PATIENCE_SECS:-420}
# What somebody could type at: a shell, a prompt, a login.
readonly OPEN='sh-[0-9.]+[#$]|^[^ ]*[#$] *$|login:|[Pp]assphrase for|Give root password|Press Enter|emergency mode|\(initramfs\)|BusyBox|Execute .*\? \['

# CHECK OUTCOME: a line of the table.
note() { printf '%s|%s|%s\n' "$(basename "$boot")" "$1" "$2" >>"$table"; }
# CHECK COMMAND...
check() {
  local name=$1
  shift
  failed=""
  if "$@" >"$boot/said" 2>&1; then
    note "$name" ok
  else
    note "$name" "FAILED: ${failed:-$(tail -n 2 "$boot/said" | tr '\n|' '  ')}"
  fi
}
# Not by a pipe: grep ends at the first line that fits, and what writes into the pipe fails by that.
says() { grep -qE -- "$1" <(console) || { failed="the console does not say \"$1\""; return 1; }; }
is_closed() {
  local found
  found=$(grep -aE -m1 -- "$OPEN" <(console)) || return 0
  failed="somebody could type at \"$found\""
  return 1
}
released() { # RESOURCE TIMES: so often the service gave it away in this boot
  local times
  times=$(grep -c "decision=\"released\" resource=$1 " "$boot/provisiond" || true)
  [ "$times" = "$2" ] || { failed="it was released $times times"; return 1; }
}
denied() { # RESOURCE
  grep -q "path=\"/kbs/v0/resource/$1\"}.* decision=\"refused\"" "$boot/provisiond" || { failed="the service denied nothing"; return 1; }
}

# What is at the service: the volumes' passphrase, and the system's secrets.
fill_service() {
  local expected
  expected="$(expectation root "$DISKS/root"),$(expectation data "$DISKS/data")"
  [ ! -e "$DISKS/integrity" ] || expected+=",$(expectation data "$DISKS/integrity")"
  rm -rf "$SERVICE/store"
  deposit disk/secret/root "$SERVICE/passphrase" volume:root,volume:data,volume:more --disk "$expected"
  deposit app/secret/one "$SERVICE/secret" unit:app.service
  deposit app/secret/two "$SERVICE/credential" unit:loads.service
  # For the doctor in the system, which is no initrd.
  deposit app/secret/disk "$SERVICE/passphrase" volume:root,volume:data --disk "$expected"
}

# What a boot left behind: the guest's own checks, and how long it took.
results() {
  boot=$WORK/boots/$1
  touch "$boot/results"
  sed -n 's/^check|\(.*\)|\(.*\)$/'"$1"'|\1|\2/p' "$boot/results" >>"$table"
  note "seconds" "$(seconds)"
  ! grep -q "^$1|.*|FAILED" "$table"
}
# UNIT TEXT: the seconds since the kernel's start at which its journal has it, by the results.
moment() {
  sed -n "s/^journal|\[ *\([0-9.]*\)\] [^ ]* $1.*$2.*/\1/p" "$boot/results" | head -n 1
}
between() { awk -v from="${1:-0}" -v to="${2:-0}" 'BEGIN { printf "%.1f s", to - from }'; }
# VOLUME: our share of a boot, by the guest's own clock.
share() {
  note "nitride-unlock asking, to the passphrase" \
    "$(between "$(moment nitride-unlock "asking the vault volume=$1")" "$(moment vhsmd "passphrase released to volume volume=\"$1\"")")"
  note "of that, round ordered to secret delivered" \
    "$(between "$(moment vhsmd 'round ordered')" "$(moment vhsmd 'round brought')")"
  note "passphrase to open volume" \
    "$(between "$(moment vhsmd "passphrase released to volume volume=\"$1\"")" "$(moment nitride-unlock "opened by the vault.s passphrase volume=\"$1\"")")"
  note "leaving the initrd" \
    "$(between "$(moment nitride-unlock 'leaving the initrd')" "$(moment nitride-unlock 'the phase has ended')")"
}

# BOOT CHECKS DISK...: a machine with these disks, by the initrd of dracut; `hardware` may be more of it.
dracut_machine() { machine_by initrd "$LINE" "$@"; }
machine_by() { # INITRD LINE BOOT CHECKS DISK...
  local initrd=$1 line="$2 nitride.checks=$4" name=$3 disk disks=()
  shift 4
  for disk in "$@"; do disks+=("$(disk "$disk")"); done
  want_tpm "$WORK/$initrd" "$line"
  start_machine "$name" "$line" -kernel vmlinuz -initrd "$initrd" "${disks[@]}" "${hardware-}"
  fill_service
}

boot_short() {
  dracut_machine short booted,keys_after_the_switch root data
  start_service
  check "it boots, is looked into and powers off" await_end "$PATIENCE_SECS"
  check "the second volume took no second fetch" released disk/secret/root 1
  check "nothing on the console takes input" is_closed
  share root
}

boot_whole() {
  hostile_disks
  make_boot_disk
  # What would have PID 1 ask on the console before it starts anything, and then open a shell there.
  host_variables "systemd.confirm_spawn=yes systemd.unit=rescue.target SYSTEMD_SULOGIN_FORCE=1 systemd.setenv=OF_THE_HOST=1"
  hardware=$(host_credentials) variables=$WORK/variables dracut_machine whole booted,keys_after_the_switch,whole,silent,doctored root data boot \
    null-cipher extra-segment reencrypt-flag other-uuid
  # Nobody is there yet.
  check "a passphrase that is waited for is told of on the console" await 'the vault has no passphrase yet' "$PATIENCE_SECS"
  check "and why" await 'passphrase of volume is waited for volume="root" reason=' "$PATIENCE_SECS"
  start_service
  check "it boots once the service is there, is looked into and powers off" await_end "$PATIENCE_SECS"
  check "the second volume took no second fetch" released disk/secret/root 1
  check "the service denied the system what is the initrd's" denied disk/secret/root
  check "nothing on the console takes input" is_closed
  share root
}

# Another initrd than the one that is wanted, as the owner sees it.
boot_refused() {
  dracut_machine refused booted root data
  sed -i 's/ 9 = "[0-9a-f]*"/ 9 = "'"$(printf '5%.0s' {1..64})"'"/' "$SERVICE/attestation.toml"
  start_service
  check "the reason is on the console" await 'passphrase of volume is waited for volume="root" reason="(not-attested|attestation|refused|round|denied)' "$PATIENCE_SECS"
  # It waits as unlock.toml says; a second round is as good as all of them.
  check "and it is tried again" await_rounds 2
  check "the service released nothing" released disk/secret/root 0
  check "nothing was opened" not_said "opened by the vault"
  check "nothing on the console takes input" is_closed
}
not_said() { ! grep -qE -- "$1" <(console) || { failed="the console says \"$1\""; return 1; }; }
await_rounds() {
  while [ "$(grep -c 'decision="refused"' "$boot/provisiond")" -lt "$1" ]; do
    [ "$(seconds)" -lt "$PATIENCE_SECS" ] && runs || { failed="there were no $1 rounds"; return 1; }
    sleep 0.5
  done
}

# A root volume whose header the host has changed.
boot_hostile() {
  cp --sparse=always "$DISKS/root" "$DISKS/hostile"
  tests/vm/hostile.py null-cipher "$DISKS/root" "$DISKS/hostile"
  with_root hostile hostile
}
# A root file system that the host has damaged; the volume opens.
boot_corrupt() {
  cp --sparse=always "$DISKS/root" "$DISKS/corrupt"
  dd if=/dev/urandom of="$DISKS/corrupt" bs=1M seek=16 count=64 conv=notrunc status=none
  with_root corrupt corrupt
}
# BOOT DISK: a machine whose root is this disk, and which powers off because of it.
with_root() {
  local line="$LINE nitride.checks=booted"
  want_tpm "$WORK/initrd" "$line"
  start_machine "$1" "$line" -kernel vmlinuz -initrd initrd "$(disk "$2" root)" "$(disk data)"
  fill_service
  start_service
  check "it powers off" await_end "$PATIENCE_SECS"
  case $1 in
    hostile)
      check "the console says what is wrong with the header" says "segment 0 does not encrypt"
      check "nothing was opened by it" not_said 'opened by the vault.s passphrase volume="root"'
      ;;
    corrupt)
      check "the volume opened" says 'opened by the vault.s passphrase volume="root"'
      check "the console says that the boot has failed" says 'this initrd is closed: no shell, power off'
      ;;
  esac
  check "no system took over" not_said 'Reached target multi-user.target'
  check "nothing on the console takes input" is_closed
  rm "$DISKS/$2"
}

# By initramfs-tools, which has no systemd: its system fetches its own keys.
boot_initramfs() {
  make_initramfs
  check_one_program initramfs.initrd
  make_host_disks
  # Of what a host can say there is only this where no systemd is.
  local line="${LINE/nohibernate /} ip=dhcp resume=/dev/disk/by-id/virtio-host-image"
  hardware=$(lasting_disk host-image) machine_by initramfs.initrd "$line" initramfs booted,keys_after_the_switch root data
  start_service
  check "it boots, is looked into and powers off" await_end "$PATIENCE_SECS"
  check "the second volume took no second fetch" released disk/secret/root 1
  check "an image on the disk of resume= is not resumed" unread host-image
  check "nothing on the console takes input" is_closed
}

# Volumes for the system's own trial of headers, small ones.
hostile_disks() {
  local defect
  for defect in null-cipher extra-segment reencrypt-flag; do
    cp --sparse=always "$DISKS/data" "$DISKS/$defect"
    tests/vm/hostile.py $defect "$DISKS/data" "$DISKS/$defect"
  done
  cp --sparse=always "$DISKS/data" "$DISKS/other-uuid"
  cryptsetup luksUUID -q --uuid 6e697472-6964-4e65-8000-00000000000f "$DISKS/other-uuid"
}
