// SPDX-License-Identifier: MIT
//
// The fast tier: a KIR block in, host code out.
//
//   plan (backwards) -> one instruction after the other (forwards) -> cold paths -> exit stubs
//
// Exits. A direct exit is a jump whose 4-byte displacement lies within one aligned 8-byte word, so that it can be redirected by
// one store while others run it. Unlinked, it leads to a stub behind the block that names the exit and leaves to the engine.
// A backward exit polls first. An indirect exit looks its target up in the thread's indirect-branch cache, returns in a part of
// their own; asking a thread to stop points it to an empty cache, so indirect exits need no poll.
#include <string.h>
#include "host/x86_64/emit.h"

// ---- cold paths, faults, arrays -------------------------------------------------------------------------------------------
Cold *cold_path(Emit *e, void (*run)(Emit *, const Cold *), uint8_t *from) {
    Cold *cold = arena_alloc(e->scratch, sizeof *cold);
    cold->run = run;
    cold->from = from;
    cold->index = e->index;
    *e->cold_tail = cold;
    e->cold_tail = &cold->next;
    return cold;
}

static void write_cold_paths(Emit *e) {
    for (Cold *cold = e->cold; cold; cold = cold->next) {
        e->index = cold->index;
        x_bind(&e->c, cold->from, e->c.p);
        cold->run(e, cold);
        if (cold->back) x_jmp(&e->c, cold->back);
    }
}

void *grow(Emit *e, void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity) return array;
    uint32_t bigger = *capacity ? *capacity * 2 : 16;
    array = arena_grow(e->scratch, array, *capacity * size, bigger * size);
    *capacity = bigger;
    return array;
}

static void collect_entry(Emit *e, const KirFaultEntry *from) {
    if (e->entry_count + 1 >= HOST_MOST_ENTRIES) e->too_complex = true;
    e->entries = grow(e, e->entries, e->entry_count, &e->entry_capacity, sizeof *e->entries);
    HostFaultEntry *entry = &e->entries[e->entry_count++];
    *entry = (HostFaultEntry){.global = from->global};
    KirRef root = root_of(e, from->value);
    const Value *value = &e->values[root];
    if (e->insns[root].op == KIR_CONST) {
        entry->place = PLACE_CONST;
        entry->value = e->insns[root].imm;
        return;
    }
    if (e->insns[root].op == KIR_CONSTV) {
        KirWide *wide = code_data_alloc(e->memory, sizeof *wide);
        if (wide) *wide = e->kir->wides[e->insns[root].a];
        else e->c.overflow = true;
        entry->place = PLACE_WIDE;
        entry->value = (uint64_t)wide;
        return;
    }
    if (value->reg != NO_REG) {
        entry->place = value->xmm ? PLACE_XMM : PLACE_GPR;
        entry->reg = value->reg;
    } else if (value->slot != NO_SLOT) {
        entry->place = PLACE_SPILL;
        entry->reg = (uint8_t)value->slot;
    } else {
        entry->place = PLACE_GLOBAL;
        entry->value = e->kir->world->globals[value->home].offset;
    }
}

void fault_collect(Emit *e) {
    const KirBlock *kir = e->kir;
    e->fault_first = e->entry_count;
    while (e->next_fault < kir->fault_count && kir->faults[e->next_fault].at < e->index) e->next_fault++;
    while (e->next_fault < kir->fault_count && kir->faults[e->next_fault].at == e->index)
        collect_entry(e, &kir->faults[e->next_fault++]);
    e->fault_entries = e->entry_count - e->fault_first;
}

void fault_here(Emit *e) {
    e->faults = grow(e, e->faults, e->fault_count, &e->fault_capacity, sizeof *e->faults);
    e->faults[e->fault_count++] = (HostFault){.offset = (uint32_t)(e->c.p - e->start) & INT32_MAX,
                                              .first_entry = e->fault_first & (HOST_MOST_ENTRIES - 1),
                                              .entry_count = e->fault_entries & 1023,
                                              .pc = e->insn_pc};
}

// ---- exits ------------------------------------------------------------------------------------------------------------------
static void cold_exit(Emit *e, const Cold *cold) {
    ExitRecord *record = (ExitRecord *)(uintptr_t)cold->data;
    if (!record) return;
    record_set_stub(record, e->c.p);
    x_lea(&e->c, 1, RAX, mem_rip(record));
    x_jmp(&e->c, e->host->exit);
}

