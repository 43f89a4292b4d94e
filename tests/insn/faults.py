# SPDX-License-Identifier: MIT
"""Random sequences in which one access faults.

Every pointer of a sequence is turned bad in turn: its first access faults, in the midst of registers that were written
before and are written again behind it. The driver's handler notes all registers, pc and address, mends the pointer and
goes on, so both the state at the fault and the resumption are compared. Illegal instructions and breakpoints stand among
the others, and the handler steps over them.
"""

import random

from control import walk_unit
from fill import fill_access
from generate import ELSEWHERE, Groups, start_sequence
from unit import UNIT_FAULTS, Program

PAGES = {"none": 0x2000, "readonly": 0x4000, "unmapped": 0x6000}  # offsets from A, see driver.c
ILLEGAL = ((0x00000000, 2), (0xFFFFFFFF, 4), (0x0000007F, 4), (0x00100073, 4), (0x9002, 2), (0x8000, 2))


def bad_address(rng, row, pages=("none", "readonly", "unmapped")):
    """Where the faulting access goes: offset from A."""
    reads = row.kind == "load" or row.name.startswith("lr.")
    if row.name.startswith("sc."):
        pages = ("readonly",)                            # the lr before it is to succeed
    page = PAGES[rng.choice([p for p in pages if not (reads and p == "readonly")])]
    size = row.access
    aligned = row.kind == "atomic" or rng.random() < 0.4
    if aligned:
        return page + rng.randrange(0, 4096, size)
    place = rng.randrange(3)
    if place == 0 and size > 1:
        return page - rng.randrange(1, size)             # only the second page is bad
    if place == 1 and size > 1:
        return page + 4096 - rng.randrange(1, size)      # only the first page is bad
    return page + rng.randrange(0, 4096 - size)


def forced_access(rng, unit, sequence, row):
    """The row's access through a pointer of its own; returns (base, address)."""
    compressed_sp = row.size == 2 and row.name.endswith("sp")
    choices = [2] if compressed_sp else list(range(8, 16)) if row.size == 2 else list(range(1, 32))
    choices = [r for r in choices if r != unit.anchor and r not in unit.presets]
    if not choices:
        return None
    base = rng.choice(choices)
    for _ in range(50):
        filled = fill_access(rng, row, sequence.registers, base, None)
        if filled and abs(filled[3]) < 4096:
            encoding, written, address, offset = filled
            unit.presets[base] = (0, offset)
            return base, address, encoding, written
    return None


def fault_unit(rng, groups, row, states):
    unit, sequence = start_sequence(rng, groups, "fault.none")
    unit.flags |= UNIT_FAULTS
    sequence.copies = False
    while len(unit.presets) > 4:
        register = next(iter(unit.presets))
        del unit.presets[register], sequence.pointers[register]
    forced = forced_access(rng, unit, sequence, row)
    first = {}                                           # base: row and address of its first access
    sequence.registers.keep = set(unit.presets)
    length = rng.choice((4, 8, 12, 20, 30))
    position = rng.randrange(length)
    for i in range(length):
        before = len(sequence.accesses)
        if i == position and forced:
            base, address, encoding, written = forced
            if row.name.startswith("sc."):
                unit.word(row.value & ~0xF8000000 | 0x10000000 | base << 15)  # lr to x0 from the same place
                if rng.random() < 0.6:
                    unit.word(0x0040006F)                # jal x0, .+4: the sc starts a block
            unit.emit(encoding, row.size)
            sequence.pointers.pop(written, None)
            first[base] = (row, address)
        elif rng.random() < 0.02:
            unit.emit(*rng.choice(ILLEGAL))
        else:
            sequence.step()
        for base, accessed, address in sequence.accesses[before:]:
            first.setdefault(base, (accessed, address))
    add_variants(rng, unit, first)
    unit.states = states
    return unit.finish()


def add_variants(rng, unit, first):
    """For each pointer a descriptor in which its first access faults."""
    for base, (row, address) in first.items():
        if base not in unit.presets:
            continue
        good = unit.presets[base][1]
        bad = bad_address(rng, row) + good - address
        presets = {**unit.presets, base: (0, bad)}
        unit.variants.append((f"fault.{row.name}", presets, base, good))
    if unit.variants and rng.random() < 0.1:             # misaligned atomics
        for name, presets, base, good in list(unit.variants):
            if name.startswith(("fault.amo", "fault.lr", "fault.sc")):
                unit.variants.append((name, {**unit.presets, base: (0, good + 1)}, base, good))


def make_program(rows, seed, scale, states=2):
    rng = random.Random(seed * 1000003 + 17)
    program, groups = Program(), Groups(rows)
    accesses = [row for row in rows if row.kind in ("load", "store", "atomic") and row.name not in ELSEWHERE]
    covered = set()
    for row in accesses:
        for _ in range(max(1, int(24 * scale))):
            unit = fault_unit(rng, groups, row, states)
            covered |= {variant[0] for variant in unit.variants}
            program.add(unit)
        if not row.name.startswith("sc.") and not row.name.endswith("sp"):
            for _ in range(max(1, int(6 * scale))):
                page = "readonly" if row.kind != "load" and not row.name.startswith("lr.") else "none"
                page = PAGES[rng.choice((page, "unmapped"))]
                program.add(walk_unit(rng, groups, row, start_sequence, page, states))
    return program, [f"fault.{row.name}" for row in accesses if f"fault.{row.name}" not in covered]
