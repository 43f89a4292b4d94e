// SPDX-License-Identifier: MIT
//
// Where values are, as code is written from the first instruction to the last.
//
// A value may be at several places at once: registers (`holds` names the value of each register; Value.reg is the one to
// use), the home of an unpinned global, a spill slot; a constant is everywhere. Overwriting one of the places is allowed when another
// remains or the value is dead; `release` sees to that, and it is the only function that takes a register away from a value.
//
// Locking: operands of the current instruction are locked until alloc_end, so that taking a temporary never takes an operand.
#include "host/x86_64/emit.h"

enum { GPR, XMM };
static const uint16_t temp_mask[2] = {TEMP_GPR_MASK, TEMP_XMM_MASK};

// The only writer of `holds`.
static void hold(Emit *e, int class, unsigned reg, KirRef root) {
    e->holds[class][reg] = root;
    uint16_t bit = (uint16_t)(1u << reg);
    if (root == KIR_NONE) e->busy[class] &= (uint16_t)~bit;
    else e->busy[class] |= bit;
}

int64_t const_of(const Emit *e, KirRef v) {
    const KirInsn *k = &e->insns[v];
    switch (k->type) {
    case KIR_I1: return k->imm & 1;
    case KIR_I8: return (int8_t)k->imm;
    case KIR_I16: return (int16_t)k->imm;
    case KIR_I32: return (int32_t)k->imm;
    default: return (int64_t)k->imm;
    }
}

void alloc_start(Emit *e) {
    memset(e->holds, 0xff, sizeof e->holds);
    memset(e->home_value, 0xff, e->kir->world->global_count * sizeof *e->home_value);
    memset(e->slot_value, 0xff, sizeof e->slot_value);
    e->locked[GPR] = e->locked[XMM] = 0;
}

// ---- loads and stores of whole values ---------------------------------------------------------------------------------
static bool is_wide(const Emit *e, KirRef v) {
    KirType type = type_of(e, v);
    return type == KIR_V128 || type == KIR_I128;
}

static Mem slot_mem(int slot) {
    Mem m = CPU_MEM(spill);
    m.disp += slot * 16;
    return m;
}

static Mem home_mem(const Emit *e, int global) { return GUEST_MEM(e->kir->world->globals[global].offset); }

static void move(Emit *e, int class, unsigned dst, unsigned src) {
    if (dst == src) return;
    if (class == GPR) x_mov_rr(&e->c, 1, dst, src);
    else s_mov(&e->c, dst, src);
}

static void load(Emit *e, int class, unsigned reg, Mem m, bool wide) {
    if (class == GPR) x_mov_rm(&e->c, 1, reg, m);
    else s_rm(&e->c, wide ? (uint32_t)S_LOAD_128 : S_LOAD_64, 0, reg, m);
}

static void store(Emit *e, int class, Mem m, unsigned reg, bool wide) {
    if (class == GPR) x_mov_mr(&e->c, 1, m, reg);
    else s_rm(&e->c, wide ? (uint32_t)S_STORE_128 : S_STORE_64, 0, reg, m);
}

void load_const_gpr(Emit *e, unsigned reg, KirRef constant) {
    const KirInsn *k = &e->insns[constant];
    if (k->type == KIR_I64 || k->type == KIR_F64) x_mov_ri(&e->c, reg, k->imm);
    else x_mov_ri(&e->c, reg, (uint32_t)const_of(e, constant));
}

static void load_const_xmm(Emit *e, unsigned reg, KirRef constant) {
    const KirInsn *k = &e->insns[constant];
    KirWide bits = {k->imm, 0};
    if (k->op == KIR_CONSTV) bits = e->kir->wides[k->a];
    if (!bits.lo && !bits.hi) {
        s_op(&e->c, 0x0f57, 0, reg, reg); // xorps
        return;
    }
    KirWide *data = code_data_alloc(e->memory, sizeof *data);
    if (!data) {
        e->c.overflow = true;
        return;
    }
    *data = bits;
    s_rm(&e->c, S_LOAD_128, 0, reg, mem_rip(data));
}

// ---- places -----------------------------------------------------------------------------------------------------------
static bool is_immediate(const Emit *e, KirRef root) { return e->insns[root].op == KIR_CONST || e->insns[root].op == KIR_CONSTV; }

static bool in_memory(const Emit *e, KirRef root) {
    const Value *value = &e->values[root];
    return value->home != NO_GLOBAL || value->slot != NO_SLOT;
}

static Mem memory_of(const Emit *e, KirRef root) {
    const Value *value = &e->values[root];
    return value->home != NO_GLOBAL ? home_mem(e, value->home) : slot_mem(value->slot);
}

