#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the guest's vdso for riscv64: a shared object of one page, as the bytes of a C array.

    vdso.py --header OUT.h      for the build
    vdso.py --elf OUT.so        the file itself, for readelf and objdump

The functions are few and short, so they stand here as instructions, and the build needs no assembler for the guest.

Three instructions of opcode custom-0 mean something in the vdso alone (guest/riscv64/vdso.c calls C for them):

    clock rd, rs1       rd = time of clock rs1: seconds << 30 | nanoseconds, or -1 where the system call must answer
    resolution rd, rs1  rd = its resolution in nanoseconds, or -1
    processor rd        rd = NUMA node << 32 | processor

rt_sigreturn comes first and has no unwind information: unwinders know a signal frame by these two instructions, and only
where they find no other description, also for the byte before them.
"""
import argparse
import struct
from pathlib import Path

PAGE = 4096
ZERO, RA, SP, T0, T1, T2, A0, A1, A7, T3 = 0, 1, 2, 5, 6, 7, 10, 11, 17, 28
SYSCALL = {"rt_sigreturn": 139, "clock_gettime": 113, "clock_getres": 114, "getcpu": 168, "gettimeofday": 169,
           "riscv_hwprobe": 258, "flush_icache": 259}
CUSTOM_0, NANOSECOND_BITS = 0x0B, 30
# x / 1000 for x < 2^32 is x * MILLI >> MILLI_SHIFT.
MILLI, MILLI_SHIFT = 274877907, 38
assert MILLI * 1000 - (1 << MILLI_SHIFT) < 1 << (MILLI_SHIFT - 32)


# ---- instructions: a number, or a branch (number, label) --------------------------------------------------------------
def i_type(opcode, f3, rd, rs1, imm): return (imm & 0xFFF) << 20 | rs1 << 15 | f3 << 12 | rd << 7 | opcode
def store(f3, rs2, imm, rs1): return (imm >> 5) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | (imm & 31) << 7 | 0x23
def addi(rd, rs1, imm): return i_type(0x13, 0, rd, rs1, imm)
def slli(rd, rs1, n): return i_type(0x13, 1, rd, rs1, n)
def srli(rd, rs1, n): return i_type(0x13, 5, rd, rs1, n)
def srai(rd, rs1, n): return i_type(0x13, 5, rd, rs1, 0x400 | n)
def sd(rs2, imm, rs1): return store(3, rs2, imm, rs1)
def sw(rs2, imm, rs1): return store(2, rs2, imm, rs1)
def mul(rd, rs1, rs2): return 1 << 25 | rs2 << 20 | rs1 << 15 | rd << 7 | 0x33
def li(rd, imm): return addi(rd, ZERO, imm)
def beqz(rs, label): return rs << 15 | 0x63, label
def bnez(rs, label): return rs << 15 | 1 << 12 | 0x63, label
def clock(rd, rs1): return i_type(CUSTOM_0, 0, rd, rs1, 0)
def resolution(rd, rs1): return i_type(CUSTOM_0, 1, rd, rs1, 0)
def processor(rd): return i_type(CUSTOM_0, 2, rd, ZERO, 0)
def li32(rd, n): return [((n + 0x800) & 0xFFFFF000) | rd << 7 | 0x37, i_type(0x1B, 0, rd, rd, n)]


ECALL, RET = 0x73, i_type(0x67, 0, ZERO, RA, 0)
DONE = [li(A0, 0), RET]


def system_call(name): return [li(A7, SYSCALL[name]), ECALL, RET]


# The time in T0 into T1 (seconds) and T2 (nanoseconds).
SPLIT = [srai(T1, T0, NANOSECOND_BITS), slli(T2, T0, 64 - NANOSECOND_BITS), srli(T2, T2, 64 - NANOSECOND_BITS)]

# Name -> code; a string is a label.
FUNCTIONS = {
    "rt_sigreturn": [li(A7, SYSCALL["rt_sigreturn"]), ECALL],
    "clock_gettime": [
        clock(T0, A0), addi(T1, T0, 1), beqz(T1, "slow"),
        *SPLIT, sd(T1, 0, A1), sd(T2, 8, A1), *DONE,
        "slow", *system_call("clock_gettime")],
    "gettimeofday": [
        bnez(A1, "slow"), beqz(A0, "done"), clock(T0, ZERO),
        *SPLIT, *li32(T3, MILLI), mul(T2, T2, T3), srli(T2, T2, MILLI_SHIFT), sd(T1, 0, A0), sd(T2, 8, A0),
        "done", *DONE,
        "slow", *system_call("gettimeofday")],
    "clock_getres": [
        resolution(T0, A0), addi(T1, T0, 1), beqz(T1, "slow"), beqz(A1, "done"), sd(ZERO, 0, A1), sd(T0, 8, A1),
        "done", *DONE,
        "slow", *system_call("clock_getres")],
    "getcpu": [
        processor(T0), beqz(A0, "node"), sw(T0, 0, A0),
        "node", beqz(A1, "done"), srli(T0, T0, 32), sw(T0, 0, A1),
        "done", *DONE],
    "flush_icache": system_call("flush_icache"),
    "riscv_hwprobe": system_call("riscv_hwprobe"),
}


def branch_offset(n):
    return (n >> 12 & 1) << 31 | (n >> 5 & 63) << 25 | (n >> 1 & 15) << 8 | (n >> 11 & 1) << 7


def assemble(code):
    labels, at = {}, 0
    for item in code:
        if isinstance(item, str): labels[item] = at
        else: at += 4
    words = []
    for item in code:
        if isinstance(item, str): continue
        if isinstance(item, tuple): item = item[0] | branch_offset(labels[item[1]] - 4 * len(words))
        words.append(item)
    return struct.pack(f"<{len(words)}I", *words)


# ---- the shared object ---------------------------------------------------------------------------------------------------
SONAME, VERSION = "linux-vdso.so.1", "LINUX_4.15"
VERSION_BASE, VERSION_OURS = 1, 2
HEADER, PROGRAM_HEADER, SEGMENTS = 64, 56, 4
EM_RISCV, FLAGS_RVC_DOUBLE = 243, 5
GLOBAL_FUNCTION, GLOBAL_OBJECT, ABSOLUTE = 0x12, 0x11, 0xFFF1
ALLOC, EXEC = 2, 4
# Numbers of sections, in the order in which build() adds them.
SECTION_TEXT, SECTION_SYMBOLS, SECTION_STRINGS = 1, 4, 5


def elf_hash(name):
    h = 0
    for c in name.encode():
        h = (h << 4) + c
        h = (h ^ (h >> 24 & 0xF0)) & 0x0FFFFFFF
    return h


class Strings:
    def __init__(self): self.data, self.at = b"\0", {}

    def add(self, text):
        if text not in self.at:
            self.at[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self.at[text]


def uleb(*values): return bytes(values)  # all below 128


def eh_frame(at, text, size):
    """Leaf functions that keep nothing on the stack: the CFA is sp, the return address stays in ra."""
    cie = struct.pack("<I", 0) + uleb(1) + b"zR\0" + uleb(1, 0x78, RA, 1, 0x1B) + bytes([0x0C]) + uleb(SP, 0)
    cie += bytes(-(len(cie) + 4) % 8)
    cie = struct.pack("<I", len(cie)) + cie
    here = at + len(cie) + 4
    fde = struct.pack("<Iii", here - at, text - (here + 4), size) + uleb(0)
    fde += bytes(-(len(fde) + 4) % 8)
    return cie + struct.pack("<I", len(fde)) + fde + bytes(4), at + len(cie)


def eh_frame_hdr(at, frames, text, fde):
    return struct.pack("<4BiIii", 1, 0x1B, 0x03, 0x3B, frames - (at + 4), 1, text - at, fde - at)


def version_definitions(strings):
    def one(index, flags, name, last):
        return struct.pack("<4HIII", 1, flags, index, 1, elf_hash(name), 20, 0 if last else 28) + \
            struct.pack("<II", strings.add(name), 0)
    return one(VERSION_BASE, 1, SONAME, False) + one(VERSION_OURS, 0, VERSION, True)


def hash_table(count):
    """One bucket: all symbols in one chain, last to first."""
    return struct.pack(f"<{3 + count}I", 1, count, count - 1, 0, *range(count - 1))


def gnu_hash(name):
    h = 5381
    for c in name.encode(): h = h * 33 + c & 0xFFFFFFFF
    return h


def gnu_hash_table(names):
    """One bucket, and a filter that lets everything pass. The last symbol's hash has bit 0 set, the others' have not."""
    hashes = [gnu_hash(name) & ~1 for name in names]
    hashes[-1] |= 1
    return struct.pack(f"<4IQ{1 + len(names)}I", 1, 1, 1, 0, (1 << 64) - 1, 1, *hashes)


class Sections:
    """One after the other from `start`, each with its header. Addresses are offsets in the file."""

    def __init__(self, start):
        self.start, self.data, self.headers, self.names = start, b"", [bytes(64)], Strings()
        self.at, self.size = {}, {}

    def next(self, align=8): return (self.start + len(self.data) + align - 1) & -align

    def add(self, name, kind, data, flags=ALLOC, link=0, info=0, align=8, entry=0):
        at = self.next(align)
        self.data += bytes(at - self.start - len(self.data)) + data
        self.at[name], self.size[name] = at, len(data)
        self.headers.append(struct.pack("<IIQQQQIIQQ", self.names.add(name), kind, flags, at if flags else 0, at, len(data),
                                        link, info, align, entry))


def symbol(name, info, section, value, size): return struct.pack("<IBBHQQ", name, info, 0, section, value, size)


def add_symbols(sections, code, address):
    strings = Strings()
    symbols = [bytes(24)] + [symbol(strings.add("__vdso_" + name), GLOBAL_FUNCTION, SECTION_TEXT, address[name],
                                    len(code[name])) for name in code]
    symbols.append(symbol(strings.add(VERSION), GLOBAL_OBJECT, ABSOLUTE, 0, 0))
    count, soname, versions = len(symbols), strings.add(SONAME), version_definitions(strings)
    # The second form is what C libraries look into for all other libraries: code that has been translated already.
    sections.add(".hash", 5, hash_table(count), link=SECTION_SYMBOLS, entry=4)
    sections.add(".gnu.hash", 0x6FFFFFF6, gnu_hash_table(["__vdso_" + name for name in code] + [VERSION]),
                 link=SECTION_SYMBOLS)
    sections.add(".dynsym", 11, b"".join(symbols), link=SECTION_STRINGS, info=1, entry=24)
    sections.add(".dynstr", 3, strings.data, align=1)
    sections.add(".gnu.version", 0x6FFFFFFF, struct.pack(f"<{count}H", 0, *[VERSION_OURS] * (count - 1)),
                 link=SECTION_SYMBOLS, align=2, entry=2)
    sections.add(".gnu.version_d", 0x6FFFFFFD, versions, link=SECTION_STRINGS, info=2)
    dynamic = [(14, soname), (4, sections.at[".hash"]), (0x6FFFFEF5, sections.at[".gnu.hash"]), (5, sections.at[".dynstr"]),
               (6, sections.at[".dynsym"]), (10, len(strings.data)), (11, 24), (0x6FFFFFF0, sections.at[".gnu.version"]),
               (0x6FFFFFFC, sections.at[".gnu.version_d"]), (0x6FFFFFFD, 2), (0, 0)]
    sections.add(".dynamic", 6, b"".join(struct.pack("<QQ", *entry) for entry in dynamic), link=SECTION_STRINGS, entry=16)


def build():
    code = {name: assemble(items) for name, items in FUNCTIONS.items()}
    sections = Sections(HEADER + SEGMENTS * PROGRAM_HEADER)
    text_at = at = sections.next(64)
    address = {}
    for name, text in code.items():
        address[name] = at
        at += (len(text) + 15) & -16
    sections.add(".text", 1, b"".join(code[name] + bytes(-len(code[name]) % 16) for name in code), ALLOC | EXEC, align=64)
    add_symbols(sections, code, address)
    sections.add(".note", 7, struct.pack("<III8sI", 6, 4, 0, b"Linux\0\0\0", 4 << 16 | 15 << 8), align=4)
    unwound, frames_at = address["clock_gettime"], sections.next()
    frames, fde_at = eh_frame(frames_at, unwound, at - unwound)
    sections.add(".eh_frame", 1, frames)
    sections.add(".eh_frame_hdr", 1, eh_frame_hdr(sections.next(4), frames_at, unwound, fde_at), align=4)
    sections.names.add(".shstrtab")
    sections.add(".shstrtab", 3, sections.names.data, flags=0, align=1)
    assert text_at == sections.at[".text"]
    return file_image(sections), address


def file_image(sections):
    headers_at = sections.next()
    size = headers_at + 64 * len(sections.headers)
    assert size <= PAGE
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    image = ident + struct.pack("<HHIQQQIHHHHHH", 3, EM_RISCV, 1, 0, HEADER, headers_at, FLAGS_RVC_DOUBLE, HEADER,
                                PROGRAM_HEADER, SEGMENTS, 64, len(sections.headers), len(sections.headers) - 1)
    image += struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, PAGE)  # loaded as a whole: readable and executable
    for kind, name, align in (2, ".dynamic", 8), (4, ".note", 4), (0x6474E550, ".eh_frame_hdr", 4):
        at, length = sections.at[name], sections.size[name]
        image += struct.pack("<IIQQQQQQ", kind, 4, at, at, at, length, length, align)
    image += sections.data
    return image + bytes(headers_at - len(image)) + b"".join(sections.headers)


def c_header(image, address):
    lines = ["// Made by scripts/vdso.py.", f"enum {{ RV_VDSO_SIGRETURN = {address['rt_sigreturn']} }};",
             "static const uint8_t vdso_image[] = {"]
    for at in range(0, len(image), 16):
        lines.append("    " + " ".join(f"0x{byte:02x}," for byte in image[at:at + 16]))
    return "\n".join(lines + ["};", ""])


def main():
    parser = argparse.ArgumentParser(description="the guest's vdso for riscv64")
    parser.add_argument("--header", type=Path)
    parser.add_argument("--elf", type=Path)
    args = parser.parse_args()
    image, address = build()
    if args.header: args.header.write_text(c_header(image, address))
    if args.elf: args.elf.write_bytes(image)


if __name__ == "__main__":
    main()
