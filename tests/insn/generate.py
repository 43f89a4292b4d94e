# SPDX-License-Identifier: MIT
"""Generates the units of one seed: each row of the decode tables by itself, then random sequences of all of them.

    generate.py --out DIRECTORY [--seed N] [--scale X] [--list FILE]
"""

import argparse
import pathlib
import random

from control import branch_unit, call_unit, jump_units, loop_unit
from fill import Registers, base_allowed, emit_access, emit_pointer, fill_access, fill_plain
from rows import constant, load_rows
from unit import UNIT_FLOAT, UNIT_MEMORY, Program, Unit, addi, load_constant

# Rows that random units cannot hold: name, place where they are tested.
ELSEWHERE = {}

UNITS_PER_ROW = 32


def pick_anchor(rng, *avoid):
    while True:
        anchor = rng.randrange(1, 32)
        if anchor not in avoid:
            return anchor


def row_wishes(rng, index):
    """Registers for the index-th unit of a row: every register comes once in every place; often two are the same."""
    wish = {"d": index % 32, "s": (index * 5 + 3) % 32, "t": (index * 11 + 7) % 32}
    choice = rng.randrange(8)
    if choice == 0:
        wish["s"] = wish["d"]
    elif choice == 1:
        wish["t"] = wish["d"]
    elif choice == 2:
        wish["t"] = wish["s"]
    elif choice == 3:
        wish["s"] = wish["t"] = wish["d"]
    return wish


def plain_unit(rng, row, index, states):
    wish = row_wishes(rng, index)
    anchor = pick_anchor(rng, wish["d"])
    if row.name in ("c.addi16sp",):
        anchor = pick_anchor(rng, 2)
    unit = Unit(rng, row.name, anchor)
    registers = Registers(rng, anchor, wish=wish)
    encoding, _ = fill_plain(rng, row, registers)
    unit.emit(encoding, row.size)
    unit.states, unit.float_kind = states, row.float_kind
    unit.int_kind = rng.choice((0, 0, 0, 1, 2))
    unit.flags |= UNIT_FLOAT if row.is_float else 0
    return unit.finish()


def constant_unit(rng, row):
    """The instruction on operands that a translator knows, so that its folding is compared too."""
    rd, rs1, rs2 = rng.choice((5, 10, 12)), rng.randrange(8, 16), rng.choice((0, 14, 15, 14, 15))
    unit = Unit(rng, row.name, pick_anchor(rng, rd, rs1, rs2, 2, *range(8, 16)))
    registers = Registers(rng, unit.anchor, wish={"d": rd, "s": rs1, "t": rs2})
    for register in {rd, rs1, rs2, *range(8, 16)} - {0}:
        for word in load_constant(register, constant(rng)):
            unit.word(word)
    encoding, _ = fill_plain(rng, row, registers)
    unit.emit(encoding, row.size)
    unit.flags |= UNIT_FLOAT if row.is_float else 0
    return unit.finish()


def special_unit(rng, row, index, states):
    """ecall with a number that no kernel knows; ebreak and what else raises: the driver's handler goes on behind it."""
    anchor = pick_anchor(rng, 10, 17)  # ecall's
    unit = Unit(rng, row.name, anchor)
    if row.name == "ecall":
        unit.word(addi(17, 0, 2000))
    unit.emit(row.value, row.size)
    unit.states = states
    return unit.finish()


def memory_unit(rng, row, index, states):
    wish = row_wishes(rng, index)
    form = "sp" if row.size == 2 and not base_allowed(row, 8) else "r"
    if row.size == 2:
        base = 2 if form == "sp" else 8 + index % 8
    else:
        base = wish["s"] or 9
    anchor = pick_anchor(rng, base, wish["d"])
    unit = Unit(rng, row.name, anchor)
    registers = Registers(rng, anchor, wish=wish)
    filled = None
    while filled is None:
        filled = fill_access(rng, row, registers, base, None)
    encoding, _, address, offset = filled
    unit.presets[base] = (0, offset)
    if row.name.startswith("sc."):
        pair_reservation(rng, unit, row, base, index)
    unit.emit(encoding, row.size)
    unit.flags |= UNIT_MEMORY | (UNIT_FLOAT if row.is_float else 0)
    unit.states = states
    return unit.finish()