static int other_register(const Emit *e, int class, KirRef root, unsigned except) {
    for (unsigned r = 0; r < 16; r++)
        if (r != except && e->holds[class][r] == root) return (int)r;
    return -1;
}

static int new_slot(Emit *e, KirRef root) {
    for (int i = 0; i < CPU_SPILL_SLOTS; i++) {
        KirRef old = e->slot_value[i];
        if (old != KIR_NONE && e->values[old].last_use >= e->index) continue;
        if (old != KIR_NONE) e->values[old].slot = NO_SLOT;
        e->slot_value[i] = root;
        return i;
    }
    e->too_complex = true;
    return 0;
}

static void spill(Emit *e, int class, unsigned reg) {
    KirRef root = e->holds[class][reg];
    int slot = new_slot(e, root);
    e->values[root].slot = (int16_t)slot;
    store(e, class, slot_mem(slot), reg, is_wide(e, root));
}

static unsigned free_temp(const Emit *e, int class) {
    unsigned free = temp_mask[class] & ~(unsigned)(e->busy[class] | e->locked[class]);
    return free ? (unsigned)__builtin_ctz(free) : NO_REG;
}

// `reg` is about to be overwritten: its value must be somewhere else if it is needed behind this instruction or, while operands have
// not all been read, by it.
static void release(Emit *e, int class, unsigned reg, bool operands_read) {
    KirRef root = e->holds[class][reg];
    if (root == KIR_NONE) return;
    hold(e, class, reg, KIR_NONE);
    Value *value = &e->values[root];
    if (value->reg != reg) return; // a copy
    int other = other_register(e, class, root, reg);
    value->reg = other >= 0 ? (uint8_t)other : NO_REG;
    bool dead = operands_read ? value->last_use <= e->index : value->last_use < e->index;
    if (other >= 0 || dead || is_immediate(e, root) || in_memory(e, root)) return;
    unsigned spare = free_temp(e, class);
    if (spare != NO_REG && spare != reg) {
        move(e, class, spare, reg);
        value->reg = (uint8_t)spare;
        hold(e, class, spare, root);
        return;
    }
    hold(e, class, reg, root);
    spill(e, class, reg);
    hold(e, class, reg, KIR_NONE);
}

// Which temporary to take when all are in use: one whose value is elsewhere too, else the one used last.
static unsigned victim(const Emit *e, int class) {
    unsigned best = NO_REG;
    uint64_t best_rank = 0;
    for (unsigned left = temp_mask[class] & ~(unsigned)e->locked[class]; left; left &= left - 1) {
        unsigned r = (unsigned)__builtin_ctz(left);
        KirRef root = e->holds[class][r];
        const Value *value = &e->values[root];
        bool elsewhere = value->reg != r || is_immediate(e, root) || in_memory(e, root);
        uint64_t rank = 1 + value->last_use + ((uint64_t)elsewhere << 32);
        if (rank > best_rank) best_rank = rank, best = r;
    }
    if (best == NO_REG) bug("no register left at instruction %u of the block at %#lx", e->index, (unsigned long)e->kir->pc);
    return best;
}

static unsigned temp(Emit *e, int class) {
    unsigned reg = free_temp(e, class);
    if (reg == NO_REG) {
        reg = victim(e, class);
        e->locked[class] |= (uint16_t)(1u << reg);
        release(e, class, reg, false);
    }
    e->locked[class] |= (uint16_t)(1u << reg);
    return reg;
}

unsigned temp_gpr(Emit *e) { return temp(e, GPR); }
unsigned temp_xmm(Emit *e) { return temp(e, XMM); }

void take_gpr(Emit *e, unsigned reg) {
    e->locked[GPR] |= (uint16_t)(1u << reg);
    release(e, GPR, reg, false);
}

static unsigned use(Emit *e, int class, KirRef v) {
    KirRef root = root_of(e, v);
    Value *value = &e->values[root];
    if (value->reg == NO_REG) {
        unsigned reg = temp(e, class);
        if (is_immediate(e, root)) {
            if (class == GPR) load_const_gpr(e, reg, root);
            else load_const_xmm(e, reg, root);
        } else {
            if (!in_memory(e, root)) bug("value %%%u of the block at %#lx is nowhere", v, (unsigned long)e->kir->pc);
            load(e, class, reg, memory_of(e, root), is_wide(e, root));
        }
        value->reg = (uint8_t)reg;
        hold(e, class, reg, root);
    }
    e->locked[class] |= (uint16_t)(1u << value->reg);
    return value->reg;
}

