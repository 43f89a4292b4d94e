#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files that are no program for kiln: each must end with the right exit code and exactly one line on stderr that says what
is wrong, whatever bytes they hold.

    tests/unit/bad_elf.py --kiln build/src/tools/kiln

The files are made here from a small sound program, by breaking one thing at a time; then a few hundred random ways."""
import argparse
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

CANNOT_RUN, NOT_FOUND = 126, 127
EM_RISCV, EM_X86_64, EM_AARCH64, EM_ARM = 243, 62, 183, 40
PT_LOAD, PT_INTERP = 1, 3
BASE = 0x10000
# li a7, 93 (exit); li a0, 7; ecall
CODE = struct.pack("<III", 0x05D00893, 0x00700513, 0x00000073)
FILE_SIZE = 0x1000


def header(**change):
    f = dict(magic=b"\x7fELF", cls=2, data=1, type=2, machine=EM_RISCV, entry=BASE + 0x200, phoff=64, phentsize=56, phnum=1)
    f.update(change)
    ident = f["magic"] + bytes([f["cls"], f["data"], 1]) + bytes(9)
    order = ">" if f["data"] == 2 else "<"
    return ident + struct.pack(order + "HHIQQQIHHHHHH", f["type"], f["machine"], 1, f["entry"], f["phoff"], 0, 5, 64,
                               f["phentsize"], f["phnum"], 64, 0, 0)


def load(**change):
    f = dict(type=PT_LOAD, flags=7, offset=0, vaddr=BASE, filesz=FILE_SIZE, memsz=FILE_SIZE, align=0x1000)
    f.update(change)
    return struct.pack("<IIQQQQQQ", f["type"], f["flags"], f["offset"], f["vaddr"], f["vaddr"], f["filesz"], f["memsz"], f["align"])


def program(head=None, phdrs=None, size=FILE_SIZE):
    phdrs = [load()] if phdrs is None else phdrs
    head = header(phnum=len(phdrs)) if head is None else head
    body = bytearray(max(size, 0x400))
    body[:64] = head
    at = 64
    for p in phdrs:
        body[at:at + 56] = p
        at += 56
    body[0x200:0x200 + len(CODE)] = CODE
    return bytes(body[:size])


INTERP_AT = 0x300


def with_interp(name, filesz=None):
    interp = load(type=PT_INTERP, offset=INTERP_AT, filesz=len(name) if filesz is None else filesz)
    data = bytearray(program(header(phnum=2), [load(), interp]))
    data[INTERP_AT:INTERP_AT + len(name)] = name
    return bytes(data)


# name: (bytes, exit code, words that the line must contain)
FILES = {
    "empty": (b"", CANNOT_RUN, ["empty"]),
    "one byte": (b"\x7f", CANNOT_RUN, ["not an ELF"]),
    "text": (b"hello, world\n", CANNOT_RUN, ["not an ELF"]),
    "magic alone": (b"\x7fELF", CANNOT_RUN, ["truncated"]),
    "half a header": (program()[:40], CANNOT_RUN, ["truncated"]),
    "header alone": (program()[:64], CANNOT_RUN, ["truncated"]),
    "half a program header": (program()[:100], CANNOT_RUN, ["truncated"]),
    "half a segment": (program()[:0x800], CANNOT_RUN, ["truncated", "4096"]),
    "32 bits": (program(header(cls=1)), CANNOT_RUN, ["32-bit"]),
    "big-endian": (program(header(data=2)), CANNOT_RUN, ["big-endian"]),
    "x86-64": (program(header(machine=EM_X86_64)), CANNOT_RUN, ["x86-64", "without kiln"]),
    "AArch64": (program(header(machine=EM_AARCH64)), CANNOT_RUN, ["AArch64", "kiln-aarch64"]),
    "Arm": (program(header(machine=EM_ARM, cls=1)), CANNOT_RUN, ["Arm"]),
    "unknown machine": (program(header(machine=9999)), CANNOT_RUN, ["9999"]),
    "object file": (program(header(type=1)), CANNOT_RUN, ["object file"]),
    "core dump": (program(header(type=4)), CANNOT_RUN, ["core dump"]),
    "type 77": (program(header(type=77)), CANNOT_RUN, ["unknown type"]),
    "no program headers": (program(header(phnum=0)), CANNOT_RUN, ["no program headers"]),
    "program headers of 0 bytes": (program(header(phentsize=0)), CANNOT_RUN, ["corrupt"]),
    "program headers of 32 bytes": (program(header(phentsize=32)), CANNOT_RUN, ["corrupt"]),
    "65535 program headers": (program(header(phnum=0xffff)), CANNOT_RUN, ["corrupt"]),
    "program headers behind the end": (program(header(phoff=1 << 40)), CANNOT_RUN, ["truncated"]),
    "program headers at the highest offset": (program(header(phoff=(1 << 64) - 8)), CANNOT_RUN, ["corrupt"]),
    "no PT_LOAD": (program(phdrs=[load(type=4)]), CANNOT_RUN, ["PT_LOAD"]),
    "empty PT_LOAD": (program(phdrs=[load(filesz=0, memsz=0)]), CANNOT_RUN, ["PT_LOAD"]),
    "filesz above memsz": (program(phdrs=[load(memsz=16)]), CANNOT_RUN, ["corrupt"]),
    "huge memsz": (program(phdrs=[load(memsz=1 << 46)]), CANNOT_RUN, ["memory"]),
    "impossible memsz": (program(phdrs=[load(memsz=(1 << 64) - 1)]), CANNOT_RUN, ["outside"]),
    "wrapping address": (program(phdrs=[load(vaddr=(1 << 64) - 0x1000)]), CANNOT_RUN, ["outside"]),
    "kernel address": (program(phdrs=[load(vaddr=0xffff800000000000)]), CANNOT_RUN, ["outside"]),
    "misaligned offset": (program(phdrs=[load(offset=8, filesz=0x800)]), CANNOT_RUN, ["misaligned"]),
    "impossible offset": (program(phdrs=[load(offset=(1 << 64) - 0x1000)]), CANNOT_RUN, ["corrupt"]),
    "overlap": (program(phdrs=[load(), load(vaddr=BASE + 0x800, offset=0x800, filesz=0x100, memsz=0x100)]), CANNOT_RUN, ["overlap"]),
    "the same twice": (program(phdrs=[load(), load()]), CANNOT_RUN, ["overlap"]),
    "interpreter missing": (with_interp(b"/nonexistent/ld.so\0"), NOT_FOUND, ["/nonexistent/ld.so", "-L"]),
    "interpreter a directory": (with_interp(b"/tmp\0"), CANNOT_RUN, ["directory"]),
    "interpreter of another machine": (with_interp(b"/bin/true\0"), CANNOT_RUN, ["dynamic linker"]),
    "interpreter no string": (with_interp(b"/bin/true"), CANNOT_RUN, ["interpreter"]),
    "interpreter of 0 bytes": (with_interp(b"", 0), CANNOT_RUN, ["interpreter"]),
    "interpreter behind the end": (with_interp(b"x", 0xd01), CANNOT_RUN, ["truncated"]),
    "script without interpreter": (b"#!\n", CANNOT_RUN, ["interpreter"]),
    "script of blanks": (b"#!   \t ", CANNOT_RUN, ["interpreter"]),
    "script with a missing interpreter": (b"#!/nonexistent/sh\n", NOT_FOUND, ["/nonexistent/sh"]),
}

# These are odd, but Linux runs them.
SOUND = {
    "plain": program(),
    "movable": program(header(type=3, entry=0x200), [load(vaddr=0)]),
    "alignment that is no power of two": program(header(type=3, entry=0x200), [load(vaddr=0, align=0x3000)]),
    "large alignment": program(header(type=3, entry=0x200), [load(vaddr=0, align=0x200000)]),
    "bss": program(phdrs=[load(memsz=0x5000)]),
    "segments that share a page": program(phdrs=[load(filesz=0x800, memsz=0x800), load(vaddr=BASE + 0x800, offset=0x800, filesz=0x800, memsz=0x1000)]),
    "segments in the wrong order": program(phdrs=[load(vaddr=BASE + 0x10000), load()]),
    "segments far apart": program(phdrs=[load(), load(vaddr=BASE + (1 << 35))]),
}


class Counter:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, what):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print("FAIL", what)


def run(kiln, path):
    done = subprocess.run([kiln, path], stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    return done.returncode, done.stderr.decode(errors="replace")


def expect_error(counter, kiln, name, path, code, words):
    status, errors = run(kiln, path)
    lines = errors.splitlines()
    good = status == code and len(lines) == 1 and lines[0].startswith("kiln: ") and all(w in errors for w in words)
    counter.check(good, f"{name}: exit code {status} (expected {code}), stderr {errors!r}, expected words {words}")


def write(folder, data, mode=0o755):
    path = folder / "program"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def lowest_address(counter, kiln, folder):
    """vm.mmap_min_addr forbids it to all but the privileged."""
    path = write(folder, program(header(entry=0x200), [load(vaddr=0)]))
    status, errors = run(kiln, path)
    counter.check(status == 7 or (status == CANNOT_RUN and "mmap_min_addr" in errors and len(errors.splitlines()) == 1),
                  f"address 0: exit code {status}, stderr {errors!r}")


def special_files(counter, kiln, folder):
    expect_error(counter, kiln, "missing", folder / "missing", NOT_FOUND, ["No such file"])
    expect_error(counter, kiln, "missing, no path", "missing-program", NOT_FOUND, ["PATH"])
    expect_error(counter, kiln, "empty name", "", NOT_FOUND, ["empty"])
    expect_error(counter, kiln, "directory", folder, CANNOT_RUN, ["directory"])
    expect_error(counter, kiln, "not a directory", write(folder, program()) / "x", NOT_FOUND, ["Not a directory"])
    expect_error(counter, kiln, "not executable", write(folder, program(), 0o644), CANNOT_RUN, ["executable"])
    expect_error(counter, kiln, "device", "/dev/null", CANNOT_RUN, ["regular file"])
    os.mkfifo(folder / "fifo")
    expect_error(counter, kiln, "fifo", folder / "fifo", CANNOT_RUN, ["regular file"])
    os.symlink("link", folder / "link")
    expect_error(counter, kiln, "link to itself", folder / "link", CANNOT_RUN, ["symbolic links"])
    expect_error(counter, kiln, "long name", "x" * 5000, CANNOT_RUN, ["too long"])
    loop = folder / "loop"
    loop.write_text(f"#!{loop}\n")
    loop.chmod(0o755)
    expect_error(counter, kiln, "script that runs itself", loop, CANNOT_RUN, ["too many scripts"])
    if os.geteuid() != 0:
        expect_error(counter, kiln, "unreadable", write(folder, program(), 0o111), CANNOT_RUN, ["readable"])


def random_damage(counter, kiln, folder, rounds):
    """Random bytes in the headers: a clean end of any kind, never an internal error or a crash of kiln's own."""
    rng = random.Random(1)
    for number in range(rounds):
        data = bytearray(with_interp(b"/nonexistent/ld.so\0") if number % 4 == 0 else program())
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(4, 64 + 112)] = rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)])
        try:
            status, errors = run(kiln, write(folder, bytes(data)))
        except subprocess.TimeoutExpired:
            continue  # it ran, and its code loops
        clean = "internal error" not in errors and len(errors.splitlines()) <= 1
        counter.check(clean, f"random damage {number}: exit code {status}, stderr {errors!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--random", type=int, default=300)
    args = parser.parse_args()
    counter, folder = Counter(), Path(tempfile.mkdtemp(prefix="kiln-elf-"))
    kiln = args.kiln.absolute()
    try:
        for name, (data, code, words) in FILES.items():
            expect_error(counter, kiln, name, write(folder, data), code, words)
        for name, data in SOUND.items():
            status, errors = run(kiln, write(folder, data))
            counter.check(status == 7 and not errors, f"{name}: exit code {status} (expected 7), stderr {errors!r}")
        lowest_address(counter, kiln, folder)
        special_files(counter, kiln, folder)
        random_damage(counter, kiln, folder, args.random)
    finally:
        shutil.rmtree(folder)
    print(f"{counter.passed} passed, {counter.failed} failed")
    return 1 if counter.failed else 0


sys.exit(main())
