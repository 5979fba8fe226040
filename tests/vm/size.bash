# What Nitride adds to an initrd, unpacked: bytes of the files that an initrd without it has not. Sourced
# by tests/vm/run.
# shellcheck shell=bash disable=SC2154

# docs/decisions/0032: programs, the libraries of a TPM, units, scripts and configuration.
readonly MAX_ADDED=$((8 << 20))

# INITRD: `BYTES PATH` of each file. Of a file's names the last alone has its bytes: so each counts once.
unpacked_files() {
  list_initrd "$1" | awk '/^-/ { path = $9; for (i = 10; i <= NF; i++) path = path " " $i; print $5, path }' | sort -k 2
}
# Those of initramfs-tools are several archives one after the other, which it can tell itself.
list_initrd() {
  case $(head -c 4 "$WORK/$1" | xxd -p) in
    28b52ffd) in_guest zstd -dcq <"$WORK/$1" | with_tools "cpio --quiet -tv" ;;
    *) in_guest sh -ec 'cat >/srv/listed; lsinitramfs -l /srv/listed; rm /srv/listed' <"$WORK/$1" ;;
  esac
}

# INITRD: that what has four names in it is one program.
check_one_program() {
  local programs='usr/(bin/(vhsmd|nitride-agent|nitride-unlock)|libexec/nitride-quote)'
  unpacked_files "$1" >"$WORK/with"
  [ "$(grep -cE " $programs\$" "$WORK/with")" = 4 ] || fail "$1 has not all programs, or cannot be listed"
  [ "$(grep -E " $programs\$" "$WORK/with" | grep -vc '^0 ')" = 1 ] || fail "the programs of $1 are not one file"
}

# INITRD: dracut's, compared with one that lacks our modules alone.
check_added() {
  local added
  check_one_program "$1"
  make_initrd plain.initrd --omit "nitride nitride-closed"
  unpacked_files plain.initrd >"$WORK/without"
  [ -s "$WORK/without" ] || fail "the initrd without Nitride cannot be listed"
  ! grep -q ' usr/bin/vhsmd$' "$WORK/without" || fail "the initrd without Nitride has it"
  # The generators of systemd that stand behind a wrapper have only moved.
  join -1 2 -2 2 -v 1 -o 1.1,1.2 "$WORK/with" "$WORK/without" | grep -v ' usr/lib/nitride/systemd-' | sort -rn >"$WORK/added"
  added=$(awk '{ sum += $1 } END { printf "%d", sum }' "$WORK/added")
  [ "$added" -le "$MAX_ADDED" ] || { head -n 20 "$WORK/added" >&2; fail "Nitride adds $added bytes to an initrd, and may add $MAX_ADDED"; }
  step "Nitride adds $added bytes to it, of $MAX_ADDED"
}
