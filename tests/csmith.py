#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random C programs by csmith: what the host's compiler and processor make of them against the riscv64 compiler and kiln.

    tests/csmith.py --kiln build/kiln [--ways WAY,WAY] [--count 200] [--seed 1] [--jobs 2] [--keep DIR]

A program whose native form runs longer than the limit (csmith makes endless ones) is passed over by the next seed. In the
interpreter run those that end quickly. `--kiln qemu-riscv64` checks the test itself."""
import argparse
import sys
import time

import support

NATIVE_LIMIT = 5
INTERP_NATIVE_LIMIT = 0.05  # seconds: what runs longer natively is too long for the interpreter
HEADERS = ["-I/usr/include/csmith", "-w"]


def level(seed):
    return support.LEVELS[seed % 4]


def prepare(seed, folder):
    """Generates and builds one program. Returns (riscv64 binary, expected output, native seconds)."""
    source, native, guest = folder / f"{seed}.c", folder / f"{seed}.native", folder / f"{seed}.riscv64"
    if support.run(["csmith", "--seed", seed, "--no-argc", "-o", source], 60, cwd=folder).status != 0:
        raise support.Skipped("csmith gave up")
    error = support.compile_c(source, native, "native", [*HEADERS, "-O1"])
    if error:
        raise RuntimeError(error)
    start = time.monotonic()
    result = support.run([native], NATIVE_LIMIT)
    seconds = time.monotonic() - start
    if result.status != 0:
        raise support.Skipped(f"native: {result.status}")
    error = support.compile_c(source, guest, "riscv64", [*HEADERS, level(seed)])
    if error:
        raise RuntimeError(error)
    return guest, result.output, seconds


def check(seed, args, folder):
    guest, expected, seconds = prepare(seed, folder)
    outcomes = []
    for way, command in args.ways.items():
        if way == "interp" and seconds > INTERP_NATIVE_LIMIT:
            continue
        result = support.run([*command, guest], (60 if way in support.TIERS else 300) + 40 * seconds)
        good = result.status == 0 and result.output == expected
        outcomes.append((way, "" if good else f"{result.output.strip()!r}, expected {expected.strip()!r}; {result.describe()}"))
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    support.random_arguments(parser, 200)
    parser.add_argument("--ways", default=",".join(support.TIERS))
    args = parser.parse_args()
    args.ways = support.ways_of(args.kiln, args.ways.split(","))
    return support.run_random_programs(args, level, lambda seed, folder: check(seed, args, folder))


sys.exit(main())
