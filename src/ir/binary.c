// SPDX-License-Identifier: MIT
//
// The binary form: little-endian, no pointers, no padding, fixed order. Addresses are as in the block; a
// reader in another process that mapped the guest file elsewhere moves image constants by the difference of
// the bases.
//
//   header   u32 magic, u32 version, u64 pc, u64 image_base, u32 mode, u32 guest_bytes, u32 guest_insns,
//            u32 flags, u32 counts of instructions, exits, wide constants, fault entries
//   insns    16 bytes each: op, type, aux (u16), c (u32), a and b or imm (u64)
//   exits    u64 target, u64 link, u8 kind, code, hint, image
//   wides    u64 lo, hi
//   faults   u32 at, u32 global, u32 value
//
// Operation numbers are positions in ops.def, so the version holds their count: readers of another list
// refuse.
#include "ir/bytes.h"
#include "ir/info.h"

enum {
    MAGIC = 0x3152494b, // "KIR1"
    VERSION = 1 << 16 | KIR_OP_COUNT,
    FLAG_MOVABLE = 1,
    FLAG_FOLDED = 2,
    HEADER_BYTES = 56,
    INSN_BYTES = 16,
    EXIT_BYTES = 20,
    WIDE_BYTES = 16,
    FAULT_BYTES = 12,
};

static uint64_t total_size(uint32_t insns, uint32_t exits, uint32_t wides, uint32_t faults) {
    return HEADER_BYTES + (uint64_t)insns * INSN_BYTES + (uint64_t)exits * EXIT_BYTES + (uint64_t)wides * WIDE_BYTES +
           (uint64_t)faults * FAULT_BYTES;
}

static void write_header(Writer *w, const KirBlock *block) {
    put_u32(w, MAGIC);
    put_u32(w, VERSION);
    put_u64(w, block->pc);
    put_u64(w, block->image_base);
    put_u32(w, block->mode);
    put_u32(w, block->guest_bytes);
    put_u32(w, block->guest_insns);
    put_u32(w, (block->image_valid ? FLAG_MOVABLE : 0) | (block->folded ? FLAG_FOLDED : 0));
    put_u32(w, block->count);
    put_u32(w, block->exit_count);
    put_u32(w, block->wide_count);
    put_u32(w, block->fault_count);
}

size_t kir_write(const KirBlock *block, uint8_t *out, size_t capacity) {
    Writer w = {.out = out, .capacity = capacity};
    write_header(&w, block);
    for (uint32_t i = 0; i < block->count; i++) put(&w, &block->insns[i], INSN_BYTES);
    for (uint32_t i = 0; i < block->exit_count; i++) put_exit(&w, &block->exits[i]);
    for (uint32_t i = 0; i < block->wide_count; i++) {
        put_u64(&w, block->wides[i].lo);
        put_u64(&w, block->wides[i].hi);
    }
    for (uint32_t i = 0; i < block->fault_count; i++) {
        put_u32(&w, block->faults[i].at);
        put_u32(&w, block->faults[i].global);
        put_u32(&w, block->faults[i].value);
    }
    return w.size;
}

// Slots without meaning may hold anything in a file; in memory they hold KIR_NONE.
static void normalise(KirInsn *insn) {
    if (insn->op >= KIR_OP_COUNT) return;
    unsigned unused = kir_op_facts[insn->op].unused;
    if (unused & 1) insn->a = KIR_NONE;
    if (unused & 2) insn->b = KIR_NONE;
    if (unused & 4) insn->c = KIR_NONE;
}

static void read_insns(Reader *r, KirBlock *block) {
    block->insns = arena_alloc(block->arena, (size_t)block->count * sizeof *block->insns);
    block->capacity = block->count;
    for (uint32_t i = 0; i < block->count; i++) {
        get(r, &block->insns[i], INSN_BYTES);
        normalise(&block->insns[i]);
    }
}

static void read_exits(Reader *r, KirBlock *block) {
    block->exits = arena_alloc(block->arena, (size_t)block->exit_count * sizeof *block->exits);
    block->exit_capacity = block->exit_count;
    for (uint32_t i = 0; i < block->exit_count; i++) get_exit(r, &block->exits[i]);
}

static void read_wides(Reader *r, KirBlock *block) {
    block->wides = arena_alloc(block->arena, (size_t)block->wide_count * sizeof *block->wides);
    block->wide_capacity = block->wide_count;
    for (uint32_t i = 0; i < block->wide_count; i++) {
        block->wides[i].lo = get_u64(r);
        block->wides[i].hi = get_u64(r);
    }
}

static bool read_faults(Reader *r, KirBlock *block) {
    block->faults = arena_alloc(block->arena, (size_t)block->fault_count * sizeof *block->faults);
    block->fault_capacity = block->fault_count;
    for (uint32_t i = 0; i < block->fault_count; i++) {
        uint32_t at = get_u32(r), global = get_u32(r), value = get_u32(r);
        if (global > UINT16_MAX) return false;
        block->faults[i] = (KirFaultEntry){.at = at, .global = (uint16_t)global, .value = value};
    }
    return true;
}

KirBlock *kir_read(Arena *arena, const KirWorld *world, const uint8_t *data, size_t size) {
    Reader r = {.next = data, .end = data + size, .arena = arena};
    if (get_u32(&r) != MAGIC || get_u32(&r) != VERSION) return NULL;
    uint64_t pc = get_u64(&r), base = get_u64(&r);
    KirBlock *block = kir_block_new(arena, world, pc, get_u32(&r));
    block->image_base = base;
    block->guest_bytes = get_u32(&r);
    block->guest_insns = get_u32(&r);
    uint32_t flags = get_u32(&r);
    block->image_valid = flags & FLAG_MOVABLE;
    block->folded = flags & FLAG_FOLDED;
    block->count = get_u32(&r);
    block->exit_count = get_u32(&r);
    block->wide_count = get_u32(&r);
    block->fault_count = get_u32(&r);
    if ((flags & ~(FLAG_MOVABLE | FLAG_FOLDED)) ||
        size != total_size(block->count, block->exit_count, block->wide_count, block->fault_count))
        return NULL;
    read_insns(&r, block);
    read_exits(&r, block);
    read_wides(&r, block);
    if (!read_faults(&r, block)) return NULL;
    return !r.failed && kir_verify(block, NULL, 0) ? block : NULL;
}