unsigned use_gpr(Emit *e, KirRef v) { return use(e, GPR, v); }
unsigned use_xmm(Emit *e, KirRef v) { return use(e, XMM, v); }

bool use_memory(Emit *e, KirRef v, Mem *mem) {
    KirRef root = root_of(e, v);
    if (e->values[root].reg != NO_REG || is_immediate(e, root) || !in_memory(e, root)) return false;
    // A value that is used again is better loaded once.
    if (e->values[root].last_use > e->index) return false;
    *mem = memory_of(e, root);
    return true;
}

static void bind(Emit *e, int class, KirRef root, unsigned reg) {
    hold(e, class, reg, root);
    e->values[root].reg = (uint8_t)reg;
    e->locked[class] |= (uint16_t)(1u << reg);
}

static unsigned def(Emit *e, int class, KirRef v, KirRef over) {
    KirRef root = root_of(e, v);
    unsigned reg = e->values[root].hint;
    if (reg == NO_REG && over != KIR_NONE) {
        unsigned old = value_of(e, over)->reg;
        bool reusable = old != NO_REG && (temp_mask[class] >> old & 1) && value_of(e, over)->last_use <= e->index;
        if (reusable) reg = old;
    }
    if (reg == NO_REG) reg = temp(e, class);
    else release(e, class, reg, true);
    bind(e, class, root, reg);
    return reg;
}

unsigned def_gpr(Emit *e, KirRef v) { return def(e, GPR, v, KIR_NONE); }
unsigned def_xmm(Emit *e, KirRef v) { return def(e, XMM, v, KIR_NONE); }
unsigned def_gpr_over(Emit *e, KirRef v, KirRef operand) { return def(e, GPR, v, operand); }
unsigned def_xmm_over(Emit *e, KirRef v, KirRef operand) { return def(e, XMM, v, operand); }

void result_in_gpr(Emit *e, KirRef v, unsigned reg) {
    KirRef root = root_of(e, v);
    unsigned hint = e->values[root].hint;
    if (hint == NO_REG) {
        bind(e, GPR, root, reg);
        return;
    }
    release(e, GPR, hint, true);
    move(e, GPR, hint, reg);
    bind(e, GPR, root, hint);
}

void alloc_end(Emit *e) {
    e->locked[GPR] = e->locked[XMM] = 0;
    for (int class = 0; class < 2; class ++) {
        for (unsigned left = e->busy[class] & temp_mask[class]; left; left &= left - 1) {
            unsigned reg = (unsigned)__builtin_ctz(left);
            KirRef root = e->holds[class][reg];
            Value *value = &e->values[root];
            if (value->last_use > e->index) continue;
            hold(e, class, reg, KIR_NONE);
            if (value->reg == reg) value->reg = NO_REG;
        }
    }
}

// ---- globals ------------------------------------------------------------------------------------------------------------
static unsigned pin_of(const Emit *e, unsigned global, int *class) {
    *class = GPR;
    unsigned reg = e->host->gpr_of_global[global];
    if (reg != NO_REG) return reg;
    *class = XMM;
    return e->host->xmm_of_global[global];
}

void emit_get(Emit *e, KirRef v) {
    unsigned global = e->insns[v].a;
    Value *value = &e->values[v];
    int class;
    unsigned reg = pin_of(e, global, &class);
    if (reg != NO_REG) {
        release(e, class, reg, true);
        bind(e, class, v, reg);
        return;
    }
    value->home = (int16_t)global;
    KirRef old = e->home_value[global];
    // Two values at one home: the older one keeps it only if nothing else holds it; a second GET without a SET between is rare.
    if (old != KIR_NONE && e->values[old].home == (int)global && e->values[old].last_use > e->index && e->values[old].reg == NO_REG)
        use(e, value->xmm ? XMM : GPR, old);
    if (old != KIR_NONE && e->values[old].home == (int)global) e->values[old].home = NO_GLOBAL;
    e->home_value[global] = v;
}

// The home of `global` is about to be overwritten.
static void release_home(Emit *e, unsigned global) {
    KirRef root = e->home_value[global];
    e->home_value[global] = KIR_NONE;
    if (root == KIR_NONE) return;
    Value *value = &e->values[root];
    if (value->home != (int)global) return;
    bool only_there = value->reg == NO_REG && value->slot == NO_SLOT && !is_immediate(e, root);
    if (only_there && value->last_use > e->index) use(e, value->xmm ? XMM : GPR, root);
    value->home = NO_GLOBAL;
}