static ExitRecord *new_record(Emit *e, const KirExit *exit) {
    ExitRecord *record = code_data_alloc(e->memory, e->counts_exits ? sizeof(CountedExit) : sizeof *record);
    if (!record) {
        e->c.overflow = true;
        return NULL;
    }
    record_describe(record, exit);
    if (e->counts_exits) ((CountedExit *)record)->part = e->parts;
    e->exits = grow(e, e->exits, e->exit_count, &e->exit_capacity, sizeof *e->exits);
    e->exits[e->exit_count++] = record;
    return record;
}

// The displacement of a jump that may be patched, `opcode_bytes` behind its start, shall not cross an 8-byte boundary. The padding goes
// in at `from`: before the compare, which the processor joins with the jump if nothing stands between. Nothing from there on may
// depend on its own address.
static void align_displacement(Emit *e, uint8_t *from, unsigned opcode_bytes) {
    unsigned at = (unsigned)((uintptr_t)e->c.p + opcode_bytes) & 7;
    if (at <= 4) return;
    unsigned padding = 8 - at;
    size_t length = (size_t)(e->c.p - from);
    if ((size_t)(e->c.end - e->c.p) < padding) {
        e->c.overflow = true;
        return;
    }
    memmove(from + e->c.write_delta + padding, from + e->c.write_delta, length);
    e->c.p = from;
    x_nop(&e->c, padding);
    e->c.p += length;
}

static void count_exit(Emit *e, ExitRecord *record) {
    if (record) x_alu_mi(&e->c, X_ADD, 1, mem_rip(&((CountedExit *)record)->count), 1);
}

// Counts, then jumps: the jump that is patched is here.
static void cold_counted_exit(Emit *e, const Cold *cold) {
    ExitRecord *record = (ExitRecord *)(uintptr_t)cold->data;
    if (!record) return;
    count_exit(e, record);
    align_displacement(e, e->c.p, 1);
    uint8_t *jump = x_jmp(&e->c, NULL);
    if (cold->regs[0]) record_set_jump(record, jump);
    x_bind(&e->c, jump, e->c.p);
    cold_exit(e, cold);
}

static void exit_jump(Emit *e, const KirExit *exit, uint8_t *from, int cc, bool linkable) {
    ExitRecord *record = new_record(e, exit);
    linkable &= exit->kind == KIR_EXIT_DIRECT;
    if (e->counts_exits && cc >= 0) {
        Cold *cold = cold_path(e, cold_counted_exit, x_jcc(&e->c, (X86Cond)cc, NULL));
        cold->data = record;
        cold->regs[0] = linkable;
        return;
    }
    if (e->counts_exits) {
        count_exit(e, record);
        from = e->c.p;
    }
    if (linkable) align_displacement(e, from, cc < 0 ? 1 : 2);
    uint8_t *jump = cc < 0 ? x_jmp(&e->c, NULL) : x_jcc(&e->c, (X86Cond)cc, NULL);
    Cold *cold = cold_path(e, cold_exit, jump);
    cold->data = record;
    if (record && linkable) record_set_jump(record, jump);
}

static void exit_always(Emit *e, uint32_t exit_index) { exit_jump(e, &e->kir->exits[exit_index], e->c.p, -1, true); }

static void exit_where(Emit *e, KirRef condition, uint32_t exit_index) {
    uint8_t *from = e->c.p;
    X86Cond cc = emit_condition(e, condition);
    exit_jump(e, &e->kir->exits[exit_index], from, cc, true);
}

void emit_poll(Emit *e, const KirExit *exit) {
    x_alu_mi(&e->c, X_CMP, 0, CPU_MEM(poll), 0);
    exit_jump(e, exit, NULL, CC_NE, false);
}

// A path that polls where it begins need not poll where it leads back to that.
static bool is_polled_there(const KirBlock *kir, uint64_t target) {
    return target == kir->pc && kir->count > 1 && kir->insns[1].op == KIR_POLL;
}

static bool is_backward(const Emit *e, uint32_t exit_index) {
    const KirExit *exit = &e->kir->exits[exit_index];
    return exit->kind == KIR_EXIT_DIRECT && exit->target <= e->insn_pc && !is_polled_there(e->kir, exit->target);
}

