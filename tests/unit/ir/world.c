// SPDX-License-Identifier: MIT
//
// The machine mirrors the order of events that KIR promises: globals are looked at by calls, side exits,
// final exits and accesses that may fault, nowhere else.
#include "ir/info.h"
#include "world.h"
#include <string.h>

static const KirGlobal globals[] = {
    {"x0", 0, KIR_I64},  {"x1", 8, KIR_I64},  {"x2", 16, KIR_I64},  {"x3", 24, KIR_I64},
    {"f0", 32, KIR_F64}, {"f1", 40, KIR_F64}, {"v0", 48, KIR_V128},
};

static uint64_t no_helper(void *cpu, uint64_t a, uint64_t b, uint64_t c) { return a + b + c; }

static const KirHelper helpers[] = {
    [HELPER_PEEK] = {"peek", no_helper, KIR_I64, {KIR_I64}, KIR_HELPER_READS_GLOBALS | KIR_HELPER_MAY_RAISE},
    [HELPER_POKE] = {"poke", no_helper, KIR_VOID, {KIR_I64, KIR_I64}, KIR_HELPER_READS_GLOBALS | KIR_HELPER_WRITES_GLOBALS},
    [HELPER_PURE] = {"sum", no_helper, KIR_I64, {KIR_I64, KIR_I64}, KIR_HELPER_PURE},
    [HELPER_THREE] = {"three", no_helper, KIR_I32, {KIR_I64, KIR_I64, KIR_I32}, KIR_HELPER_FPENV},
};

const KirWorld test_world = {globals, WORLD_GLOBALS, helpers, WORLD_HELPERS};

// ---- running ------------------------------------------------------------------------------------

enum { MAX_INSNS = 4096 };

typedef struct Run {
    Machine *machine;
    const KirBlock *block;
    KirValue values[MAX_INSNS];
    KirValue homes[WORLD_GLOBALS];
    uint32_t fault;
} Run;

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static void event(Run *r, uint64_t value) { r->machine->hash = mix(r->machine->hash, value); }

// Somebody may look at all globals at instruction `at`.
static void look(Run *r, uint32_t at) {
    KirValue seen[WORLD_GLOBALS];
    memcpy(seen, r->homes, sizeof seen);
    const KirBlock *block = r->block;
    for (; r->fault < block->fault_count && block->faults[r->fault].at <= at; r->fault++)
        if (block->faults[r->fault].at == at) seen[block->faults[r->fault].global] = r->values[block->faults[r->fault].value];
    for (int i = 0; i < WORLD_GLOBALS; i++) event(r, seen[i].u64[0]), event(r, seen[i].u64[1]);
    r->machine->events++;
}

static KirValue cut(KirValue value, KirType type) {
    unsigned bits = kir_type_bits(type);
    if (bits <= 64) value.u64[1] = 0;
    if (bits < 64) value.u64[0] = bits ? kir_low_bits(value.u64[0], bits) : 0;
    return value;
}

static KirValue load(Run *r, uint32_t at, const KirInsn *insn, uint64_t address) {
    event(r, address);
    unsigned bits = 8u << (insn->aux & KIR_MEM_SIZE);
    KirValue value = {.u64 = {mix(r->machine->seed, address), mix(r->machine->seed, ~address)}};
    if (bits < 128) value.u64[1] = 0;
    if (bits < 64) value.u64[0] = kir_low_bits(value.u64[0], bits);
    if (insn->aux & KIR_MEM_SIGNED) value.s64[0] = (int64_t)(value.u64[0] << (64 - bits)) >> (64 - bits);
    return cut(value, (KirType)insn->type);
}

static void store(Run *r, const KirInsn *insn, uint64_t address, KirValue value) {
    unsigned bits = 8u << (insn->aux & KIR_MEM_SIZE);
    event(r, address);
    event(r, bits < 64 ? kir_low_bits(value.u64[0], bits) : value.u64[0]);
    event(r, bits > 64 ? value.u64[1] : 0);
}

