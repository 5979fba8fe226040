# The owner's and the service's side of the VM test: keys, certificate, resources, nitride-provisiond on
# this machine's loopback, which the guest sees as 10.0.2.2. Sourced by tests/vm/run.
# shellcheck shell=bash disable=SC2154

readonly SERVICE=$WORK/service
provisiond=""

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

make_service() {
  rm -rf "$SERVICE"
  mkdir -p "$SERVICE/collateral"
  local provision=$BIN/nitride-provisiond
  (
    cd "$SERVICE"
    "$provision" owner-key generate --out owner.key --public-out owner.pub
    "$provision" token-key generate --out token.key --public-out token.pub
    "$provision" store-key generate --out store.key
    "$provision" store-key generate --out challenge.key
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=provision.example \
      -addext subjectAltName=IP:10.0.2.2,DNS:provision.example -addext basicConstraints=critical,CA:FALSE \
      -keyout tls.key -out tls.pem 2>/dev/null
    head -c 48 /dev/urandom | base64 -w0 >passphrase
    printf 'a secret of the system' >secret
    printf 'a credential of the system' >credential
    port=$(free_port)
    echo "$port" >port
    cat >provisiond.toml <<TOML
listen = "127.0.0.1:$port"
store = "$SERVICE/store"
store-key = "$SERVICE/store.key"
challenge-key = "$SERVICE/challenge.key"
token-key = "$SERVICE/token.key"
issuer = "https://provision.example"
audience = "vhsmd"
policy-id = "default"
attestation-policy = "$SERVICE/attestation.toml"
resource-policy = "$SERVICE/resource.toml"
collateral = "$SERVICE/collateral"
[tls]
certificate = "$SERVICE/tls.pem"
key = "$SERVICE/tls.key"
TOML
    # What is the initrd's, and what the system's: by the reference value that the machine matched. The
    # test's provider of configfs-tsm knows no phases, so one value is both.
    echo "version = 1" >resource.toml
    rule 'disk/**' tpm tpm.reference_value initrd
    rule 'app/**' tpm tpm.reference_value system
    rule '**' snp snp.vmpl 0
  ) >"$WORK/service.log"
}

rule() { # RESOURCES TEE CLAIM VALUE
  cat >>resource.toml <<TOML
[[rule]]
name = "$1 $2"
resources = ["$1"]
status = "warning"
tee = ["$2"]
danger-allow-simulated = true
danger-allow-debug = false
claims = { "$3" = ["$4"] }
TOML
}

# RESOURCE FILE RELEASE-TO [MORE...]: signs a secret and stores it.
deposit() {
  local path=$1 material=$2 to=$3
  shift 3
  "$BIN/nitride-provisiond" resource seal --owner-key "$SERVICE/owner.key" --path "$path" --type secret --version 1 \
    --operations release --release-to "$to" --material "$material" --out - "$@" |
    "$BIN/nitride-provisiond" resource put --config "$SERVICE/provisiond.toml" --path "$path" --envelope -
}

start_service() {
  "$BIN/nitride-provisiond" serve --config "$SERVICE/provisiond.toml" >>"$boot/provisiond" 2>&1 &
  provisiond=$!
}

stop_service() {
  if [ -n "$provisiond" ]; then
    kill "$provisiond" 2>/dev/null || true
    wait "$provisiond" 2>/dev/null || true
    provisiond=""
  fi
}

extended() { # HELD MEASURED...: a register of SHA-256 after it was extended by what has these digests
  local held=$1 digest
  shift
  for digest in "$@"; do
    held=$(printf %s%s "$held" "$digest" | xxd -r -p | sha256sum | cut -c1-64)
  done
  echo "$held"
}
readonly ZERO=0000000000000000000000000000000000000000000000000000000000000000

# INITRD LINE: PCR 9 as the kernel's stub leaves it, as `nitride-verify measure tdx` computes RTMR2.
pcr_9() {
  local options
  options=$(printf '%s initrd=initrd\0' "$2" | iconv -f ascii -t utf-16le | sha256sum | cut -c1-64)
  extended $ZERO "$options" "$(sha256sum <"$1" | cut -c1-64)"
}
phase() { printf 'nitride-phase:%s' "$1" | sha256sum | cut -c1-64; }
phase_end() { printf 'nitride-phase-end:%s' "$1" | sha256sum | cut -c1-64; }

# INITRD LINE: the policy for the machine with the TPM that was enrolled, started with this.
want_tpm() {
  local before initrd system nine name
  nine=$(pcr_9 "$1" "$2")
  initrd=$(extended $ZERO "$(phase initrd)")
  system=$(extended "$initrd" "$(phase_end initrd)" "$(phase system)")
  # The firmware's, which a boot of it told.
  before=$(sed 's/ / = "/; s/$/",/' "$WORK/firmware.pcrs" | tr '\n' ' ')
  {
    printf 'version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[tpm]\n'
    cat "$TPM/pin"
    printf 'attestation-key-roots = []\nattestation-key-revocation = "any"\ninit-data = "any"\n'
    printf 'event-log-pcrs = "any"\nrequires-coverage = ["firmware", "kernel", "initrd", "command-line"]\n'
    for name in initrd system; do
      printf '[[tpm.reference]]\nname = "%s"\n' $name
      printf 'pcrs = { %s9 = "%s", 12 = "%s" }\n' "$before" "$nine" "${!name}"
      printf 'covers = ["firmware", "kernel", "initrd", "command-line"]\n'
    done
  } >"$SERVICE/attestation.toml"
}