// Before a conditional exit: the state is that of the branch itself, which is executed again afterwards.
static void poll_at_branch(Emit *e) {
    KirExit again = {.kind = KIR_EXIT_DIRECT, .target = e->insn_pc};
    emit_poll(e, &again);
}

static void emit_exit_cond(Emit *e, const KirInsn *insn) {
    if (is_backward(e, insn->b) || is_backward(e, insn->c)) poll_at_branch(e);
    exit_where(e, insn->a, insn->b);
    exit_always(e, insn->c);
}

static void emit_exit_if(Emit *e, const KirInsn *insn) {
    if (is_backward(e, insn->b)) poll_at_branch(e);
    exit_where(e, insn->a, insn->b);
}

static void emit_exit(Emit *e, const KirInsn *insn) {
    if (is_backward(e, insn->a)) emit_poll(e, &e->kir->exits[insn->a]);
    exit_always(e, insn->a);
}

// Increments the counter at an address that may be anywhere.
static void count_at(Code *c, unsigned temporary, uint64_t address) {
    x_mov_ri(c, temporary, address);
    x_alu_mi(c, X_ADD, 1, mem_base(temporary, 0), 1);
}

static void emit_count(Emit *e, const KirInsn *insn) {
    e->counted = insn->imm;
    e->parts++;
    count_at(&e->c, temp_gpr(e), insn->imm + offsetof(KirCount, executed));
}

// Goes on at the guest pc in rax. All temporaries are free. An entry has 16 bytes, the index is the pc's low bits. `counted`: where that
// is counted (a KirCount), 0: nowhere.
static void look_up_target(Code *c, const Host *host, KirJumpHint hint, uint64_t counted) {
    if (counted) count_at(c, R10, counted + offsetof(KirCount, left_indirectly));
    unsigned step_log2 = host->guest->min_insn_bytes == 4 ? 2 : 1;
    x_mov_rr(c, 0, R10, RAX);
    x_alu_rm(c, X_AND, 0, R10, CPU_MEM(ibc_mask));
    x_mov_rm(c, 1, RBX, CPU_MEM(ibc));
    int32_t part = hint == KIR_JUMP_RETURN ? CPU_IBC_ENTRIES * (int32_t)sizeof(IbcEntry) : 0;
    unsigned scale = 4 - step_log2;
    x_alu_rm(c, X_CMP, 1, RAX, mem_index(RBX, R10, scale, part));
    x_jcc(c, CC_NE, hint == KIR_JUMP_RETURN ? host->exit_return : host->exit_indirect);
    x_rm(c, 0xff, 0, 4, mem_index(RBX, R10, scale, part + (int32_t)offsetof(IbcEntry, code)));
}

void emit_exit_indirect(Emit *e, KirRef pc, KirJumpHint hint) {
    unsigned reg = use_gpr(e, pc);
    if (reg != RAX) x_mov_rr(&e->c, 1, RAX, reg);
    look_up_target(&e->c, e->host, hint, e->counted);
}

static void cold_exit_indirect(Emit *e, const Cold *cold) {
    if (cold->regs[0] != RAX) x_mov_rr(&e->c, 1, RAX, cold->regs[0]);
    look_up_target(&e->c, e->host, (KirJumpHint)e->insns[cold->index].aux, (uint64_t)(uintptr_t)cold->data);
}

static void emit_exit_if_ind(Emit *e, const KirInsn *insn) {
    unsigned pc = use_gpr(e, insn->b); // first: what it takes to bring it there may change the flags
    X86Cond cc = emit_condition(e, insn->a);
    Cold *cold = cold_path(e, cold_exit_indirect, x_jcc(&e->c, cc, NULL));
    cold->regs[0] = (uint8_t)pc;
    cold->data = (void *)(uintptr_t)e->counted;
}

// ---- one instruction ----------------------------------------------------------------------------------------------------------
static void emit_effect(Emit *e, KirRef v, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_INSN: e->insn_pc = insn->imm; break;
    case KIR_COUNT: emit_count(e, insn); break;
    case KIR_SET: emit_set(e, insn->a, insn->b); break;
    case KIR_STORE: emit_store(e, insn); break;
    case KIR_FENCE: emit_fence(e, insn); break;
    case KIR_CALL:
    case KIR_CALL3: emit_call(e, v, insn); break;
    case KIR_EXIT_IF: emit_exit_if(e, insn); break;
    case KIR_EXIT_IF_IND: emit_exit_if_ind(e, insn); break;
    case KIR_POLL: emit_poll(e, &e->kir->exits[insn->a]); break;
    case KIR_EXIT: emit_exit(e, insn); break;
    case KIR_EXIT_COND: emit_exit_cond(e, insn); break;
    case KIR_EXIT_IND: emit_exit_indirect(e, insn->a, (KirJumpHint)insn->aux); break;
    case KIR_FSETFLAGS: emit_set_flags(e, insn); break;
    default: emit_fallback(e, v, insn); break; // FSETROUND
    }
}

