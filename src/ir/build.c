// SPDX-License-Identifier: MIT
//
// The builder: appends instructions to a block and simplifies while it does so.
//
// Translation speed is what matters here. Every step is O(1): an operation is folded by looking at its
// operands' definitions alone (ir/fold.c), then looked up in a small direct-mapped table of recent pure
// operations, then appended. The table's entries are hints: an entry counts only if the instruction it names
// is bit for bit the wanted one, so it is never cleared, and a collision costs a duplicate at most. Pure
// operations depend on their operands alone, which SSA form never changes; that is why merging them needs no
// ordering.
//
// `current` forwards globals: after GET or SET of a global its value is known until a helper that writes
// globals is called. Slots without meaning hold KIR_NONE, so that equal operations are equal as bits.
#include <string.h>
#include "base/error.h"
#include "ir/fold.h"

enum { FIRST_INSNS = 128, FIRST_EXITS = 8, FIRST_WIDES = 4, RECENT_BITS = 7, RECENT_WIDES = 8 };

void kir_grow_insns(KirBlock *block) {
    uint32_t capacity = block->capacity ? block->capacity * 2 : FIRST_INSNS;
    block->insns = arena_grow(block->arena, block->insns, block->capacity * sizeof *block->insns, capacity * sizeof *block->insns);
    block->capacity = capacity;
}

KirBlock *kir_block_new(Arena *arena, const KirWorld *world, uint64_t pc, uint32_t mode) {
    KirBlock *block = arena_alloc(arena, sizeof *block);
    block->world = world;
    block->pc = pc;
    block->mode = mode;
    block->arena = arena;
    return block;
}

static void forget_globals(KirBuilder *b) {
    memset(b->current, 0xff, b->block->world->global_count * sizeof *b->current);
    b->generation++;
}

// A builder on a block that already has instructions continues it: it knows nothing of the globals.
void kir_builder_init(KirBuilder *b, KirBlock *block) {
    *b = (KirBuilder){.block = block};
    b->current = arena_alloc(block->arena, (block->world->global_count + 1) * sizeof *b->current);
    b->recent = arena_alloc(block->arena, sizeof *b->recent << RECENT_BITS);
    forget_globals(b);
    block->folded = block->count == 0;
    if (!block->insns) kir_grow_insns(block);
}

// ---- values -------------------------------------------------------------------------------------

static inline uint64_t head_word(const KirInsn *insn) {
    uint64_t word;
    memcpy(&word, insn, sizeof word);
    return word;
}

// The value of a pure operation: an earlier equal one, or the operation appended.
static inline KirRef reuse_or_append(KirBuilder *b, KirInsn insn) {
    uint64_t head = head_word(&insn), tail = insn.imm;
    uint64_t hash = (head ^ (tail << 29 | tail >> 35)) * 0x9e3779b97f4a7c15u;
    KirRef *recent = &b->recent[hash >> (64 - RECENT_BITS)];
    KirBlock *block = b->block;
    if (*recent < block->count) {
        const KirInsn *old = &block->insns[*recent];
        if (head_word(old) == head && old->imm == tail) return *recent;
    }
    return *recent = kir_append(block, insn);
}

static inline KirInsn make_const(KirType type, KirConstKind kind, uint64_t value) {
    return (KirInsn){.op = KIR_CONST, .type = (uint8_t)type, .aux = (uint16_t)kind, .c = KIR_NONE, .imm = value};
}

KirRef kir_const(KirBuilder *b, KirType type, uint64_t value) {
    return reuse_or_append(b, make_const(type, KIR_PLAIN, kir_low_bits(value, kir_bits(type))));
}

KirRef kir_image(KirBuilder *b, uint64_t address) {
    return reuse_or_append(b, make_const(KIR_I64, b->block->image_valid ? KIR_IMAGE : KIR_PLAIN, address));
}

// Wide constants are few: a short search backwards finds most repetitions.
static uint32_t wide_index(KirBlock *block, KirWide wide) {
    for (uint32_t n = 0; n < RECENT_WIDES && n < block->wide_count; n++) {
        uint32_t i = block->wide_count - 1 - n;
        if (block->wides[i].lo == wide.lo && block->wides[i].hi == wide.hi) return i;
    }
    if (block->wide_count == block->wide_capacity) {
        uint32_t capacity = block->wide_capacity ? block->wide_capacity * 2 : FIRST_WIDES;
        block->wides = arena_grow(block->arena, block->wides, block->wide_capacity * sizeof wide, capacity * sizeof wide);
        block->wide_capacity = capacity;
    }
    block->wides[block->wide_count] = wide;
    return block->wide_count++;
}

KirRef kir_constv(KirBuilder *b, KirType type, uint64_t lo, uint64_t hi) {
    KirWide wide = {lo, kir_bits(type) > 64 ? hi : 0};
    return reuse_or_append(
        b, (KirInsn){.op = KIR_CONSTV, .type = (uint8_t)type, .c = KIR_NONE, .a = wide_index(b->block, wide), .b = KIR_NONE});
}

