# A boot of tests/vm/run: nitride-quote before a real configfs-tsm. What stands behind it is a module
# that is built against the kernel's headers (tests/vm/module), and the first process is the test's own
# (tests/vm/src). It needs no disk, and tells what the firmware measures before a kernel. Sourced by
# tests/vm/run.
# shellcheck shell=bash disable=SC2154

make_module() {
  rm -rf "$WORK/module"
  cp -a tests/vm/module "$WORK/module"
  with_tools "make --silent -C /lib/modules/$kernel/build M=/mnt/module modules" >"$WORK/module.log" 2>&1 ||
    { cat "$WORK/module.log" >&2; return 1; }
}

make_small_initrd() {
  local machine=$WORK/small modules=$TOOLS/lib/modules/$kernel/kernel module library
  cargo build --quiet -p nitride-vm --bin nitride-vm
  rm -rf "$machine"
  mkdir -p "$machine"/{proc,sys,dev,tmp,run,bin,modules}
  make_module
  cp "$WORK/module/nitride_tsm.ko" "$machine/modules/"
  for module in fs/configfs/configfs drivers/virt/coco/tsm; do
    xz --decompress --stdout "$modules/$module.ko.xz" >"$machine/modules/$(basename $module).ko"
  done
  cp target/debug/nitride-vm "$machine/init"
  cp "$BIN/nitride-quote" "$machine/bin/"
  ldd "$machine/init" "$machine/bin/nitride-quote" | grep -o '/[^ )]*\.so[^ )]*' | sort -u | while read -r library; do
    install -D "$library" "$machine$library"
  done
  with_tools "cd small && find . | cpio --quiet -o -H newc >../small.initrd"
}

boot_configfs_tsm() {
  make_small_initrd
  start_machine configfs_tsm "console=ttyS0 quiet panic=-1" -kernel vmlinuz -initrd small.initrd
  check "it powers off" await_end 200
  sed -n 's/^vm: ok: \(.*\)/check|\1|ok/p; s/^vm: \(FAILED: .*\)/check|configfs-tsm|\1/p' <(console) >>"$boot/results"
  check "all of it was tried" says "^vm: all passed"
  sed -n 's/^vm: pcr \([0-9]* [0-9a-f]*\)$/\1/p' <(console) >"$WORK/firmware.pcrs"
  check "what the firmware measured is known" test "$(wc -l <"$WORK/firmware.pcrs")" = 4
}