static bool through_evaluator(const Emit *e, const KirInsn *insn) {
    return e->host->options->eval_all && !(kir_op_info[insn->op].flags & (KIR_FLAG_FAULT | KIR_FLAG_GLOBAL));
}

static void emit_value(Emit *e, KirRef v, const KirInsn *insn) {
    if (through_evaluator(e, insn) && insn->op != KIR_CALL && insn->op != KIR_CALL3) {
        emit_fallback(e, v, insn);
        return;
    }
    switch (insn->op) {
    case KIR_GET: emit_get(e, v); break;
    case KIR_ADD:
    case KIR_SUB:
    case KIR_MUL:
    case KIR_MULHU:
    case KIR_MULHS:
    case KIR_AND:
    case KIR_OR:
    case KIR_XOR:
    case KIR_NOT:
    case KIR_NEG:
    case KIR_SHL:
    case KIR_SHR:
    case KIR_SAR:
    case KIR_ROTR:
    case KIR_CLZ:
    case KIR_CTZ:
    case KIR_POPCNT:
    case KIR_BSWAP:
    case KIR_BFX:
    case KIR_SBFX:
    case KIR_FUNNEL:
    case KIR_ADC:
    case KIR_ADC_C:
    case KIR_ADC_V:
    case KIR_CMP:
    case KIR_SELECT:
    case KIR_SEXT:
    case KIR_ZEXT:
    case KIR_TRUNC: emit_integer(e, v, insn); break;
    case KIR_DIVU:
    case KIR_DIVS:
    case KIR_REMU:
    case KIR_REMS: emit_divide(e, v, insn); break;
    case KIR_LOAD: emit_load(e, v, insn); break;
    case KIR_CAS:
    case KIR_AMO: emit_atomic(e, v, insn); break;
    case KIR_FGETFLAGS: emit_get_flags(e, v); break;
    case KIR_CALL:
    case KIR_CALL3: emit_call(e, v, insn); break;
    case KIR_FADD:
    case KIR_FSUB:
    case KIR_FMUL:
    case KIR_FDIV:
    case KIR_FSQRT:
    case KIR_FMA:
    case KIR_FMIN:
    case KIR_FMAX:
    case KIR_FCMP:
    case KIR_FCLASS:
    case KIR_FTOI:
    case KIR_ITOF:
    case KIR_FTOF:
    case KIR_FROUND:
    case KIR_FNEG:
    case KIR_FABS:
    case KIR_FCOPYSIGN:
        if (has_float_code(e, insn)) emit_float(e, v, insn);
        else emit_fallback(e, v, insn);
        break;
    case KIR_BITCAST:
    case KIR_PAIR:
    case KIR_LO64:
    case KIR_HI64:
    case KIR_NANBOX:
    case KIR_NANUNBOX: emit_move(e, v, insn); break;
    default: emit_fallback(e, v, insn); break;
    }
}

static bool is_skipped(Emit *e, KirRef v, const KirInsn *insn) {
    const KirOpInfo *info = &kir_op_info[insn->op];
    if (insn->op == KIR_NOP || insn->op == KIR_CONST || insn->op == KIR_CONSTV) return true;
    if (info->result == '-') return false;
    const Value *value = &e->values[v];
    bool removable = info->flags & KIR_FLAG_PURE || insn->op == KIR_GET;
    return removable && (!value->last_use || value->root != v || plan_is_fused(e, v));
}

static Mem tally(uint32_t offset) { return mem_base(CPU_REG, (int32_t)offset - (int32_t)offsetof(Cpu, guest) - CPU_BIAS); }

// add dword [r14 + x], 1
enum { COUNT_BYTES = 8 };
static void count_end(Emit *e) {
    e->ends = e->c.p;
    x_alu_mi(&e->c, X_ADD, 0, tally(e->head->ends), 1);
}

