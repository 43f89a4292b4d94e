#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a C header of a file that is cut in two at a mark: NAME_head, NAME_tail, arrays of its bytes.

    embed.py FILE MARK NAME OUTPUT"""
import sys

source, mark, name, output = sys.argv[1:]
head, found, tail = open(source, "rb").read().partition(mark.encode())
if not found or mark.encode() in tail:
    sys.exit(f"{source}: '{mark}' must stand in it once")
with open(output, "w") as out:
    for part, data in (("head", head), ("tail", tail)):
        rows = [", ".join(map(str, data[at:at + 24])) for at in range(0, len(data), 24)]
        out.write(f"static const unsigned char {name}_{part}[] = {{\n    " + ",\n    ".join(rows) + "};\n")
