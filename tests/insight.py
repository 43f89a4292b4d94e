#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What Kiln says of itself: counters, names for perf, the report.

    tests/insight.py --kiln build/kiln --build build [--keep FOLDER]"""
import argparse
import re
import sys
import tempfile
from pathlib import Path

import support

counts = {True: 0, False: 0}
KERNELS = ("sieve", "bytecode", "strings", "fft", "trees")
# Every trace that has run a few times gets its second form, and the program waits for it: all tiers take part.
ALL_TIERS = ["--mode=hybrid-sync", "--second-after=200"]


def check(good, what):
    counts[bool(good)] += 1
    if not good:
        print(f"FAIL {what}")
    return bool(good)


class Kiln:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def program(self, source, flags=("-O2", "-w")):
        target = self.folder / f"{source.stem}.riscv64"
        error = support.compile_c(source, target, "riscv64", list(flags))
        check(not error, error or f"{source.name} builds")
        return target

    def kernel(self, name):
        return self.program(support.ROOT / f"bench/kernels/{name}.c")

    def __call__(self, *words, cwd=None, env=None, timeout=120):
        return support.run([self.path, *words], timeout, cwd=cwd, extra_env=env)


# ---- counters ----------------------------------------------------------------------------------------------------------------

def counters(done):
    """{name: value} of --stats, one a line: name, value, meaning. Reasons are called "reason NAME"."""
    return {name: int(value) for name, value in re.findall(r"^((?:reason )?[\w-]+) +(\d+)  \S", done.errors, re.MULTILINE)}


def check_sums(c, what):
    for total, parts in (("traces_first", ["traces_straight", "traces_o_shaped", "traces_6_shaped"]),
                         ("traces_first", [f"traces_of_{n}" for n in (1, 2, 4, 8, 16, 32, "more")]),
                         ("dispatches", [f"left_{n}" for n in ("direct", "indirect", "counted", "exception", "fault")]),
                         ("requests", ["traces_second", "requests_failed", "requests_waiting"])):
        check(c[total] == sum(c[part] for part in parts), f"{what}: {total} = {' + '.join(parts)}: {c}")
    ends = ("head-repeated", "block-repeated", "backward-branch", "known-loop", "length", "exception", "interrupted", "code-gone")
    check(c["recordings"] == sum(c.get(f"reason {name}", 0) for name in ends), f"{what}: each recording has one reason: {c}")


def test_counters(kiln):
    """Sums agree, and what is counted in the tiers together is exactly what the interpreter counts."""
    second = 0
    for name in KERNELS:
        program = kiln.kernel(name)
        interpreted = counters(kiln("--tier=interp", "--stats", program, "1"))["interp_insns"]
        for options in ([], ALL_TIERS, [*ALL_TIERS, "--trace-cache=16K"], ["--mode=none"], ["--hot", "netplus=1", *ALL_TIERS]):
            what = f"{name} {' '.join(options)}"
            plain, counted = (kiln(*more, "--stats", *options, program, "1") for more in ([], ["--count"]))
            check(plain.same == counted.same, f"{what}: counting changes nothing: {counted.describe()}")
            check_sums(counters(plain), what)
            c = counters(counted)
            check_sums(c, what)
            check("insns_all" not in counters(plain), f"{what}: not counted without being asked for")
            tiers = [c[f"insns_{tier}"] for tier in ("interpreted", "blocks", "first", "second")]
            check(sum(tiers) == c["insns_all"] == interpreted, f"{what}: {tiers} are not {interpreted}")
            second += c["insns_second"]
            if "--trace-cache=16K" in options and name == "trees":
                check(c["traces_evicted"] > 0, f"{what}: evictions are counted")
    check(second > 0, "second forms were counted")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="leave the report and its picture here")
    args = parser.parse_args()
    kiln = Kiln(args.kiln.absolute(), args.build.resolve() / "test-programs/insight")
    with tempfile.TemporaryDirectory(prefix="kiln-insight-"):
        test_counters(kiln)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
