# SPDX-License-Identifier: MIT
"""Units with control flow: branches and jumps by row, loops and calls around random sequences."""

from fill import fill_at
from unit import NOP16, UNIT_FAULTS, Unit, addi, branch_imm, cb_imm, cj_imm, jal_imm, jalr

# The corners of each encoding's reach (jal's low one less the jump that leads around the code between).
REACH = {"b": (-4096, 4094), "cb": (-256, 254), "cj": (-2048, 2046), "j": (-1048560, 1048574)}


def marker_for(rng, *avoid):
    return rng.choice([r for r in range(1, 32) if r not in avoid])


def lay_out(rng, unit, marker, emit, far):
    """The instruction under test between a fall-through path and a target, in one of two directions.

    `emit()` appends the instruction, which refers to the label "target"; `far` is the distance wanted, or 0.
    """
    backward = far < 0 or not far and rng.random() < 0.5
    if backward:
        unit.jump("over")
        unit.label("target")
        start = len(unit.code)
        unit.word(addi(marker, marker, 3))
        unit.jump("end")
        if far:
            unit.pad(-far - (len(unit.code) - start))
        unit.label("over")
        emit()
        unit.word(addi(marker, marker, 5))
    else:
        start = len(unit.code)
        emit()
        unit.word(addi(marker, marker, 7))
        unit.jump("end")
        if far:
            unit.pad(far - (len(unit.code) - start))
        unit.label("target")
        unit.word(addi(marker, marker, 9))
    unit.label("end")
    unit.half(NOP16)


def distance(rng, form, index):
    low, high = REACH[form]
    if index % 16 == 0:
        return low
    if index % 16 == 1:
        return high
    return rng.choice((0, 0, 0, rng.randrange(64, 250) & -2, -(rng.randrange(64, 250) & -2)))


def branch_unit(rng, row, index, states):
    compressed = row.size == 2
    rs1 = 8 + index % 8 if compressed else index % 32
    rs2 = rng.choice((rs1, 0, rng.randrange(32), rng.randrange(32), rng.randrange(32)))
    anchor = rng.choice([r for r in range(1, 32) if r not in (rs1, rs2)])
    unit = Unit(rng, row.name, anchor)
    if compressed:
        def emit():
            unit.ref("target", lambda offset: cb_imm(row.value | (rs1 - 8) << 7, offset), 2)
    else:
        def emit():
            unit.ref("target", lambda offset: branch_imm(row.value | rs1 << 15 | rs2 << 20, offset), 4)
    lay_out(rng, unit, marker_for(rng, anchor), emit, distance(rng, "cb" if compressed else "b", index))
    unit.states, unit.int_kind = states, rng.choice((0, 2, 2, 1))
    return unit.finish()


def jump_units(rng, row, count):
    make = {"jal": jal_unit, "c.j": cj_unit}.get(row.name, register_jump_unit)
    return [make(rng, row, i) for i in range(count)]


def jal_unit(rng, row, index):
    rd = index % 32
    anchor = marker_for(rng, rd)
    unit = Unit(rng, row.name, anchor)
    far = distance(rng, "j" if index < 2 else "b", index)
    lay_out(rng, unit, marker_for(rng, anchor),
            lambda: unit.ref("target", lambda offset: jal_imm(row.value | rd << 7, offset), 4), far)
    return unit.finish()


def cj_unit(rng, row, index):
    anchor = marker_for(rng)
    unit = Unit(rng, row.name, anchor)
    lay_out(rng, unit, marker_for(rng, anchor),
            lambda: unit.ref("target", lambda offset: cj_imm(row.value, offset), 2), distance(rng, "cj", index))
    return unit.finish()


def register_jump_unit(rng, row, index):
    """jalr, c.jr, c.jalr through a register that auipc and addi set up; bit 0 of the sum is to be ignored."""
    base = index % 31 + 1
    rd = {"c.jr": 0, "c.jalr": 1}.get(row.name, rng.choice((base, 0, 1, 5, rng.randrange(32))))
    anchor = marker_for(rng, base, rd)
    unit = Unit(rng, row.name, anchor)
    immediate = 0 if row.size == 2 else rng.choice((0, 1, -1, 2047, -2048, rng.randint(-2048, 2047)))
    odd = rng.randrange(2)
    marker = marker_for(rng, anchor, base)

    def emit():
        place = len(unit.code)

        def delta():
            return unit.labels["target"] - place - immediate + odd

        unit.ref("target", lambda _: 0x17 | base << 7 | (delta() + 0x800 & 0xFFFFF000), 4)
        unit.ref("target", lambda _: addi(base, base, delta()), 4)
        if row.size == 2:
            unit.half(row.value | base << 7)
        else:
            unit.word(jalr(rd, base, immediate))

    lay_out(rng, unit, marker, emit, 0)
    return unit.finish()


