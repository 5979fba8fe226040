#!/usr/bin/env python3
"""Writes the golden packets beside it, with an encoder that is not ours (cbor2).

The values stand a second time, written out in Rust, in ../src/tests/golden.rs.
"""

from pathlib import Path

import cbor2

ID = 0x0102_0304
ROUND = bytes(range(16))
DIGEST = bytes(range(0xE0, 0x100))
HEADER = b"NV\x01\x01" + bytes(range(16)) + (7).to_bytes(4, "big")

# verb: (operation, params, result)
MESSAGES = {
    "hello": (0, [1, 1, "golden 1.0", 5000, True], [1, "vhsmd 0.1.0", 200_000, 65_536, ["trial"]]),
    "generate": (1, ["app/sign", "ec-p256", ["sign", "verify"], ["app/kek"]], [1]),
    "import": (2, ["app/mac", "hmac-sha256", None, bytes(range(32)), "raw", None, []], [3]),
    "describe": (
        3,
        ["app/tls"],
        [
            "ec-p256",
            1,
            3,
            "kbs:///app/tls/key",
            ["public-key", "sign"],
            "fresh",
            1_700_000_000,
            43_200,
            2,
            1000,
            990,
            None,
            1_800_000_000,
            ["app/kek", "backup/kek"],
            [[1, 3, 9, True], [2, 1, 2**40]],
        ],
    ),
    "list": (4, ["app/", "app/mac", 100], [[["app/sign", "ec-p256", 1, 24, True], ["disk/root", "secret", 0, 0]], True]),
    "public-key": (5, ["app/sign", None], [24, b"\x30\x59\x30\x13"]),
    "sign": (6, ["app/sign", "ecdsa-sha256", b"a message", False], [24, bytes(range(64))]),
    "verify": (7, ["app/sign", 24, "ecdsa-sha256-der", b"a message", True, b"\x30\x06\x02\x01\x01\x02\x01\x01"], []),
    "encrypt": (8, ["app/seal", None, b"a plaintext", b"context"], [HEADER + bytes(12) + b"c" * 11 + b"t" * 16]),
    "decrypt": (
        9,
        ["app/seal", None, None, HEADER + bytes(12) + b"c" * 11 + b"t" * 16, b"context", None],
        [b"a plaintext"],
    ),
    "mac": (10, ["app/mac", b"some data"], [65_536, bytes(range(32))]),
    "verify-mac": (11, ["app/mac", 65_536, b"some data", bytes(range(32))], []),
    "random": (12, [24], [bytes(range(24))]),
    "release": (13, ["disk/root", 2], [2, b"not a real passphrase"]),
    "enable": (14, ["app/sign", 23], []),
    "disable": (15, ["app/sign", None], []),
    "destroy": (16, ["app/sign", 2**32 - 1], []),
    "status": (
        17,
        [],
        [
            "vhsmd 0.1.0",
            "memfd-secret",
            4096,
            3_145_728,
            8192,
            3_145_728,
            2,
            1,
            0,
            True,
            1,
            DIGEST,
            "sample",
            [["fresh", 600], ["late", None]],
            ["evidence is simulated and proves nothing"],
            ["open", "tpm", 7, 2, None, "the sealed file cannot be written"],
        ],
    ),
    "reload": (18, [], [2]),
    "wrap": (19, ["app/kek", "app/sign", 24], [2, b"NW" + bytes(30)]),
    "unwrap": (20, ["app/kek", b"NW" + bytes(30), "app/copy", "ec-p256"], [1]),
    "derive": (
        21,
        ["app/mac", None, "app/child", "aes-256-gcm", ["encrypt", "decrypt"], b"salt", b"child 1"],
        [3, 1],
    ),
    "agree": (22, ["app/dh", 1, bytes(range(32)), "app/shared", "hmac-sha512", None, b"", b"info"], [1, 1]),
    "encapsulate": (23, ["app/kem", None, "app/session", "chacha20-poly1305", None, b"info"], [1, b"c" * 40, 1]),
    "decapsulate": (24, ["app/kem", 1, b"c" * 40, "app/session", "chacha20-poly1305", None, b"info"], [1, 1]),
    "rotate": (25, ["app/sign"], [25]),
    "set-policy": (26, ["app/sign", [["sign"], 1000, None, 1_800_000_000, [10, 60], ["app/kek"], 2]], []),
    "attest": (
        27,
        [b"a challenge", True],
        ["sample", bytes(range(48)), '{"svn":"1"}', "", [2**40, DIGEST]],
    ),
    "audit-head": (28, [], [2**40, DIGEST]),
    "batch": (
        29,
        [
            [
                [5, ["app/sign", None]],
                [6, ["app/sign", None, b"a message", False]],
                [7, ["app/sign", None, None, b"a message", False, bytes(range(64))]],
                [8, ["app/seal", None, b"a plaintext", b""]],
                [9, ["app/rsa", 1, "rsa-oaep-sha256", b"c" * 8, b"label", None]],
                [10, ["app/mac", b"some data"]],
                [11, ["app/mac", None, b"some data", bytes(range(32))]],
                [12, [3]],
            ]
        ],
        [
            [
                [0, [24, b"\x30\x59\x30\x13"]],
                [0, [24, bytes(range(64))]],
                [0, []],
                [0, [b"ciphertext"]],
                [8, []],
                [5, []],
                [13, []],
                [0, [b"\x00\x01\x02"]],
            ]
        ],
    ),
    "register-buffer": (30, [1_048_576], [0]),
    "encrypt-buffer": (31, ["app/seal", 0, 0, 524_288, 524_288, b"context"], [524_472]),
    "decrypt-buffer": (32, ["app/seal", None, 524_288, 524_472, 0, b"context"], [524_288]),
    "check-policy": (33, ["web.toml", "[[rule]]\n"], [["web.toml line 1: keys is missing"]]),
    "explain": (34, ["app/sign", "sign", [1000, None, "web.service", None, DIGEST]], [True, ["rule 1 grants sign"]]),
    "why": (35, [7, 3], [["no rule grants sign there"]]),
    "wipe": (36, [], []),
    "backup": (37, ["office", b"page 2"], [b"sealed", None]),
    "restore": (38, [b"sealed"], [12]),
    "end-phase": (39, ["verity"], [True]),
    "next-round": (1, [], [ROUND, "main", "sample", ["app/tls/key", "disk/data/luks"], False, 30_000, 1, True]),
    "challenge": (
        2,
        [ROUND, "bm9uY2U=", None, ["ECDH-ES+A256KW"], True],
        ['{"alg":"ECDH-ES+A256KW"}', '{"svn":"1"}', "", None, [2**40, DIGEST]],
    ),
    "result": (3, [ROUND, "aGVhZA.Ym9keQ.c2ln"], []),
    "resource": (4, [ROUND, "app/tls/key", b'{"protected":""}'], []),
    "failure": (5, [ROUND, "app/tls/key", 2, "no such resource", 0], []),
    "finish": (6, [ROUND], []),
    "plaintext": (7, [ROUND, "app/tls/key", 3, 3600, b"not a real passphrase"], []),
    "evidence": (1, ["sample", bytes(range(48)), True], ["sample", '{"svn":"1"}', ""]),
    "platform-key": (2, ["tpm", b""], [bytes(range(32)), b"params", True]),
    "counter": (3, ["tpm", b"params", True], [2**33]),
    "forget": (4, ["tpm", b"params"], []),
    "phase": (5, ["initrd"], [True]),
    "phase-end": (6, ["initrd"], [True]),
    "measure-release": (7, ["disk/root"], [False]),
}


