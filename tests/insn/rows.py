# SPDX-License-Identifier: MIT
"""What the generators know about an instruction beyond its row in the decode table.

A row gives name, mask and value. From the encoding follow here: the operand classes (which registers are read and
written, of which kind), the memory access, and how free immediate bits are to be filled. Nothing else of the translator's
own tables is used, so a wrong field in a row shows as a difference.
"""

import pathlib
import re

TABLES = pathlib.Path(__file__).resolve().parents[2] / "src" / "guest" / "riscv64"
FIELD = re.compile(r"[a-z]\w*'?:(\d+)")


class Row:
    """One instruction: where its operands are, and what it touches."""

    def __init__(self, name, mask, value, size):
        self.name, self.mask, self.value, self.size = name, mask, value, size
        self.opcode = value & 0x7F if size == 4 else None

    def free(self, low, width):
        return not (self.mask >> low) & ((1 << width) - 1)

    @property
    def kind(self):
        """alu, load, store, atomic, branch, jump, csr, or special."""
        if self.size == 2:
            return compressed_kind(self.name)
        return {0x03: "load", 0x07: "load", 0x23: "store", 0x27: "store", 0x2F: "atomic", 0x63: "branch", 0x6F: "jump",
                0x67: "jump", 0x73: system_kind(self), 0x0F: "fence"}.get(self.opcode, "alu")

    @property
    def is_float(self):
        if self.size == 2:
            return self.name.startswith("c.f")
        return self.opcode in (0x07, 0x27, 0x43, 0x47, 0x4B, 0x4F, 0x53)

    @property
    def float_kind(self):
        """The driver's kind of float values: 1 single, 2 double, 3 half, 0 mixed."""
        if self.size == 4 and self.opcode in (0x43, 0x47, 0x4B, 0x4F, 0x53):
            if self.name.startswith("fcvt") and "." in self.name:
                source = self.name.split(".")[-1]
                return {"s": 1, "d": 2, "h": 3}.get(source, 0)
            return {0: 1, 1: 2, 2: 3}.get(self.value >> 25 & 3, 0)
        return 0

    @property
    def access(self):
        """Bytes of the memory access."""
        if self.size == 2:
            return COMPRESSED_MEMORY[self.name][0]
        return 1 << (self.value >> 12 & 3)

    @property
    def writes_int(self):
        """The bits 7..11 name an integer register that is written (32-bit encodings)."""
        if self.opcode in (0x23, 0x27, 0x63, 0x07, 0x43, 0x47, 0x4B, 0x4F, 0x0F):
            return False
        if self.opcode == 0x53:
            return self.value >> 27 in (0x14, 0x18, 0x1C)
        return self.free(7, 5)

    @property
    def reads_int(self):
        """The bits 15..19 name an integer register."""
        if not self.free(15, 5) or self.opcode in (0x43, 0x47, 0x4B, 0x4F, 0x37, 0x17, 0x6F):
            return False
        if self.opcode == 0x53:
            return self.value >> 27 in (0x1A, 0x1E, 0x16)
        return True

    @property
    def has_rm(self):
        return self.opcode in (0x43, 0x47, 0x4B, 0x4F, 0x53) and self.free(12, 3)


def system_kind(row):
    return "csr" if row.name.startswith("csrr") else "special"


# name: bytes, signed-ness is the row's business; base: sp or a register of x8..x15; largest offset; float data
COMPRESSED_MEMORY = {
    "c.fld": (8, "r", "load"), "c.lw": (4, "r", "load"), "c.ld": (8, "r", "load"),
    "c.fsd": (8, "r", "store"), "c.sw": (4, "r", "store"), "c.sd": (8, "r", "store"),
    "c.fldsp": (8, "sp", "load"), "c.lwsp": (4, "sp", "load"), "c.ldsp": (8, "sp", "load"),
    "c.fsdsp": (8, "sp", "store"), "c.swsp": (4, "sp", "store"), "c.sdsp": (8, "sp", "store"),
    "c.lbu": (1, "z", "load"), "c.lhu": (2, "z", "load"), "c.lh": (2, "z", "load"),
    "c.sb": (1, "z", "store"), "c.sh": (2, "z", "store"),
}


def compressed_kind(name):
    if name in COMPRESSED_MEMORY:
        return COMPRESSED_MEMORY[name][2]
    if name in ("c.beqz", "c.bnez"):
        return "branch"
    if name in ("c.j", "c.jr", "c.jalr"):
        return "jump"
    if name in ("c.ebreak", "c.unimp", "c.illegal"):
        return "special"
    return "alu"


def constant(rng):
    """A signed 64-bit value of the kinds that matter to integer instructions."""
    value = corner(rng, rng.choice((3, 6, 7, 8, 12, 16, 31, 32, 32, 33, 63, 64, 64)))
    value = -value if rng.random() < 0.3 else value
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def corner(rng, bits):
    """A bit pattern of that width: corners and random ones."""
    top = (1 << bits) - 1
    choice = rng.randrange(8)
    if choice < 4:
        return (0, 1, top, top >> 1, (top >> 1) + 1, top - 1)[rng.randrange(6)] & top
    if choice == 4:
        return 1 << rng.randrange(bits)
    return rng.randint(0, top)


def parse_row(line, bits):
    """`name bits-and-fields FORMAT ...` as a Row; see the head of insn32.decode."""
    name, *tokens = line.split()
    mask = value = width = 0
    for token in tokens:
        field = FIELD.fullmatch(token)
        if field:
            count, pattern, fixed = int(field[1]), 0, False
        elif set(token) <= {"0", "1"}:
            count, pattern, fixed = len(token), int(token, 2), True
        else:
            break
        value = value << count | pattern
        mask = mask << count | (fixed and (1 << count) - 1)
        width += count
    if width != bits:
        raise ValueError(f"{width} bits in the row: {line}")
    return Row(name, mask, value, bits // 8)


def load_rows(folder=TABLES):
    """All rows of the decode tables."""
    rows = []
    for path in sorted(folder.glob("*.decode")):
        bits = 32
        for line in path.read_text().splitlines():
            if line.startswith("%width"):
                bits = int(line.split()[1])
            elif line.strip() and line[0] not in "#%":
                rows.append(parse_row(line, bits))
    return rows