def fork(sequence):
    """What holds on one path only must not be relied on behind the join."""
    return dict(sequence.pointers), sequence.dynamic


def join(sequence, saved):
    pointers, dynamic = saved
    sequence.pointers = {r: offset for r, offset in sequence.pointers.items() if pointers.get(r) == offset}
    sequence.dynamic = sequence.dynamic and dynamic


def skip_over(rng, unit, sequence, label):
    """A random branch over a few instructions."""
    saved = fork(sequence)
    word = 0x63 | rng.choice((0, 1, 4, 5, 6, 7)) << 12 | rng.randrange(32) << 15 | rng.randrange(32) << 20
    unit.ref(label, lambda offset: branch_imm(word, offset), 4)
    for _ in range(rng.randrange(1, 5)):
        sequence.step()
    unit.label(label)
    join(sequence, saved)


def loop_unit(rng, groups, start_sequence, states):
    """A counted loop around random instructions, some of them skipped by branches."""
    unit, sequence = start_sequence(rng, groups, "loop")
    counter = marker_for(rng, unit.anchor, *sequence.pointers)
    sequence.registers.keep = {counter} | set(sequence.pointers)  # pointers must hold in every round
    sequence.copies = False
    sequence.dynamic = rng.random() < 0.5
    if sequence.dynamic:
        sequence.weights = tuple(0 if i == 5 else weight for i, weight in enumerate(sequence.weights))
    unit.word(addi(counter, 0, rng.choice((1, 2, 3, 7))))
    unit.label("loop")
    for i in range(rng.randrange(1, 6)):
        sequence.step()
        if rng.random() < 0.4:
            skip_over(rng, unit, sequence, f"skip{i}")
    unit.word(addi(counter, counter, -1))
    unit.ref("loop", lambda offset: branch_imm(0x1063 | counter << 15, offset), 4)
    sequence.step()
    unit.states = states
    return unit.finish()


def call_unit(rng, groups, start_sequence, states):
    """A function called twice, by ra or t0; at times it returns somewhere else than behind the call."""
    unit, sequence = start_sequence(rng, groups, "call", rng.choice(("integer", "mixed", "memory")))
    link = rng.choice([r for r in (1, 5, 7) if r != unit.anchor and r not in sequence.pointers] or
                      [marker_for(rng, unit.anchor, *sequence.pointers)])
    sequence.registers.keep = {link}
    detour = rng.random() < 0.3
    for i in range(2):
        sequence.step()
        unit.ref("function", lambda offset: jal_imm(0x6F | link << 7, offset), 4)
        if detour:
            unit.half(NOP16)  # skipped by the function's return
        sequence.pointers.clear()
        sequence.dynamic = False
    unit.jump("end")
    unit.label("function")
    for i in range(rng.randrange(1, 5)):
        sequence.step()
        if rng.random() < 0.3:
            skip_over(rng, unit, sequence, f"skip{i}")
    if detour:
        unit.word(addi(link, link, 2))
    unit.word(jalr(0, link, 0))
    unit.label("end")
    sequence.step()
    unit.states = states
    return unit.finish()


def walk_unit(rng, groups, row, start_sequence, bad_page, states):
    """A loop whose access walks into a bad page; the handler puts the pointer back, and the loop goes on to its end."""
    unit, sequence = start_sequence(rng, groups, "walk")
    while len(unit.presets) > 3:
        register = next(iter(unit.presets))
        del unit.presets[register], sequence.pointers[register]
    choices = range(8, 16) if row.size == 2 else range(1, 32)
    pointer = marker_for(rng, unit.anchor, *sequence.pointers, *(r for r in range(32) if r not in choices))
    counter = marker_for(rng, unit.anchor, pointer, *sequence.pointers)
    sequence.registers.keep = {counter, pointer} | set(sequence.pointers)
    sequence.copies = sequence.dynamic = False
    rounds, size = rng.randrange(1, 12), row.access
    unit.word(addi(counter, 0, rounds))
    unit.label("loop")
    for i in range(rng.randrange(5)):
        sequence.step()
    encoding, _ = fill_at(rng, row, sequence.registers, pointer)
    unit.emit(encoding, row.size)
    for i in range(rng.randrange(5)):
        sequence.step()
    unit.word(addi(pointer, pointer, size))
    unit.word(addi(counter, counter, -1))
    unit.ref("loop", lambda offset: branch_imm(0x1063 | counter << 15, offset), 4)
    sequence.step()
    good = rng.randrange(-64, 300) & -size
    unit.presets[pointer] = (0, bad_page - size * rng.randrange(rounds))
    unit.flags |= UNIT_FAULTS
    unit.fix_reg, unit.fix_value, unit.states = pointer, good, states
    return unit.finish()
