# SPDX-License-Identifier: MIT
"""Fills a row's free bits: registers, immediates, rounding modes, orders. Straight-line instructions and their accesses."""

from rows import COMPRESSED_MEMORY, corner
from unit import WINDOW_HIGH, WINDOW_LOW, addi, store_imm

REGISTER_FIELDS = {  # by opcode: the fields that are registers, where the row leaves them free
    0x13: "ds", 0x1B: "ds", 0x03: "ds", 0x07: "ds", 0x67: "ds", 0x73: "ds", 0x33: "dst", 0x3B: "dst", 0x2F: "dst",
    0x53: "dst", 0x43: "dstu", 0x47: "dstu", 0x4B: "dstu", 0x4F: "dstu", 0x63: "st", 0x23: "st", 0x27: "st", 0x37: "d",
    0x17: "d", 0x6F: "d", 0x0F: "",
}
FIELD_LOW = {"d": 7, "s": 15, "t": 20, "u": 27}


class Registers:
    """Chooses registers: a pool, out of which the anchor is never written. Wishes (rd, rs1, ...) come first."""

    def __init__(self, rng, anchor, pool=None, wish=None, keep=()):
        self.rng, self.anchor, self.wish = rng, anchor, wish or {}
        self.keep = set(keep)  # not to be written
        self.pool = pool or list(range(32))

    def read(self, field="s"):
        return self.wish.get(field, self.rng.choice(self.pool))

    def write(self, field="d"):
        wish = self.wish.get(field)
        if wish is not None and wish != self.anchor and wish not in self.keep:
            return wish
        choices = [r for r in self.pool if r != self.anchor and r not in self.keep]
        return self.rng.choice(choices) if choices else 0

    def other(self, *without):
        """Some register to write, not x0 and none of `without`."""
        return self.rng.choice([r for r in range(1, 32) if r != self.anchor and r not in self.keep and r not in without])

    def small(self, written, field):
        """One of x8..x15."""
        wish = self.wish.get(field, self.rng.randrange(32)) % 8 + 8
        while written and (wish == self.anchor or wish in self.keep):
            wish = self.rng.randrange(8, 16)
        return wish


def scatter(word, free, pattern):
    """Puts the bits of `pattern` into the free bits of the word, lowest first."""
    for bit in range(32):
        if free >> bit & 1:
            word |= (pattern & 1) << bit
            pattern >>= 1
    return word


def fill_word(rng, row, registers, dynamic=True):
    """A 32-bit straight-line instruction. Returns the word and the integer register that it writes, or None."""
    word, free, written = row.value, ~row.mask & 0xFFFFFFFF, None
    for field in REGISTER_FIELDS.get(row.opcode, ""):
        low = FIELD_LOW[field]
        if not row.free(low, 5):
            continue
        if field == "d" and row.writes_int:
            register = written = registers.write()
        elif field == "s" and row.reads_int or field == "t" and row.opcode in (0x33, 0x3B, 0x2F, 0x23, 0x63):
            register = registers.read(field)
        else:
            register = rng.randrange(32) if rng.random() < 0.7 else rng.choice((0, 1, 2, 31))
        word |= register << low
        free &= ~(0x1F << low)
    if row.has_rm:
        word |= rng.choice((0, 1, 2, 3, 4, 7, 7) if dynamic else (0, 1, 2, 3, 4)) << 12
        free &= ~0x7000
    if row.kind == "csr":
        word |= rng.choice((1, 2, 3)) << 20
        free &= 0xFFFFF
    width = bin(free).count("1")
    if width:
        word = scatter(word, free, corner(rng, width))
    return word, written


def fill_compressed(rng, row, registers):
    """A 16-bit straight-line instruction without memory access: the half word and the register written."""
    half, name = row.value, row.name
    free = ~row.mask & 0xFFFF
    immediate, written = corner(rng, 8), None

    def put(low, width, value):
        nonlocal half, free
        half |= value << low
        free &= ~(((1 << width) - 1) << low)

    if name == "c.addi4spn":
        written = registers.small(True, "d")
        put(2, 3, written - 8)
        immediate = immediate or 1
    elif name in ("c.sub", "c.xor", "c.or", "c.and", "c.subw", "c.addw", "c.mul"):
        written = registers.small(True, "d")
        put(7, 3, written - 8)
        put(2, 3, registers.small(False, "t") - 8)
    elif row.free(7, 3) and not row.free(7, 5) or name in ("c.srli", "c.srai", "c.andi"):
        written = registers.small(True, "d")
        put(7, 3, written - 8)
    elif name in ("c.mv", "c.add"):
        written = registers.write()
        put(7, 5, written)
        put(2, 5, registers.read("t") or 1)
    elif name == "c.addi16sp":
        written = 2
        immediate = immediate % 64 or 1
    elif row.free(7, 5) and name not in ("c.nop", "c.unimp"):
        written = registers.write()
        if name == "c.addiw" and written == 0 or name == "c.lui" and written == 2:
            written = registers.other(2)
        put(7, 5, written)
        if name == "c.lui":
            immediate = immediate % 64 or 1
    width = bin(free).count("1")
    if width:
        half = scatter(half, free, immediate & ((1 << width) - 1))
        if name in ("c.lui", "c.addi16sp", "c.addi4spn") and half & 0x107C == 0 and half & free == 0:
            half |= free & -free
    return half, written


def fill_plain(rng, row, registers, dynamic=True):
    if row.size == 4:
        return fill_word(rng, row, registers, dynamic)
    return fill_compressed(rng, row, registers)


# ---- memory -----------------------------------------------------------------------------------------------------

