#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a C program of thousands of distinct functions, each of which runs once: under a translator nearly all its time
is translation.   generate_cold.py COUNT >cold.c"""
import random
import sys


def function(rng, number):
    """A function of about 60 machine instructions with branches, loads, stores and a call of an earlier function."""
    lines = [f"static NOINLINE u64 f{number}(u64 x, u64 y) {{", f"    u64 z = x + {rng.randrange(1, 99999)}u;"]
    for _ in range(8):
        slot, other = rng.randrange(1024), rng.randrange(1024)
        constant, shift = rng.randrange(3, 1 << 31) | 1, rng.randrange(1, 60)
        lines.append("    " + rng.choice([
            f"z = (z ^ y) * {constant}u + memory[{slot}];",
            f"if (z & {1 << rng.randrange(12)}u) y += z >> {shift}; else z -= memory[{slot}];",
            f"memory[{slot}] = z + memory[{other}];",
            f"y = (y << {shift} | y >> {64 - shift}) ^ memory[(z >> {shift}) & 1023];",
            f"bytes[z & 4095] += (unsigned char)(y >> {rng.randrange(40)});",
            f"if ((int64_t)(z - y) < {constant % 4096}) z = y % {constant % 1000 + 2}u; else y ^= {constant}u;",
        ]))
    lines += ["    return z ^ y;", "}"]
    return "\n".join(lines)


def main():
    count, rng = int(sys.argv[1]), random.Random(1)
    print("#include <inttypes.h>\n#include <stdint.h>\n#include <stdio.h>\n"
          "#define NOINLINE __attribute__((noinline, noclone))\ntypedef uint64_t u64;\n"
          "static u64 memory[1024];\nstatic unsigned char bytes[4096];")
    for number in range(count):
        print(function(rng, number))
    print("int main(void) {\n    u64 x = 1, y = 2;")
    for number in range(count):
        print(f"    x = f{number}(x, y), y += x;")
    print('    printf("%016" PRIx64 "\\n", x + bytes[7]);\n    return 0;\n}')


main()