static void set_pinned(Emit *e, int class, unsigned reg, KirRef root) {
    Value *value = &e->values[root];
    if (e->holds[class][reg] == root) return;
    release(e, class, reg, true);
    if (value->reg != NO_REG) {
        move(e, class, reg, value->reg);
    } else if (is_immediate(e, root)) {
        if (class == GPR) load_const_gpr(e, reg, root);
        else load_const_xmm(e, reg, root);
    } else {
        load(e, class, reg, memory_of(e, root), is_wide(e, root));
    }
    hold(e, class, reg, root);
    value->reg = (uint8_t)reg;
}

static void store_home(Emit *e, unsigned global, KirRef v) {
    KirType type = (KirType)e->kir->world->globals[global].type;
    unsigned bits = kir_type_bits(type);
    Mem home = home_mem(e, (int)global);
    if (e->values[root_of(e, v)].xmm) {
        unsigned reg = use_xmm(e, v);
        s_rm(&e->c, bits == 128 ? (uint32_t)S_STORE_128 : bits == 64 ? S_STORE_64 : S_STORE_32, 0, reg, home);
    } else if (is_imm32(e, v) && bits >= 32 && e->values[v].reg == NO_REG) {
        x_mov_mi(&e->c, bits == 64, home, (int32_t)const_of(e, v));
    } else {
        unsigned reg = use_gpr(e, v);
        if (bits >= 32) x_mov_mr(&e->c, bits == 64, home, reg);
        else if (bits == 16) x_rm(&e->c, P66(0x89), 0, reg, home);
        else x_rm8(&e->c, 0x88, reg, home);
    }
}

void emit_set(Emit *e, unsigned global, KirRef v) {
    KirRef root = root_of(e, v);
    int class;
    unsigned reg = pin_of(e, global, &class);
    if (reg != NO_REG) {
        set_pinned(e, class, reg, root);
        return;
    }
    if (e->home_value[global] == root && e->values[root].home == (int)global) return;
    if (!is_immediate(e, root)) use(e, e->values[root].xmm ? XMM : GPR, v);
    release_home(e, global);
    store_home(e, global, v);
    bool same_width = kir_type_bits((KirType)e->kir->world->globals[global].type) == kir_type_bits(type_of(e, root));
    if (!same_width || is_immediate(e, root)) return;
    e->home_value[global] = root;
    if (e->values[root].home == NO_GLOBAL) e->values[root].home = (int16_t)global;
}

// ---- calls ----------------------------------------------------------------------------------------------------------------
static void spill_register(Emit *e, int class, unsigned reg) {
    KirRef root = e->holds[class][reg];
    if (root == KIR_NONE) return;
    Value *value = &e->values[root];
    if (value->reg == reg && value->last_use > e->index && !is_immediate(e, root) && !in_memory(e, root)) spill(e, class, reg);
    hold(e, class, reg, KIR_NONE);
    if (value->reg != reg) return;
    int other = other_register(e, class, root, reg);
    value->reg = other >= 0 ? (uint8_t)other : NO_REG;
}

static void forget_homes(Emit *e) {
    for (unsigned g = 0; g < e->kir->world->global_count; g++) {
        KirRef root = e->home_value[g];
        if (root == KIR_NONE) continue;
        Value *value = &e->values[root];
        if (value->home == (int)g) {
            int class = value->xmm ? XMM : GPR;
            if (value->last_use > e->index && value->slot == NO_SLOT && !is_immediate(e, root)) {
                unsigned reg = use(e, class, root);
                spill(e, class, reg);
                e->locked[class] &= (uint16_t) ~(1u << reg);
            }
            value->home = NO_GLOBAL;
        }
        e->home_value[g] = KIR_NONE;
    }
}

void spill_for_call(Emit *e, bool globals_change) {
    if (globals_change) {
        forget_homes(e);
        for (unsigned r = 0; r < 16; r++) {
            if (e->host->global_of_gpr[r] != 0xffff) spill_register(e, GPR, r);
            if (e->host->global_of_xmm[r] != 0xffff) spill_register(e, XMM, r);
        }
    }
    spill_register(e, GPR, RAX);
    spill_register(e, GPR, R10);
    for (unsigned left = e->busy[XMM] & TEMP_XMM_MASK; left; left &= left - 1)
        spill_register(e, XMM, (unsigned)__builtin_ctz(left));
}

void store_value(Emit *e, Mem to, KirRef v) {
    KirRef root = root_of(e, v);
    if (e->values[root].xmm) {
        store(e, XMM, to, use_xmm(e, v), true);
    } else if (is_imm32(e, v) && e->values[root].reg == NO_REG) {
        x_mov_mi(&e->c, 1, to, (int32_t)const_of(e, v));
    } else {
        x_mov_mr(&e->c, 1, to, use_gpr(e, v));
    }
}