// ---- instruction starts and globals -------------------------------------------------------------

void kir_insn_start(KirBuilder *b, uint64_t pc, unsigned bytes) {
    kir_append(b->block, (KirInsn){.op = KIR_INSN, .aux = (uint16_t)bytes, .c = KIR_NONE, .imm = pc});
}

void kir_count(KirBuilder *b, uint64_t address) { kir_append(b->block, (KirInsn){.op = KIR_COUNT, .c = KIR_NONE, .imm = address}); }

KirRef kir_get(KirBuilder *b, unsigned global) {
    KirRef known = b->current[global];
    if (known != KIR_NONE) return known;
    uint8_t type = b->block->world->globals[global].type;
    KirInsn insn = {.op = KIR_GET, .type = type, .c = KIR_NONE, .a = global, .b = KIR_NONE};
    return b->current[global] = kir_append(b->block, insn);
}

void kir_set(KirBuilder *b, unsigned global, KirRef value) {
    if (b->current[global] == value) return; // it holds this value already, in its home or by an earlier SET
    KirType type = kir_result_type_of(&b->block->insns[value]);
    debug_assert(type == b->block->world->globals[global].type);
    kir_append(b->block, (KirInsn){.op = KIR_SET, .type = (uint8_t)type, .c = KIR_NONE, .a = global, .b = value});
    b->current[global] = value;
}

// ---- operations ---------------------------------------------------------------------------------

static KirRef emit_call(KirBuilder *b, KirInsn insn) {
    unsigned helper = insn.op == KIR_CALL ? insn.a : insn.aux;
    KirRef result = kir_append(b->block, insn);
    if (b->block->world->helpers[helper].flags & KIR_HELPER_WRITES_GLOBALS) forget_globals(b);
    return result;
}

static KirRef emit_effect(KirBuilder *b, KirInsn insn) {
    switch (insn.op) {
    case KIR_GET: return kir_get(b, insn.a);
    case KIR_SET: kir_set(b, insn.a, insn.b); return KIR_NONE;
    case KIR_CALL:
    case KIR_CALL3: return emit_call(b, insn);
    case KIR_LOAD:
    case KIR_STORE: kir_fold_memory(b->block, &insn); break;
    default: break;
    }
    return kir_append(b->block, insn);
}

KirRef kir_emit(KirBuilder *b, KirOp op, KirType type, unsigned aux, uint32_t a, uint32_t b_, uint32_t c) {
    const KirOpFacts *facts = &kir_op_facts[op];
    KirInsn insn = {
        .op = (uint8_t)op,
        .type = facts->free_type ? (uint8_t)type : facts->result,
        .aux = (uint16_t)aux,
        .a = a | -(uint32_t)(facts->unused & 1),
        .b = b_ | -(uint32_t)(facts->unused >> 1 & 1),
        .c = c | -(uint32_t)(facts->unused >> 2 & 1),
    };
    if (!(kir_op_info[op].flags & KIR_FLAG_PURE)) return emit_effect(b, insn);
    KirRef known = kir_fold(b, &insn);
    return known != KIR_NONE ? known : reuse_or_append(b, insn);
}

KirRef kir_load(KirBuilder *b, KirType type, unsigned mem, KirRef address, int32_t displacement) {
    return emit_effect(
        b,
        (KirInsn){
            .op = KIR_LOAD, .type = (uint8_t)type, .aux = (uint16_t)mem, .a = address, .b = (uint32_t)displacement, .c = KIR_NONE});
}

void kir_store(KirBuilder *b, unsigned mem, KirRef address, int32_t displacement, KirRef value) {
    uint8_t type = (uint8_t)kir_result_type_of(&b->block->insns[value]);
    emit_effect(
        b, (KirInsn){.op = KIR_STORE, .type = type, .aux = (uint16_t)mem, .a = address, .b = value, .c = (uint32_t)displacement});
}

KirRef kir_call(KirBuilder *b, unsigned helper, KirRef a, KirRef b_, KirRef c) {
    uint8_t type = b->block->world->helpers[helper].result;
    if (c == KIR_NONE) return emit_call(b, (KirInsn){.op = KIR_CALL, .type = type, .a = helper, .b = a, .c = b_});
    return emit_call(b, (KirInsn){.op = KIR_CALL3, .type = type, .aux = (uint16_t)helper, .a = a, .b = b_, .c = c});
}

// ---- exits --------------------------------------------------------------------------------------

unsigned kir_exit_new(KirBuilder *b, KirExit exit) {
    KirBlock *block = b->block;
    if (block->exit_count == block->exit_capacity) {
        uint32_t capacity = block->exit_capacity ? block->exit_capacity * 2 : FIRST_EXITS;
        block->exits = arena_grow(block->arena, block->exits, block->exit_capacity * sizeof exit, capacity * sizeof exit);
        block->exit_capacity = capacity;
    }
    block->exits[block->exit_count] = exit;
    return block->exit_count++;
}

