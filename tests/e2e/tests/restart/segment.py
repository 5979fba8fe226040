"""A records segment, which can be mapped and not read: from standard input, or into standard output."""

import mmap
import sys

if sys.argv[1] == "read":
    with mmap.mmap(0, 0, access=mmap.ACCESS_READ) as segment:
        sys.stdout.buffer.write(segment[:])
else:
    with mmap.mmap(1, 0) as segment:
        segment[:] = sys.stdin.buffer.read()