def compressed_offset(rng, row):
    """An offset that the compressed access can encode, and its bits in place."""
    size, form, _ = COMPRESSED_MEMORY[row.name]
    if form == "z":
        offset = rng.choice((0, 2)) if size == 2 else rng.randrange(4)
        return offset, (offset >> 1 & 1) << 5 | (0 if size == 2 else (offset & 1) << 6)
    count = 64 if form == "sp" or size == 4 else 32
    if form == "r":
        count = 32
    offset = rng.choice((0, 1, count - 1, rng.randrange(count), rng.randrange(min(count, 8)))) * size
    store = COMPRESSED_MEMORY[row.name][2] == "store"
    if form == "r":
        bits = (offset >> 3 & 7) << 10
        bits |= (offset >> 6 & 3) << 5 if size == 8 else (offset >> 2 & 1) << 6 | (offset >> 6 & 1) << 5
    elif store:
        bits = (offset >> 3 & 7) << 10 | (offset >> 6 & 7) << 7 if size == 8 else (
            (offset >> 2 & 0xF) << 9 | (offset >> 6 & 3) << 7)
    elif size == 8:
        bits = (offset >> 5 & 1) << 12 | (offset >> 3 & 3) << 5 | (offset >> 6 & 7) << 2
    else:
        bits = (offset >> 5 & 1) << 12 | (offset >> 2 & 7) << 4 | (offset >> 6 & 3) << 2
    return offset, bits


def base_allowed(row, base):
    if row.size == 4:
        return base != 0
    form = COMPRESSED_MEMORY[row.name][1]
    return base == 2 if form == "sp" else 8 <= base < 16


def address_ok(address, size):
    return WINDOW_LOW <= address and address + size <= WINDOW_HIGH


def fill_access(rng, row, registers, base, known):
    """A load, store or atomic through register `base`.

    `known` is the base's offset from A, or None where the unit may still choose it.
    Returns (encoding, register written, address, offset of the base), or None if this base cannot reach the window.
    """
    size = row.access
    if row.size == 2:
        immediate, bits = compressed_offset(rng, row)
    elif row.kind == "atomic":
        immediate, bits = 0, 0
    elif known is None:
        immediate, bits = rng.choice((0, 1, -1, 8, 2047, -2048, rng.randint(-2048, 2047), rng.randint(-64, 64))), 0
    else:
        immediate, bits = target_address(rng, size) - known, 0
        if not -2048 <= immediate < 2048:
            return None
    if known is None:
        known = target_address(rng, size, row.kind == "atomic") - immediate
    address = known + immediate
    if not address_ok(address, size) or row.kind == "atomic" and address % size:
        return None
    if row.size == 2:
        encoding, written = fill_compressed_access(rng, row, registers, base, bits)
    else:
        encoding, written = fill_wide_access(rng, row, registers, base, immediate)
    return encoding, written, address, known


def fill_at(rng, row, registers, base):
    """The row's access through `base` with offset 0; the base itself is not written."""
    if row.size == 2:
        return fill_compressed_access(rng, row, registers, base, 0)
    return fill_wide_access(rng, row, registers, base, 0)


def target_address(rng, size, aligned=False):
    choice = rng.randrange(10)
    if aligned:
        return rng.randrange(WINDOW_LOW, WINDOW_HIGH - size + 1) & -size
    if choice < 2 and size > 1:
        return -rng.randrange(1, size)                                  # crosses the page boundary
    address = rng.randrange(WINDOW_LOW, WINDOW_HIGH - size + 1)
    if choice < 5:
        address = rng.randrange(-16, 16)                                # near others: forwarding, overlap
    return address if choice in (2, 9) else address & -size


def fill_wide_access(rng, row, registers, base, immediate):
    word, written = row.value | base << 15, None
    if row.kind == "store":
        data = registers.read("t") if row.opcode == 0x23 else rng.randrange(32)
        return store_imm(word | data << 20, immediate), None
    if row.kind == "load":
        if row.opcode == 0x03:
            data = written = registers.write()
        else:
            data = rng.randrange(32)
        return word | data << 7 | (immediate & 0xFFF) << 20, written
    written = registers.write()
    word |= written << 7 | rng.randrange(4) << 25 & ~row.mask
    if row.free(20, 5):
        word |= registers.read("t") << 20
    return word, written


def fill_compressed_access(rng, row, registers, base, bits):
    form, kind = COMPRESSED_MEMORY[row.name][1:]
    half, written = row.value | bits, None
    integer = not row.name.startswith("c.f")
    if form == "sp" and kind == "load":
        data = registers.write() if integer else rng.randrange(32)
        if integer:
            data = written = data or registers.other(2)
        return half | data << 7, written
    if form == "sp":
        return half | (registers.read("t") if integer else rng.randrange(32)) << 2, None
    data = registers.small(kind == "load", "t" if kind == "store" else "d") if integer else rng.randrange(8, 16)
    if kind == "load" and integer:
        written = data
    return half | (base - 8) << 7 | (data - 8) << 2, written


def emit_access(rng, unit, row, registers, pointers):
    """Appends an access through one of the pointers {register: offset from A}. None if none fits, else (base, register
    written, address)."""
    for _ in range(30):
        base = rng.choice(list(pointers))
        if not base_allowed(row, base):
            continue
        filled = fill_access(rng, row, registers, base, pointers[base])
        if filled:
            unit.emit(filled[0], row.size)
            return base, filled[1], filled[2]
    return None


def emit_pointer(rng, unit, registers, pointers):
    """Makes a pointer out of another by addi."""
    source = rng.choice(list(pointers))
    offset = rng.choice((0, 8, -8, 64, rng.randint(-256, 256), target_address(rng, 8) - pointers[source]))
    target = registers.write()
    if target and -2048 <= offset < 2048 and abs(pointers[source] + offset) < 4096:
        unit.word(addi(target, source, offset))
        pointers[target] = pointers[source] + offset