static void emit_all(Emit *e) {
    for (uint32_t i = 0; i < e->kir->count; i++) {
        const KirInsn *insn = &e->insns[i];
        if (is_skipped(e, i, insn)) continue;
        e->index = i;
        if (i + 1 == e->kir->count && e->head && e->head->ends) count_end(e);
        bool effect = kir_op_info[insn->op].result == '-' || insn->type == KIR_VOID;
        if (effect) emit_effect(e, i, insn);
        else emit_value(e, i, insn);
        alloc_end(e);
    }
}

static void sort_faults(Emit *e) { // nearly sorted: only traps in cold paths stand out of order
    for (uint32_t i = 1; i < e->fault_count; i++) {
        HostFault fault = e->faults[i];
        uint32_t j = i;
        for (; j && e->faults[j - 1].offset > fault.offset; j--) e->faults[j] = e->faults[j - 1];
        e->faults[j] = fault;
    }
}

// ---- heads of traces ------------------------------------------------------------------------------------------------------------
static uint8_t *count_up(Code *c, const HeadRecord *head) {
    x_alu_mi(c, X_ADD, 0, tally(head->counter), 1);
    return x_jcc(c, CC_NS, NULL);
}

unsigned host_counter_bytes(void) { return COUNT_BYTES + 6; } // and jns

void host_stop_counting_ends(const CodeMemory *memory, uint8_t *ends) {
    Code c = {.p = ends, .end = ends + COUNT_BYTES, .write_delta = memory->write_delta};
    if (ends) x_nop(&c, COUNT_BYTES);
}

static void leave_hot(Code *c, const Host *host, const HeadRecord *head) {
    x_lea(c, 1, RAX, mem_rip((const uint8_t *)head + HOST_HEAD_TAG));
    x_jmp(c, host->exit);
}

static void cold_hot(Emit *e, const Cold *cold) { leave_hot(&e->c, e->host, cold->data); }

uint8_t *host_write_counter(const Host *host, CodeMemory *memory, const HeadRecord *head, const uint8_t *body) {
    Code c = {.p = memory->code_next, .end = memory->code_end, .write_delta = memory->write_delta};
    uint8_t *start = c.p, *hot = count_up(&c, head);
    x_jmp(&c, body);
    x_bind(&c, hot, c.p);
    leave_hot(&c, host, head);
    if (c.overflow) return NULL;
    memory->code_next = c.p;
    return start;
}

bool host_compile(Host *host, CodeMemory *memory, const KirBlock *kir, const HeadRecord *head, Arena *scratch, HostCompiled *out) {
    uint8_t *data = memory->data_next;
    Emit e;
    memset(&e, 0, offsetof(Emit, slot_value));
    e.host = host;
    e.memory = memory;
    e.kir = kir;
    e.head = head;
    e.insns = kir->insns;
    e.scratch = scratch;
    e.insn_pc = kir->pc;
    e.start = (uint8_t *)(((uintptr_t)memory->code_next + 15) & ~(uintptr_t)15);
    e.c = (Code){.p = e.start, .end = memory->code_end, .write_delta = memory->write_delta, .avx = host->features.avx};
    e.cold_tail = &e.cold;
    e.counts_exits = head && head->of_trace && host->options->count;
    e.values = arena_alloc_raw(scratch, kir->count * sizeof *e.values);
    alloc_start(&e);
    plan(&e);
    if (head) cold_path(&e, cold_hot, count_up(&e.c, head))->data = head;
    emit_all(&e);
    write_cold_paths(&e);
    if (e.c.overflow || e.too_complex) {
        memset(data, 0, (size_t)(memory->data_next - data)); // code_data_alloc promises zeroes
        memory->data_next = data;
        out->too_complex = e.too_complex;
        return false;
    }
    sort_faults(&e);
    memory->code_next = e.c.p;
    *out = (HostCompiled){.code = e.start,
                          .size = (uint32_t)(e.c.p - e.start),
                          .faults = e.faults,
                          .fault_count = e.fault_count,
                          .entries = e.entries,
                          .entry_count = e.entry_count,
                          .exits = e.exits,
                          .exit_count = e.exit_count,
                          .fallbacks = (uint16_t)e.fallbacks,
                          .ends = e.ends,
                          .helper_calls = (uint16_t)e.helper_calls};
    return true;
}