ENTRY = [
    9,
    12_345,
    1_700_000_000,
    2,
    [1000, 4242, "web.service"],
    "app/sign",
    24,
    "sign",
    5,
    [7, 3],
    1,
    "no rule grants sign there",
    DIGEST,
]

# What the host's file of the seal begins with.
SEAL_HEAD = [1, "tpm", b"params", "seal/part", bytes(range(32)), 2**33]

NO_POLICY = [[], None, None, None, None, None, None, [], None, None]
POLICY = [
    [8, 9],
    ["uid:1000", "unit:web.service", "volume:root"],
    None,
    1_600_000_000,
    4_000_000_000,
    1000,
    [10, 60],
    ["fresh"],
    ["app/kek"],
    2,
]


def sealed_key(name, key_type, origin, uri, state, versions, policy=NO_POLICY, maker=None, former=()):
    """The items of one key: its own, and those of its versions."""
    fields = [1, name, key_type, origin, uri, name.encode().ljust(16, b"."), bytes(12), 1_700_000_000]
    fields += [maker, maker is None, policy, [list(one) for one in former]]
    yield [cbor2.dumps(fields), state, 7, len(versions)]
    for number, (own, voucher, of_version, material) in enumerate(versions, 1):
        yield [number, cbor2.dumps([2, own, voucher]), of_version, 5, 3, 86_400_000, material]


# Keys in every state, of every origin, with and without each field that may be absent; in the order
# of their names.
SEALED_KEYS = [
    *sealed_key(
        "app/full",
        "aes-256-gcm",
        0,
        None,
        1,
        [(None, None, 3, b""), (None, None, 2, bytes(32)), (None, None, 1, bytes(range(32)))],
        POLICY,
        1000,
    ),
    *sealed_key("app/gone", "hmac-sha256", 1, None, 3, [(None, None, 3, b"")], maker=0),
    *sealed_key(
        "app/plain",
        "hmac-sha256",
        3,
        "kbs:///r/t/plain",
        1,
        [(NO_POLICY, ["main"], 1, bytes(32))],
        former=[("kbs:///r/t/older", 4, 2)],
    ),
    *sealed_key(
        "app/vouched",
        "hmac-sha256",
        3,
        "kbs:///r/t/vouched",
        1,
        [(POLICY, [b"\4" * 65, None], 1, b""), (NO_POLICY, [b"\4" * 65, "tenant"], 1, bytes(32))],
    ),
]


def write(path, packet):
    write_bytes(path, cbor2.dumps(packet))


def write_bytes(path, content):
    text = content.hex()
    lines = [text[at : at + 96] for at in range(0, len(text), 96)]
    path.write_text("\n".join(lines) + "\n")


def main():
    folder = Path(__file__).parent
    for verb, (operation, params, result) in MESSAGES.items():
        write(folder / f"{verb}.request.hex", [ID, operation, params])
        write(folder / f"{verb}.reply.hex", [ID, 0, result])
    write(folder / "audit-entry.hex", ENTRY)
    write(folder / "seal-head.hex", SEAL_HEAD)
    items = [cbor2.dumps(item) for item in SEALED_KEYS]
    write_bytes(
        folder / "sealed-keys.hex", b"".join(len(item).to_bytes(4, "big") + item for item in items)
    )


if __name__ == "__main__":
    main()
