# Machines that QEMU interprets, with a TPM in software and a port for results. Sourced by tests/vm/run.
# shellcheck shell=bash disable=SC2154

readonly ACCEL=${NITRIDE_VM_ACCEL:-tcg}
readonly TPM=$WORK/tpm
boot=""
machine=""
began=0

# SCRIPT: runs it in the folder of tools, where the work folder is /mnt, and what it mounts goes with it.
with_tools() {
  unshare --mount --fork --kill-child=KILL sh -ec "
    mount --bind '$WORK' '$TOOLS/mnt'
    exec chroot '$TOOLS' sh -ec '
      mount -t proc proc /proc
      mount -t devtmpfs devtmpfs /dev
      cd /mnt
      $1'"
}

# The TPM's attestation key, pinned by an activated credential, as docs/operations.md has it: the TPM is
# this machine's for a moment, and the guest's from its boot on.
enrol_tpm() {
  local port
  rm -rf "$TPM"
  mkdir -p "$TPM/state"
  port=$(free_port)
  swtpm socket --tpm2 --flags not-need-init,startup-clear --tpmstate "dir=$TPM/state" \
    --server "type=tcp,port=$port" --ctrl "type=tcp,port=$((port + 1))" >"$TPM/log" 2>&1 &
  local tpm=$!
  for _ in $(seq 100); do
    python3 -c "import socket; socket.create_connection(('127.0.0.1', $((port + 1))))" 2>/dev/null && break
    sleep 0.1
  done
  local status=0
  (
    cd "$TPM"
    printf 'tee = "tpm"\nsocket = "%s/quote.sock"\n[caller]\nuid = 0\n[tpm]\ntcti = "swtpm:host=127.0.0.1,port=%s"\nkey = "ec-p256"\npcrs = [0]\nevent-log = "omitted"\n' \
      "$TPM" "$port" >quote.toml
    "$BIN/nitride-quote" --config quote.toml --tpm-enrol >request.json
    # Who emulates a TPM knows its endorsement key; here the refusal tells it.
    zeros=$(printf '0%.0s' {1..64})
    key=$("$BIN/nitride-verify" tpm challenge request.json --endorsement-key "$zeros" \
      --challenge challenge.json --keep kept.json 2>&1 | sed -n 's/.*the endorsement key is \([0-9a-f]\{64\}\).*/\1/p')
    "$BIN/nitride-verify" tpm challenge request.json --endorsement-key "$key" --challenge challenge.json --keep kept.json
    "$BIN/nitride-quote" --config quote.toml --activate-credential challenge.json >answer.json
    "$BIN/nitride-verify" tpm pin kept.json --answer answer.json >pin
  ) >>"$TPM/log" 2>&1 || status=$?
  kill $tpm
  wait $tpm || true
  [ $status = 0 ] || { cat "$TPM/log" >&2; echo "vm: the TPM is not enrolled" >&2; return 1; }
}

# NAME LINE [ARGUMENTS...]: starts a machine, by its disk's own loader where LINE is empty. Disks are those of ARGUMENTS, by names in the work folder;
# nothing of what it writes outlives it. `variables` may name the firmware's.
start_machine() {
  local name=$1 line=$2
  shift 2
  boot=$WORK/boots/$name
  rm -rf "$boot"
  mkdir -p "$boot"
  : >"$boot/results"
  : >"$boot/console"
  cp "${variables:-$TOOLS/usr/share/OVMF/OVMF_VARS_4M.fd}" "$boot/variables"
  rm -f "$TPM/socket"
  began=$(date +%s%N)
  with_tools "
    swtpm socket --tpm2 --tpmstate dir=/mnt/tpm/state --ctrl type=unixio,path=/mnt/tpm/socket \
      --pid file=/mnt/tpm/pid --daemon --terminate
    exec qemu-system-x86_64 -machine q35 -accel $ACCEL -cpu max -smp 2 -m 1536 -nodefaults \
      -drive if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
      -drive if=pflash,format=raw,unit=1,file=boots/$name/variables \
      -chardev socket,id=tpm,path=tpm/socket -tpmdev emulator,id=tpm,chardev=tpm -device tpm-crb,tpmdev=tpm \
      -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci \
      -device virtio-serial-pci -chardev file,id=results,path=boots/$name/results \
      -device virtserialport,chardev=results,name=results \
      -display none -serial file:boots/$name/console -no-reboot $* ${line:+-append \"$line\"}
  " >"$boot/qemu" 2>&1 </dev/null &
  machine=$!
}
# FILE [SERIAL]: the arguments for a disk of the work folder, which the guest finds by its serial number.
disk() {
  echo "-drive if=none,id=$1,format=raw,file=disks/$1,cache=unsafe,snapshot=on -device virtio-blk-pci,drive=$1,serial=${2-$1}"
}
# FILE [SERIAL]: one to which what is written outlives the machine.
lasting_disk() {
  echo "-drive if=none,id=$1,format=raw,file=disks/$1,cache=unsafe -device virtio-blk-pci,drive=$1,serial=${2-$1}"
}

seconds() { echo $((($(date +%s%N) - began) / 1000000000)); }
# What was shown, without what moves a cursor.
console() { tr -d '\r' <"$boot/console" | sed 's/\x1b\[[0-9;?=]*[a-zA-Z]//g'; }
runs() { kill -0 "$machine" 2>/dev/null; }

# PATTERN SECONDS: waits until the console or the results have it.
await() {
  while ! grep -qE -- "$1" <(console) "$boot/results"; do
    [ "$(seconds)" -lt "$2" ] || { failed="after $2 s nothing says \"$1\""; return 1; }
    runs || { failed="the machine ended and nothing said \"$1\""; return 1; }
    sleep 0.5
  done
}
# SECONDS: waits until it has powered off, and was not killed.
await_end() {
  while runs; do
    [ "$(seconds)" -lt "$1" ] || { failed="after $1 s the machine still runs"; return 1; }
    sleep 0.5
  done
  wait "$machine" || { failed="QEMU failed: $(tail -n 3 "$boot/qemu")"; return 1; }
  grep -q 'reboot: Power down' <(console) || { failed="the machine ended without powering off"; return 1; }
}
stop_machine() {
  if [ -n "$machine" ] && runs; then
    # unshare below the subshell, and with it QEMU (--kill-child).
    # shellcheck disable=SC2046
    kill -KILL $(pgrep -P "$machine") "$machine" 2>/dev/null || true
  fi
  [ -z "$machine" ] || wait "$machine" 2>/dev/null || true
  machine=""
  # It ends with an orderly machine; the next one wants its state.
  if [ -s "$TPM/pid" ]; then
    kill "$(cat "$TPM/pid")" 2>/dev/null || true
    rm -f "$TPM/pid"
    sleep 0.5
  fi
}
