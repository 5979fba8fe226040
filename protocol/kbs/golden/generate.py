#!/usr/bin/env python3
"""Makes jwe.json, token.jwt, token-trustee.jwt, envelope.hex and signer-list.hex: a second implementation of these
forms, by Python's `cryptography` and a few lines of CBOR. The keys are the published ones of RFC 6979, A.2.5 and
RFC 7515, A.3, and protect nothing. Nonces and ephemeral keys are fixed; ECDSA is deterministic
(RFC 6979), so the output is the same on every run.

    python3 generate.py      # in this folder
"""
import base64
import hashlib
import json
import struct
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

SIGNER = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
TEE = 0x8E9B109E719098BF980487DF1F5D77E9CB29606EBED2263B5F57C213DF84F4B2
EPHEMERAL = 0x0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def private(scalar):
    return ec.derive_private_key(scalar, ec.SECP256R1())


def coordinates(key):
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")


def compact(value, **options):
    return json.dumps(value, separators=(",", ":"), **options).encode()


def sign(key, message):
    der = key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def jwe(plaintext):
    tee, ephemeral = private(TEE), private(EPHEMERAL)
    x, y = coordinates(ephemeral)
    z = ephemeral.exchange(ec.ECDH(), tee.public_key())
    algorithm = b"ECDH-ES+A256KW"
    info = struct.pack(">I", len(algorithm)) + algorithm + struct.pack(">III", 0, 0, 256)
    kek = hashlib.sha256(struct.pack(">I", 1) + z + info).digest()
    cek, iv = bytes(range(32)), bytes(range(12))
    epk = {"crv": "P-256", "kty": "EC", "x": b64(x), "y": b64(y)}
    protected = b64(compact({"alg": algorithm.decode(), "enc": "A256GCM", "epk": epk}))
    sealed = AESGCM(cek).encrypt(iv, plaintext, protected.encode())
    return compact({
        "protected": protected,
        "encrypted_key": b64(aes_key_wrap(kek, cek)),
        "iv": b64(iv),
        "ciphertext": b64(sealed[:-16]),
        "tag": b64(sealed[-16:]),
    })


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    extra = max(0, (value.bit_length() - 1) // 8).bit_length()
    return bytes([major << 5 | 24 + extra]) + value.to_bytes(1 << extra, "big")


def cbor(item):
    if item is None:
        return b"\xf6"
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(cbor, item))
    return head(5, len(item)) + b"".join(cbor(k) + cbor(v) for k, v in item.items())


def sign1(kid, payload):
    protected = cbor({1: -7, 4: kid})
    signature = sign(private(SIGNER), cbor(["Signature1", protected, b"", payload]))
    return head(6, 18) + cbor([protected, {}, payload, signature])


def envelope():
    return sign1(b"owner-1", cbor([
        1, "default/key/signing", "ec-p256", 3, "acme", 1767225600,
        [["sign", "public-key"], [], ["unit:web.service"], 43200, 1893456000, None],
        bytes(range(32)),
    ]))


def signer_list():
    points = [b"\x04" + b"".join(coordinates(private(scalar))) for scalar in (SIGNER, TEE)]
    return sign1(b"list-1", cbor([
        "nitride signer list 1", "acme", 2, bytes(range(32)), 1767225600,
        [[points[0], 0, None], [points[1], 1767225600, 1893456000]],
    ]))


def token(header, claims):
    signing_input = b64(compact(header)) + "." + b64(compact(claims))
    return signing_input + "." + b64(sign(private(SIGNER), signing_input.encode()))


def runtime_data():
    x, y = coordinates(private(TEE))
    key = {"alg": "ECDH-ES+A256KW", "crv": "P-256", "kty": "EC", "x": b64(x), "y": b64(y)}
    return {"nonce": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "tee-pubkey": key}


def ours():
    """In the order in which nitride-kbs writes the claims, so that it can be held to it."""
    runtime = runtime_data()
    return token({"alg": "ES256", "typ": "JWT"}, {
        "eat_profile": "tag:github.com,2024:confidential-containers/Trustee",
        "iss": "https://provision.example",
        "aud": "nitride",
        "iat": 1767225600,
        "exp": 1767225900,
        "ear.verifier-id": {"build": "nitride-verify 0.1.0", "developer": "Nitride"},
        "submods": {"cpu0": {
            "ear.status": "affirming",
            "ear.trustworthiness-vector": {"executables": 2, "hardware": 2},
            "ear.appraisal-policy-id": "default",
            "ear.veraison.annotated-evidence": {
                "report_data": "AAAA",
                "runtime_data_claims": {"tee-pubkey": runtime["tee-pubkey"], "nonce": runtime["nonce"]},
                "sample": {"svn": "1"},
            },
        }},
        "nitride.simulated": True,
        "nitride.debug": False,
        "nitride.resources": ["default/key/signing"],
    })


def trustees():
    """The shape of Trustee: a key in the header, no audience, members that nobody here judges."""
    x, y = coordinates(private(SIGNER))
    jwk = {"alg": "ES256", "crv": "P-256", "kty": "EC", "x": b64(x), "y": b64(y), "x5c": ["MA=="]}
    return token({"typ": "JWT", "alg": "ES256", "jwk": jwk}, {
        "eat_profile": "tag:github.com,2024:confidential-containers/Trustee",
        "iat": 1767225600,
        "ear.verifier-id": {"build": "attestation-service 0.1.0", "developer": "https://confidentialcontainers.org"},
        "submods": {
            "cpu0": {
                "ear.status": "contraindicated",
                "ear.trustworthiness-vector": {
                    "instance-identity": 0, "configuration": 36, "executables": 33, "file-system": 0,
                    "hardware": 97, "runtime-opaque": 0, "storage-opaque": 0, "sourced-data": 0,
                },
                "ear.appraisal-policy-id": "default",
                "ear.veraison.annotated-evidence": {
                    "init_data": "00", "init_data_claims": None, "report_data": "AAAA",
                    "runtime_data_claims": {"additional-evidence": "", **runtime_data()},
                    "snp": {"measurement": "00", "policy_debug_allowed": False, "reported_tcb_snp": 8},
                },
            },
            "gpu0": {
                "ear.status": 2,
                "ear.veraison.annotated-evidence": {"nvidia": {"x-nvidia-gpu-attestation-report-cert-chain": None}},
            },
        },
        "exp": 1767225900,
        "iss": "CoCo-Attestation-Service",
    })


def main():
    sealed = envelope()
    with open("envelope.hex", "w") as file:
        file.write(sealed.hex() + "\n")
    with open("signer-list.hex", "w") as file:
        file.write(signer_list().hex() + "\n")
    with open("jwe.json", "wb") as file:
        file.write(jwe(sealed) + b"\n")
    for name, text in (("token.jwt", ours()), ("token-trustee.jwt", trustees())):
        with open(name, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
