#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random C programs by csmith: what the host's compiler and processor make of them against the riscv64 compiler and kiln.

    tests/csmith.py --kiln build/kiln [--tiers WAY,WAY] [--count 200] [--seed 1] [--jobs 2] [--keep DIR]

A program whose native form runs longer than the limit (csmith makes endless ones) is passed over by the next seed. In the
interpreter run those that end quickly. `--kiln qemu-riscv64 --tiers qemu` checks the test itself."""
import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import support

NATIVE_LIMIT = 5
INTERP_NATIVE_LIMIT = 0.05  # seconds: what runs longer natively is too long for the interpreter
HEADERS = ["-I/usr/include/csmith", "-w"]
LEVELS = ["-O0", "-O1", "-O2", "-O3"]


class Skipped(Exception):
    pass


def prepare(seed, folder):
    """Generates and builds one program. Returns (riscv64 binary, expected output, native seconds)."""
    source, native, guest = folder / f"{seed}.c", folder / f"{seed}.native", folder / f"{seed}.riscv64"
    if support.run(["csmith", "--seed", seed, "--no-argc", "-o", source], 60, cwd=folder).status != 0:
        raise Skipped("csmith gave up")
    error = support.compile_c(source, native, "native", [*HEADERS, "-O1"])
    if error:
        raise RuntimeError(error)
    start = time.monotonic()
    result = support.run([native], NATIVE_LIMIT)
    seconds = time.monotonic() - start
    if result.status != 0:
        raise Skipped(f"native: {result.status}")
    error = support.compile_c(source, guest, "riscv64", [*HEADERS, LEVELS[seed % 4]])
    if error:
        raise RuntimeError(error)
    return guest, result.output, seconds


def check(seed, args, folder):
    """[(tier, error text or '')], or None for a seed that was passed over."""
    try:
        guest, expected, seconds = prepare(seed, folder)
    except Skipped:
        return None
    except RuntimeError as error:
        return [("build", str(error))]
    outcomes = []
    for tier in args.tiers:
        if tier == "interp" and seconds > INTERP_NATIVE_LIMIT:
            continue
        command = [args.kiln] if tier == "qemu" else support.ways(args.kiln, [tier])[tier]
        result = support.run([*command, guest], (60 if tier in support.TIERS else 300) + 40 * seconds)
        good = result.status == 0 and result.output == expected
        outcomes.append((tier, "" if good else f"{result.output.strip()!r}, expected {expected.strip()!r}; {result.describe()}"))
    return outcomes


def run_seed(seed, args, folder):
    outcomes = check(seed, args, folder)
    bad = [(tier, text) for tier, text in outcomes or [] if text]
    for path in folder.glob(f"{seed}.*"):
        if bad and args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, args.keep)
        path.unlink()
    for tier, text in bad:
        print(f"FAIL seed {seed} ({LEVELS[seed % 4]}, {tier}): {text}", flush=True)
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tiers", type=lambda text: text.split(","), default=list(support.TIERS))
    parser.add_argument("--keep", type=Path, help="where the files of failing seeds go")
    args = parser.parse_args()
    counts = dict.fromkeys([*args.tiers, "build"], 0)
    done = skipped = failed = 0
    seed = args.seed
    with tempfile.TemporaryDirectory(prefix="kiln-csmith-") as name, ThreadPoolExecutor(args.jobs) as pool:
        while done < args.count:
            batch = range(seed, seed + min(50, args.count - done))
            seed = batch.stop
            for outcomes in pool.map(lambda s: run_seed(s, args, Path(name)), batch):
                if outcomes is None:
                    skipped += 1
                    continue
                done += 1
                for tier, text in outcomes:
                    counts[tier] += not text
                    failed += bool(text)
            if skipped > 3 * args.count + 50:
                print(f"FAIL {skipped} seeds passed over: csmith or the compiler does not work")
                failed += 1
                break
    print(f"{done} programs, {skipped} seeds passed over; " + ", ".join(f"{t} {n} ok" for t, n in counts.items() if n))
    print(f"{sum(counts.values())} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