static KirValue call(Run *r, uint32_t at, unsigned helper, KirValue a, KirValue b, KirValue c) {
    event(r, helper);
    event(r, a.i), event(r, b.i), event(r, c.i);
    unsigned flags = helpers[helper].flags;
    if (flags & (KIR_HELPER_READS_GLOBALS | KIR_HELPER_MAY_RAISE)) look(r, at);
    if (flags & KIR_HELPER_WRITES_GLOBALS)
        for (int i = 0; i < WORLD_INTS; i++) r->homes[i].i = mix(r->homes[i].i, a.i + b.i);
    KirValue result = {.i = mix(a.i + helper, b.i ^ c.i)};
    return cut(result, (KirType)helpers[helper].result);
}

static void leave(Run *r, uint32_t exit) {
    const KirExit *e = &r->block->exits[exit];
    event(r, e->target), event(r, e->kind), event(r, e->code);
}

// Returns true where the block is left.
static bool step(Run *r, uint32_t at) {
    const KirInsn *insn = &r->block->insns[at];
    KirValue operands[3] = {0}, *result = &r->values[at], a, b, c;
    uint8_t types[3] = {0};
    unsigned mask = kir_op_facts[insn->op].refs;
    const uint32_t slots[3] = {insn->a, insn->b, insn->c};
    for (int i = 0; i < 3; i++) {
        if (!(mask >> i & 1) || slots[i] == KIR_NONE) continue;
        operands[i] = r->values[slots[i]];
        types[i] = (uint8_t)kir_result_type(&r->block->insns[slots[i]]);
    }
    a = operands[0], b = operands[1], c = operands[2];
    *result = (KirValue){0};
    switch (insn->op) {
    case KIR_NOP:
    case KIR_COUNT:
    case KIR_INSN: return false;
    case KIR_FENCE: event(r, insn->aux); return false;
    case KIR_CONST: result->i = insn->imm; return false;
    case KIR_CONSTV: *result = (KirValue){.u64 = {r->block->wides[insn->a].lo, r->block->wides[insn->a].hi}}; return false;
    case KIR_GET: *result = r->homes[insn->a]; return false;
    case KIR_SET: r->homes[insn->a] = b; return false;
    case KIR_LOAD:
        if (!(insn->aux & KIR_MEM_NOFAULT)) look(r, at);
        *result = load(r, at, insn, a.i + (uint64_t)(int64_t)(int32_t)insn->b);
        return false;
    case KIR_STORE:
        if (!(insn->aux & KIR_MEM_NOFAULT)) look(r, at);
        store(r, insn, a.i + (uint64_t)(int64_t)(int32_t)insn->c, b);
        return false;
    case KIR_CALL: *result = call(r, at, insn->a, b, c, (KirValue){0}); return false;
    case KIR_CALL3: *result = call(r, at, insn->aux, a, b, c); return false;
    case KIR_EXIT_IF:
        if (a.i) look(r, at), leave(r, insn->b);
        return a.i;
    case KIR_EXIT_IF_IND:
        if (a.i) look(r, at), event(r, b.i), event(r, KIR_EXIT_DIRECT), event(r, 0);
        return a.i;
    case KIR_POLL:
        if (r->machine->polls) look(r, at), leave(r, insn->a);
        return r->machine->polls;
    case KIR_EXIT:
        look(r, at);
        leave(r, insn->a);
        return true;
    case KIR_EXIT_COND:
        look(r, at);
        leave(r, a.i ? insn->b : insn->c);
        return true;
    case KIR_EXIT_IND:
        look(r, at);
        event(r, a.i), event(r, KIR_EXIT_DIRECT), event(r, 0);
        return true;
    default: *result = cut(kir_eval(insn, types, a, b, c), kir_result_type(insn)); return false;
    }
}

void machine_run(Machine *machine, const KirBlock *block) {
    static Run run;
    run.machine = machine;
    run.block = block;
    run.fault = 0;
    memcpy(run.homes, machine->globals, sizeof run.homes);
    machine->hash = machine->events = 0;
    for (uint32_t i = 0; i < block->count && i < MAX_INSNS; i++)
        if (step(&run, i)) break;
}
