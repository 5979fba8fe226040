#!/usr/bin/env python3
"""hostile.py DEFECT FROM TO: a copy of a volume's header as a host might write it: both copies of the
LUKS2 metadata changed, with the right checksums (LUKS2 On-Disk Format, 2 and 3)."""

import hashlib
import json
import struct
import sys

BINARY_LEN = 4096


def null_cipher(header):
    header["segments"]["0"]["encryption"] = "cipher_null-ecb"


def null_keyslot(header):
    header["keyslots"]["0"]["area"]["encryption"] = "cipher_null-ecb"


def extra_segment(header):
    header["segments"]["1"] = {"type": "linear", "offset": "16777216", "size": "dynamic"}


def reencrypt_flag(header):
    header["config"]["requirements"] = {"mandatory": ["online-reencrypt-v2"]}


DEFECTS = {
    "null-cipher": null_cipher,
    "null-keyslot": null_keyslot,
    "extra-segment": extra_segment,
    "reencrypt-flag": reencrypt_flag,
}


def changed(copy, defect):
    binary, area = bytearray(copy[:BINARY_LEN]), copy[BINARY_LEN:]
    header = json.loads(area.rstrip(b"\0"))
    defect(header)
    text = json.dumps(header, separators=(",", ":")).encode()
    area = text.ljust(len(area), b"\0")
    binary[448:512] = bytes(64)
    binary[448:480] = hashlib.sha256(bytes(binary) + area).digest()
    return bytes(binary) + area


def main():
    defect, source, target = DEFECTS[sys.argv[1]], sys.argv[2], sys.argv[3]
    with open(source, "rb") as file:
        (size,) = struct.unpack(">Q", file.read(16)[8:])
        file.seek(0)
        copies = [file.read(size), file.read(size)]
    with open(target, "r+b") as file:
        for copy in copies:
            file.write(changed(copy, defect))


main()
