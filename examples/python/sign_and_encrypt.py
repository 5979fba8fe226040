#!/usr/bin/env python3
"""Signs and encrypts with keys of vhsmd, from protocol/vhsm/cddl/application.cddl alone.

Usage: sign_and_encrypt.py SOCKET      (Debian: python3-cbor2)
A rule in policy.d must let this user use the keys example/**.
"""

import socket
import sys

import cbor2

HELLO, GENERATE, SIGN, VERIFY, ENCRYPT, DECRYPT = 0, 1, 6, 7, 8, 9
OK, KEY_EXISTS, VERIFICATION_FAILED = 0, 7, 13
MAX_PACKET_LEN = 200_000


class Vault:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.last_id = 0
        # [min-version, max-version, client, wait-ms, attaches]
        self.call(HELLO, [1, 1, "python example", 0, False])

    def call(self, operation, params, also=()):
        """One packet out, one packet in; returns the status and the result."""
        self.last_id += 1
        self.socket.send(cbor2.dumps([self.last_id, operation, params]))
        reply_id, status, result = cbor2.loads(self.socket.recv(MAX_PACKET_LEN))
        if reply_id != self.last_id:
            sys.exit(f"reply {reply_id} to request {self.last_id}")
        if status != OK and status not in also:
            sys.exit(f"operation {operation} refused with status {status}")
        return status, result


def main(path):
    vault = Vault(path)
    sign, seal, message = "example/sign", "example/seal", b"a message"
    # null: every operation of the type. []: no key may wrap it.
    vault.call(GENERATE, [sign, "ec-p256", None, []], also=[KEY_EXISTS])
    # null: the type's default scheme. false: the message, not its digest.
    _, (version, signature) = vault.call(SIGN, [sign, None, message, False])
    print(f"signed with version {version}: {signature.hex()}")
    vault.call(VERIFY, [sign, version, None, message, False, signature])
    forged = [sign, version, None, b"another", False, signature]
    status, _ = vault.call(VERIFY, forged, also=[VERIFICATION_FAILED])
    print("verified" if status == VERIFICATION_FAILED else sys.exit("a forgery passed"))

    vault.call(GENERATE, [seal, "aes-256-gcm", None, []], also=[KEY_EXISTS])
    _, (ciphertext,) = vault.call(ENCRYPT, [seal, None, message, b"context"])
    print(f"encrypted: {ciphertext.hex()}")
    _, (plaintext,) = vault.call(DECRYPT, [seal, None, None, ciphertext, b"context", None])
    print("decrypted" if plaintext == message else sys.exit("another plaintext came back"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