unsigned kir_exit_direct(KirBuilder *b, uint64_t target) {
    return kir_exit_new(b, (KirExit){.target = target, .kind = KIR_EXIT_DIRECT, .image = b->block->image_valid});
}

unsigned kir_exit_exception(KirBuilder *b, KirException code, uint64_t pc) {
    return kir_exit_new(b,
                        (KirExit){.target = pc, .kind = KIR_EXIT_EXCEPTION, .code = (uint8_t)code, .image = b->block->image_valid});
}

static void append_exit(KirBuilder *b, KirOp op, unsigned aux, uint32_t a, uint32_t b_, uint32_t c) {
    kir_append(b->block, (KirInsn){.op = (uint8_t)op, .aux = (uint16_t)aux, .a = a, .b = b_, .c = c});
}

// A condition that is constant true stays: what follows in the block is dead, but the caller still has a
// final exit to make.
void kir_exit_if(KirBuilder *b, KirRef cond, unsigned exit) {
    const KirInsn *insn = &b->block->insns[cond];
    if (kir_is_plain(insn) && !insn->imm) return;
    append_exit(b, KIR_EXIT_IF, 0, cond, exit, KIR_NONE);
}

void kir_exit(KirBuilder *b, unsigned exit) { append_exit(b, KIR_EXIT, 0, exit, KIR_NONE, KIR_NONE); }

void kir_exit_cond(KirBuilder *b, KirRef cond, unsigned taken, unsigned not_taken) {
    const KirInsn *insn = &b->block->insns[cond];
    if (kir_is_plain(insn)) {
        kir_exit(b, insn->imm ? taken : not_taken);
    } else if (insn->op == KIR_NOT) {
        append_exit(b, KIR_EXIT_COND, 0, insn->a, not_taken, taken);
    } else {
        append_exit(b, KIR_EXIT_COND, 0, cond, taken, not_taken);
    }
}

void kir_exit_if_ind(KirBuilder *b, KirRef cond, KirRef pc, KirJumpHint hint) {
    const KirInsn *insn = &b->block->insns[cond];
    if (kir_is_plain(insn) && !insn->imm) return;
    append_exit(b, KIR_EXIT_IF_IND, hint, cond, pc, KIR_NONE);
}

// A target that turned out constant makes a direct exit, but for calls: those need the return address, which
// the caller of this function knows (it can ask kir_is_const first).
void kir_exit_ind(KirBuilder *b, KirRef pc, KirJumpHint hint) {
    KirInsn insn = b->block->insns[pc];
    if (insn.op == KIR_CONST && hint != KIR_JUMP_CALL) {
        kir_exit(
            b,
            kir_exit_new(
                b, (KirExit){.target = insn.imm, .kind = KIR_EXIT_DIRECT, .hint = (uint8_t)hint, .image = insn.aux == KIR_IMAGE}));
    } else {
        append_exit(b, KIR_EXIT_IND, hint, pc, KIR_NONE, KIR_NONE);
    }
}

// ---- copying ------------------------------------------------------------------------------------

// Slots of a copied instruction, with references renamed.
static KirInsn renamed(const KirInsn *insn, const KirRef *names) {
    KirInsn copy = *insn;
    unsigned refs = kir_op_facts[insn->op].refs;
    if ((refs & 1) && copy.a != KIR_NONE) copy.a = names[copy.a];
    if ((refs & 2) && copy.b != KIR_NONE) copy.b = names[copy.b];
    if ((refs & 4) && copy.c != KIR_NONE) copy.c = names[copy.c];
    return copy;
}

KirRef kir_rebuild(KirBuilder *b, const KirBlock *from, const KirInsn *insn, const KirRef *names) {
    KirInsn t = renamed(insn, names);
    switch (t.op) {
    case KIR_NOP: return KIR_NONE;
    case KIR_INSN: kir_insn_start(b, t.imm, t.aux); return KIR_NONE;
    case KIR_COUNT: kir_count(b, t.imm); return KIR_NONE;
    case KIR_CONST: return t.aux == KIR_IMAGE ? kir_image(b, t.imm) : kir_const(b, (KirType)t.type, t.imm);
    case KIR_CONSTV: {
        KirWide wide = from->wides[t.a];
        return kir_constv(b, (KirType)t.type, wide.lo, wide.hi);
    }
    case KIR_EXIT_IF: kir_exit_if(b, t.a, t.b); return KIR_NONE;
    case KIR_EXIT_IF_IND: kir_exit_if_ind(b, t.a, t.b, (KirJumpHint)t.aux); return KIR_NONE;
    case KIR_EXIT: kir_exit(b, t.a); return KIR_NONE;
    case KIR_EXIT_COND: kir_exit_cond(b, t.a, t.b, t.c); return KIR_NONE;
    case KIR_EXIT_IND: kir_exit_ind(b, t.a, (KirJumpHint)t.aux); return KIR_NONE;
    default: return kir_emit(b, (KirOp)t.op, (KirType)t.type, t.aux, t.a, t.b, t.c);
    }
}