def pair_reservation(rng, unit, row, base, index):
    """Three of four sc stand behind an lr of the same size, some of them in a block of their own; some of the lr have another
    address, where the value may be the same."""
    if index % 4 == 0:
        return
    other = base
    if index % 8 == 7 and base != unit.anchor:
        other = unit.anchor
    target = rng.choice([r for r in range(32) if r not in (unit.anchor, base)])
    unit.word(row.value & ~0xF8000000 | 0x10000000 | other << 15 | target << 7 | rng.randrange(4) << 25)
    unit.int_kind = rng.choice((0, 2))
    if rng.random() < 0.5:
        unit.word(0x0040006F)  # jal x0, .+4


def row_units(rng, row, count, states):
    kind = row.kind
    if kind == "branch":
        return [branch_unit(rng, row, i, states) for i in range(count)]
    if kind == "jump":
        return jump_units(rng, row, count)
    make = {"alu": plain_unit, "csr": plain_unit, "fence": plain_unit, "special": special_unit}.get(kind, memory_unit)
    units = [make(rng, row, i, states) for i in range(count)]
    if kind == "alu":
        units += [constant_unit(rng, row) for _ in range(count)]
    return units


# ---- sequences --------------------------------------------------------------------------------------------------

PROFILES = {  # weights: integer, float, load/store, float load/store, atomic, csr, pointer arithmetic, constants
    "integer": (20, 0, 0, 0, 0, 0.5, 0, 1), "float": (4, 20, 1, 2, 0, 1, 1, 0), "memory": (6, 0, 16, 2, 1, 0, 4, 1),
    "mixed": (14, 8, 8, 4, 1, 0.5, 2, 1), "csr": (6, 12, 0, 0, 0, 6, 0, 0), "sparse": (5, 1, 1, 1, 1, 0.2, 1, 0),
    "constant": (16, 0, 2, 0, 0, 0, 1, 8),
}


class Groups:
    """The rows by what sequences choose them for."""

    def __init__(self, rows):
        def choose(test):
            return [row for row in rows if row.name not in ELSEWHERE and test(row)]

        self.integer = choose(lambda r: r.kind == "alu" and not r.is_float)
        self.float = choose(lambda r: r.kind == "alu" and r.is_float)
        self.memory = choose(lambda r: r.kind in ("load", "store") and not r.is_float)
        self.float_memory = choose(lambda r: r.kind in ("load", "store") and r.is_float)
        self.atomic = choose(lambda r: r.kind == "atomic" and not r.name.startswith(("lr.", "sc.")))
        self.csr = choose(lambda r: r.kind in ("csr", "fence") and r.name != "fence.i")
        self.order = (self.integer, self.float, self.memory, self.float_memory, self.atomic, self.csr)


