# SPDX-License-Identifier: MIT
"""Test units: machine code under test with the descriptor that the driver reads, and their packing into one program.

A unit's addresses are relative to A (see driver.c): code may use [A - 256, A + 512).
"""

import struct

WINDOW_LOW, WINDOW_HIGH = -256, 512
X_OFFSET, EXIT_OFFSET = 1024, 1552
UNIT_MEMORY, UNIT_FLOAT, UNIT_FAULTS = 1, 2, 4
MAX_PRESETS = 7


# ---- the few encodings that units need around the instruction under test --------------------------------------------

def i_type(opcode, funct3, rd, rs1, imm):
    return (imm & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def addi(rd, rs1, imm):
    return i_type(0x13, 0, rd, rs1, imm)


def ld(rd, rs1, imm):
    return i_type(0x03, 3, rd, rs1, imm)


def sd(rs2, rs1, imm):
    return store_imm(0x3023 | rs1 << 15 | rs2 << 20, imm)


def jalr(rd, rs1, imm):
    return i_type(0x67, 0, rd, rs1, imm)


def load_constant(rd, value):
    """The words that put a signed 64-bit value into rd: lui and addiw, then shifts and addi."""
    if -1 << 31 <= value < 1 << 31:
        upper, lower = (value + 0x800) >> 12 & 0xFFFFF, (value & 0xFFF ^ 0x800) - 0x800
        if not upper:
            return [addi(rd, 0, lower)]
        return [upper << 12 | rd << 7 | 0x37] + ([i_type(0x1B, 0, rd, rd, lower)] if lower else [])
    lower = (value & 0xFFF ^ 0x800) - 0x800
    rest, shift = (value - lower) >> 12, 12
    while not rest & 1:
        rest, shift = rest >> 1, shift + 1
    rest = (rest + (1 << 63)) % (1 << 64) - (1 << 63)
    return load_constant(rd, rest) + [i_type(0x13, 1, rd, rd, shift)] + ([addi(rd, rd, lower)] if lower else [])


def store_imm(word, imm):
    return word | (imm & 0x1F) << 7 | (imm >> 5 & 0x7F) << 25


def branch_imm(word, offset):
    return (word | (offset >> 12 & 1) << 31 | (offset >> 5 & 0x3F) << 25 | (offset >> 1 & 0xF) << 8
            | (offset >> 11 & 1) << 7)


def jal_imm(word, offset):
    return (word | (offset >> 20 & 1) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20
            | (offset >> 12 & 0xFF) << 12)


def cj_imm(word, offset):
    for bit, place in ((11, 12), (4, 11), (9, 10), (8, 9), (10, 8), (6, 7), (7, 6), (3, 5), (2, 4), (1, 3), (5, 2)):
        word |= (offset >> bit & 1) << place
    return word


def cb_imm(word, offset):
    for bit, place in ((8, 12), (4, 11), (3, 10), (7, 6), (6, 5), (2, 4), (1, 3), (5, 2)):
        word |= (offset >> bit & 1) << place
    return word


NOP16 = 0x0001


class Unit:
    """Code with labels, and the input state it wants."""

    def __init__(self, rng, name, anchor):
        self.name, self.anchor = name, anchor
        self.hop = 30 if anchor == 31 else 31
        self.code = bytearray()
        self.labels, self.refs = {}, []
        self.presets = {}           # register: (constant?, value)
        self.flags = 0
        self.seed = rng.getrandbits(64)
        self.states, self.float_kind, self.int_kind = 1, 0, 0
        self.fix_reg, self.fix_value = 0, 0
        self.variants = []          # more descriptors over the same code: (name, presets, fix_reg, fix_value)
        self.word(ld(self.hop, anchor, X_OFFSET + 8 * self.hop))
        if rng.random() < 0.5:
            self.half(NOP16)

    def word(self, word):
        self.code += struct.pack("<I", word)

    def half(self, half):
        self.code += struct.pack("<H", half)

    def emit(self, encoding, size):
        self.word(encoding) if size == 4 else self.half(encoding)

    def label(self, name):
        self.labels[name] = len(self.code)

    def ref(self, label, encode, size):
        """Room for an instruction whose encoding depends on the distance to a label."""
        self.refs.append((len(self.code), label, encode, size))
        self.code += bytes(size)

    def jump(self, label):
        self.ref(label, lambda offset: jal_imm(0x6F, offset), 4)

    def pad(self, count):
        self.code += bytes(count)  # 16-bit zeros: illegal

    def finish(self):
        self.word(sd(self.hop, self.anchor, X_OFFSET + 8 * self.hop))
        self.word(ld(self.hop, self.anchor, EXIT_OFFSET))
        self.word(jalr(0, self.hop, 0))
        for place, label, encode, size in self.refs:
            encoding = encode(self.labels[label] - place)
            self.code[place:place + size] = encoding.to_bytes(size, "little")
        return self

    def pack(self, offset, name_index, name=None, presets=None, fix_reg=0, fix_value=0):
        presets = self.presets if presets is None else presets
        assert len(presets) <= MAX_PRESETS
        packed = b"".join(struct.pack("<BBHi", reg, constant, 0, value)
                          for reg, (constant, value) in presets.items())
        return struct.pack("<IHBBQBBBBB3xii56s8x", offset, name_index(name or self.name), self.anchor, self.flags, self.seed,
                           self.states, len(presets), self.float_kind, self.int_kind, fix_reg or self.fix_reg,
                           fix_value if fix_reg else self.fix_value, 0, packed)


SOURCE = """\
    .section .units, "ax"
    .balign 4096
    .globl code, code_end
code:
    .incbin "{code}"
    .balign 4
code_end:
    .section .rodata
    .balign 8
    .globl units, units_end, names
units:
    .incbin "{units}"
units_end:
names:
    .incbin "{names}"
"""


class Program:
    """Units in order, as the three blobs that the driver is linked with."""

    def __init__(self):
        self.code, self.descriptors = bytearray(), []
        self.names, self.index = [], {}
        self.place = []  # (start, end) of each descriptor's code, for disassembly

    def name_index(self, name):
        if name not in self.index:
            self.index[name] = len(self.names)
            self.names.append(name)
        return self.index[name]

    def add(self, unit):
        while len(self.code) % 4:
            self.code += b"\0"
        start = len(self.code)
        self.code += unit.code
        descriptors = [unit.pack(start, self.name_index)]
        for name, presets, fix_reg, fix_value in unit.variants:
            descriptors.append(unit.pack(start, self.name_index, name, presets, fix_reg, fix_value))
        self.descriptors += descriptors
        self.place += [(start, len(self.code))] * len(descriptors)

    def keep_only(self, index):
        """Drops all units but one, which keeps its place in the page."""
        start, end = self.place[index]
        low = start & -4096
        self.code = bytearray(start - low) + self.code[start:end]
        self.descriptors = [struct.pack("<I", start - low) + self.descriptors[index][4:]]
        self.place = [(start - low, end - low)]

    def write(self, directory):
        """Writes units.S and its blobs, where they differ; returns the paths of the blobs."""
        contents = {"code": bytes(self.code), "units": b"".join(self.descriptors),
                    "names": b"".join(name.encode().ljust(24, b"\0") for name in self.names)}
        paths = {name: directory / f"{name}.bin" for name in contents}
        for name, data in contents.items():
            write_if_changed(paths[name], data)
        write_if_changed(directory / "units.S", SOURCE.format(**paths).encode())
        return list(paths.values())


def write_if_changed(path, data):
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
