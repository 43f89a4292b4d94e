#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which rows of syscalls.def do the programs in this folder test?

Prints a table of all rows: number, name, how the call is done, the tests that name it in a `// Calls:` line. With --trace
the programs are run and what they really called is taken instead: the command must print one call a line with its name
before a parenthesis, as `kiln -strace` and `qemu-riscv64 -strace` do."""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent
TABLE = TESTS.parents[1] / "src/linux/syscalls.def"
ROW = re.compile(r"^(PASS|WAIT|CALL|NONE)\(\s*(\d+),\s*(\w+),", re.MULTILINE)
HOW = {"PASS": "host", "WAIT": "host, waits", "CALL": "kiln", "NONE": "absent"}
# What the kernel calls otherwise than the C library's tracers do.
ALIASES = {"fstatat64": "newfstatat", "fadvise64_64": "fadvise64", "umount": "umount2"}


def declared(source):
    text = source.read_text()
    return {name for line in re.findall(r"^// Calls: (.*)$", text, re.MULTILINE) for name in line.split()}


def traced(source, command, compiler):
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/{source.stem}"
        subprocess.run([compiler, "-O1", "-static", "-pthread", "-o", program, source, "-lm"], check=True, timeout=120)
        run = subprocess.run([*command, program], capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
        names = re.findall(r"^(?:\d+ )?(\w+)\(", (run.stdout + run.stderr).decode(errors="replace"), re.MULTILINE)
        return {ALIASES.get(name, name) for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", help="command that runs a program and prints its calls")
    parser.add_argument("--compiler", default="riscv64-linux-gnu-gcc")
    parser.add_argument("--missing", action="store_true", help="only rows without a test")
    args = parser.parse_args()
    rows = [(int(number), name, HOW[how]) for how, number, name in ROW.findall(TABLE.read_text())]
    tests = {name: [] for _, name, _ in rows}
    unknown = set()
    for source in sorted(TESTS.glob("*.c")):
        names = traced(source, args.trace.split(), args.compiler) if args.trace else declared(source)
        for name in names:
            if name in tests:
                tests[name].append(source.stem)
            else:
                unknown.add((source.stem, name))
    for number, name, how in rows:
        if not (args.missing and tests[name]):
            print(f"{number:4} {name:26} {how:12} {' '.join(tests[name]) or '-'}")
    for stem, name in sorted(unknown):
        if not args.trace:
            print(f"{stem}.c names {name}, which is no row of the table")
    offered = [row for row in rows if row[2] != "absent"]
    good = sum(1 for _, name, _ in offered if tests[name])
    print(f"{good} of {len(offered)} calls tested; {len(rows) - len(offered)} absent")
    return 1 if (unknown or good < len(offered)) and not args.trace else 0


sys.exit(main())
