#!/usr/bin/env python3
"""variables.py FROM TO TEXT: a firmware's store of variables in which the host has written systemd's
SystemdOptions, more words of a command line (UEFI PI, volume 3, 3.2; OVMF's authenticated variables)."""

import struct
import sys
import uuid

STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
OWNER = uuid.UUID("8cf2644b-4b0b-428f-9387-6d876050dc67").bytes_le
ADDED = 0x3F
# Kept over a restart, for boot services and for what runs later.
ATTRIBUTES = 7


def variable(name, text):
    name, data = ((part + "\0").encode("utf-16-le") for part in (name, text))
    head = struct.pack("<HBBIQ16sIII16s", 0x55AA, ADDED, 0, ATTRIBUTES, 0, bytes(16), 0, len(name), len(data), OWNER)
    return head + name + data


def main():
    source, target, text = sys.argv[1:]
    with open(source, "rb") as file:
        store = bytearray(file.read())
    volume_header_len = struct.unpack_from("<H", store, 48)[0]
    assert store[volume_header_len : volume_header_len + 16] == STORE, "no store of authenticated variables"
    at = volume_header_len + 28
    assert store[at : at + 2] == b"\xff\xff", "a variable is there"
    added = variable("SystemdOptions", text)
    store[at : at + len(added)] = added
    with open(target, "wb") as file:
        file.write(store)


main()
