#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kiln as a command: what it prints, how it ends, what the guest sees of arguments and environment.

    tests/options.py --kiln build/kiln --build build"""
import argparse
import signal
import sys
import tempfile
from pathlib import Path

import support

counts = {True: 0, False: 0}


def check(good, what):
    counts[bool(good)] += 1
    if not good:
        print(f"FAIL {what}")


class Kiln:
    def __init__(self, kiln, program):
        self.kiln, self.program = kiln, program

    def __call__(self, *options, guest=(), env=None):
        return support.run([self.kiln, *options, *([self.program, *guest] if guest is not None else [])], 30, extra_env=env)


def test_information(kiln):
    for option in ("--help", "-h", "-help"):
        done = kiln(option, guest=None)
        check(done.status == 0 and "--sysroot" in done.output and not done.errors, f"{option}: {done.describe()}")
    for option in ("--version", "-version"):
        check(kiln(option, guest=None).output.startswith("kiln "), option)
    man = kiln("--man", guest=None)
    check(man.status == 0 and man.output.startswith(".TH KILN 1") and "\\-\\-tier" in man.output, "--man")
    check("riscv64" in kiln("-cpu", "help", guest=None).output, "-cpu help")
    check("in_asm" in kiln("-d", "help", guest=None).output, "-d help")


def test_refusals(kiln, folder):
    for options in (["--nonsense"], ["-L"], [], ["--tier=warp"], ["-s", "x"], ["--stats=1"]):
        done = kiln(*options, guest=None)
        check(done.status == 1 and done.errors.startswith("kiln: ") and done.errors.count("\n") == 1,
              f"usage error of {options}: {done.describe()}")
    check(kiln("-cpu", "vax").status == 1, "unknown cpu model")
    check(kiln(folder / "missing", guest=None).status == 127, "missing program: 127")
    plain = folder / "plain"
    plain.write_bytes(b"\x7fELF" + b"\0" * 10)
    check(kiln(plain, guest=None).status == 126, "no permission: 126")
    plain.chmod(0o755)
    check(kiln(plain, guest=None).status == 126, "cut-off ELF file: 126")
    check(kiln("/bin/ls", guest=None).status == 126, "another architecture: 126")
    check(kiln("/", guest=None).status == 126, "a folder: 126")


def test_ends(kiln):
    for code in (0, 1, 77, 255):
        check(kiln(guest=["exit", str(code)]).status == code, f"exit code {code}")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV):
        check(kiln(guest=["kill", str(int(number))]).status == -number, f"killed by {number.name}")
    check(kiln(guest=["fault"]).status == -signal.SIGSEGV, "killed by a wild store")


def test_guest_view(kiln):
    program = kiln.program
    check(kiln(guest=["args", "-L", "--help", ""]).output == f"[{program}][args][-L][--help][]\n", "arguments belong to the guest")
    check(kiln("-0", "other", guest=["args"]).output == "[other][args]\n", "-0")
    check(kiln("-E", "A=1,2,B=x", "-U", "C", guest=["env", "A", "B", "C"], env={"C": "3"}).output == "A=1,2\nB=x\nC=(none)\n", "-E, -U")
    check(kiln(guest=["env", "D"], env={"QEMU_SET_ENV": "D=5"}).output == "D=5\n", "QEMU_SET_ENV")
    check(kiln("-r", "9.8.7", guest=["uname"]).output == "9.8.7 riscv64\n", "-r")
    check(kiln("-s", "16M", guest=["stack"]).output == "stack works 1\n", "-s")
    for tier in support.TIERS:
        check(kiln(f"--tier={tier}", guest=["args"]).status == 0, f"--tier={tier}")
    check("blocks_translated" in kiln("--stats", guest=["exit", "0"]).errors, "--stats")


def test_logs(kiln, folder):
    check("write(" in kiln("-strace", guest=["args"]).errors, "-strace")
    done = kiln("-d", "in_asm,op,op_opt,out_asm,exec,cpu", "-D", folder / "log.%d", guest=["args"])
    logs = list(folder.glob("log.*"))
    check(done.status == 0 and not done.errors and len(logs) == 1 and logs[0].stat().st_size > 1000, f"-d to a file: {done.describe()}")


def test_names(kiln, folder):
    link = folder / "kiln-riscv64"
    link.symlink_to(Path(kiln.kiln).resolve())
    check(support.run([link, kiln.program, "args"], 30).status == 0, "kiln-riscv64 runs riscv64")
    other = folder / "kiln-vax"
    other.symlink_to(Path(kiln.kiln).resolve())
    check(support.run([other, kiln.program, "args"], 30).status in (1, 126, 127), "kiln-vax does not")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kiln", required=True)
    parser.add_argument("--build", type=Path, required=True)
    args = parser.parse_args()
    program = args.build.resolve() / "test-programs/args.riscv64"
    error = support.compile_c(support.ROOT / "tests/prog/args.c", program, "riscv64", ["-O1"])
    check(not error, error or "args.c builds")
    kiln = Kiln(args.kiln, program)
    with tempfile.TemporaryDirectory(prefix="kiln-options-") as name:
        test_information(kiln)
        test_refusals(kiln, Path(name))
        test_ends(kiln)
        test_guest_view(kiln)
        test_logs(kiln, Path(name))
        test_names(kiln, Path(name))
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


sys.exit(main())
