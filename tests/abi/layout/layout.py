#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the layouts of the kernel's interface between a guest and the host (layout.c, ioctls.c).

Whatever differs must be translated by a handler, and is in TRANSLATED; whatever is there must differ. Ends with
`N passed, N failed`. The guest's programs run under RUNNER (default qemu-riscv64)."""
import argparse
import pathlib
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
TRANSLATED = {
    "struct stat": "sys_fs.c",
    "struct epoll_event": "sys_file.c (packed on x86-64)",
    "struct semid_ds": "sys_ipc.c (gaps behind the times on x86-64)",
}


def lines(compiler, runner):
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in ("layout.c", "ioctls.c"):
            program = f"{folder}/program"
            subprocess.run([compiler, "-static", "-o", program, FOLDER / source], check=True, timeout=120)
            text = subprocess.run([*runner, program], check=True, capture_output=True, text=True, timeout=60).stdout
            found.update(line.rsplit(" ", 1) for line in text.splitlines())
    return found


def structure(name):
    return name.removeprefix("sizeof(").removesuffix(")").split(".")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", default="qemu-riscv64", help="command that runs the guest's programs")
    parser.add_argument("--compiler", default="riscv64-linux-gnu-gcc")
    args = parser.parse_args()
    guest, host = lines(args.compiler, args.runner.split()), lines("gcc", [])
    failed = 0
    different = set()
    for name in sorted(guest.keys() | host.keys()):
        a, b = guest.get(name), host.get(name)
        if a == b:
            continue
        different.add(structure(name))
        if structure(name) not in TRANSLATED:
            print(f"FAIL {name}: guest {a}, host {b}")
            failed += 1
    for name in TRANSLATED.keys() - different:
        print(f"FAIL {name}: translated, but the same")
        failed += 1
    print(f"{len(guest) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