class Sequence:
    """Appends random straight-line instructions to a unit and keeps account of what is known of its registers."""

    def __init__(self, rng, unit, groups, profile, pool, pointers):
        self.rng, self.unit, self.groups = rng, unit, groups
        self.weights = PROFILES[profile]
        self.registers = Registers(rng, unit.anchor, pool)
        self.pointers = dict(pointers)
        self.dynamic = True      # frm is known to be valid
        self.accesses = []       # (base, row, address) in order
        self.copies = True

    def step(self):
        rng = self.rng
        which = rng.choices(range(8), self.weights)[0]
        if which == 7:
            return self.constant()
        if which == 6:
            if self.copies and self.pointers:
                emit_pointer(rng, self.unit, self.registers, self.pointers)
            return
        rows = self.groups.order[which]
        if rows:
            self.row(rng.choice(rows))

    def constant(self):
        register = self.registers.write()
        for word in load_constant(register, constant(self.rng)):
            self.unit.word(word)
        self.pointers.pop(register, None)

    def row(self, row):
        if row.kind in ("load", "store", "atomic"):
            return self.access(row)
        if row.kind == "csr":
            return self.csr(row)
        if row.name == "c.addi16sp" and 2 in (self.unit.anchor, *self.registers.keep):
            return False
        encoding, written = fill_plain(self.rng, row, self.registers, self.dynamic)
        self.unit.emit(encoding, row.size)
        self.pointers.pop(written, None)
        return True

    def counter(self):
        """A counter, whose value is not compared; the translator calls out for it in the midst of live registers."""
        rd = self.registers.write()
        self.unit.word(self.rng.choice((0xC00, 0xC01, 0xC02)) << 20 | 2 << 12 | rd << 7 | 0x73)
        self.unit.word(rd << 20 | rd << 15 | 4 << 12 | rd << 7 | 0x33)  # xor rd, rd, rd
        self.pointers.pop(rd, None)

    def csr(self, row):
        if row.name == "csrrs" and self.rng.random() < 0.5:
            return self.counter()
        encoding, written = fill_plain(self.rng, row, self.registers)
        if row.name == "csrrwi" and self.rng.random() < 0.5:
            encoding = encoding & 0x000FFFFF & ~0xF8000 | 2 << 20 | self.rng.randrange(5) << 15
            self.dynamic = True
        elif encoding >> 20 != 1:
            self.dynamic = False
        self.unit.emit(encoding, 4)
        self.pointers.pop(written, None)

    def access(self, row):
        pointers = dict(self.pointers)
        pointers[self.unit.anchor] = 0
        done = emit_access(self.rng, self.unit, row, self.registers, pointers)
        if not done:
            return False
        base, written, address = done
        self.accesses.append((base, row, address))
        self.pointers.pop(written, None)
        return True


def choose_pool(rng, anchor):
    """The registers of a sequence: few, so that values meet, or all."""
    size = rng.choice((3, 4, 6, 8, 12, 32))
    if size == 32:
        return list(range(32))
    pool = rng.sample(range(1, 32), size)
    return pool + [0] * (rng.random() < 0.3) + [anchor] * (rng.random() < 0.3)


def start_sequence(rng, groups, name, profile=None):
    anchor = rng.randrange(1, 32)
    unit = Unit(rng, name, anchor)
    unit.flags |= UNIT_MEMORY | UNIT_FLOAT
    unit.float_kind, unit.int_kind = rng.choice((0, 0, 1, 2)), rng.choice((0, 0, 1, 2))
    bases = {rng.choice([r for r in range(8, 16) if r != anchor])}
    bases |= {rng.choice([r for r in range(1, 32) if r != anchor]) for _ in range(rng.randrange(1, 4))}
    if anchor != 2 and rng.random() < 0.6:
        bases.add(2)
    pointers = {}
    for base in sorted(bases):
        pointers[base] = rng.choice((0, 8, -8, -256, 64, rng.randrange(-256, 128) & -8, rng.randrange(-300, 300)))
        unit.presets[base] = (0, pointers[base])
    profile = profile or rng.choice(list(PROFILES))
    pool = choose_pool(rng, anchor)
    return unit, Sequence(rng, unit, groups, profile, pool, pointers)


def sequence_unit(rng, groups, states):
    unit, sequence = start_sequence(rng, groups, "sequence")
    for _ in range(rng.choice((2, 3, 5, 8, 12, 16, 20, 40, 120))):
        sequence.step()
    unit.states = states
    return unit.finish()


def make_program(rows, seed, scale, states=3):
    rng = random.Random(seed)
    program, groups = Program(), Groups(rows)
    covered = set()
    for row in rows:
        if row.name in ELSEWHERE:
            continue
        for unit in row_units(rng, row, max(1, int(UNITS_PER_ROW * scale)), states):
            program.add(unit)
            covered.add(row.name)
    for _ in range(int(2500 * scale)):
        program.add(sequence_unit(rng, groups, states))
    for _ in range(int(500 * scale)):
        program.add(loop_unit(rng, groups, start_sequence, states))
        program.add(call_unit(rng, groups, start_sequence, states))
    missing = [row.name for row in rows if row.name not in covered and row.name not in ELSEWHERE]
    return program, missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    program, missing = make_program(load_rows(), arguments.seed, arguments.scale)
    program.write(arguments.out)
    print(f"{len(program.descriptors)} units, {len(program.code)} bytes of code")
    for name in missing:
        print(f"row without a case: {name}")


if __name__ == "__main__":
    main()
