// SPDX-License-Identifier: MIT
//
// Ways out of a block.
//
// An edge to a block further on is a branch. Edges back (graph.c) meet in the target's *latch*: a compiler fence, so that loads of a loop that waits for memory are done again, and a poll. A trace is entered at its
// head alone, so one more poll at the entry covers every cycle that leaves the trace and comes back to it.
//
// A way out of the trace is a block of its own, never the likely one: it stores the dirty globals that are not pinned and ends with a
// tail call of `kiln_exit_N`, the code found in the indirect-branch cache, or the stub for what the cache does not know.
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "opt/lower.h"

// ---- tail calls ---------------------------------------------------------------------------------------------------------------
static LLVMValueRef exit_function(Lower *l, const char *name) {
    LLVMValueRef function = LLVMGetNamedFunction(l->module, name);
    if (function) return function;
    function = LLVMAddFunction(l->module, name, l->trace_type);
    LLVMSetFunctionCallConv(function, LOWER_CONVENTION);
    return function;
}

static void leave_to(Lower *l, LLVMValueRef callee) {
    LLVMValueRef args[LOWER_ARGS];
    for (unsigned i = 0; i < LOWER_ARGS; i++) args[i] = l->args[i];
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (l->argument[i] >= 0) args[l->argument[i]] = read_global(l, i);
    LLVMValueRef call = LLVMBuildCall2(l->builder, l->trace_type, callee, args, LOWER_ARGS, "");
    LLVMSetInstructionCallConv(call, LOWER_CONVENTION);
    LLVMSetTailCallKind(call, LLVMTailCallKindMustTail);
    LLVMBuildRetVoid(l->builder);
}

static uint32_t add_exit(Lower *l, const TraceExit *exit) {
    if (l->exit_count == l->exit_capacity) {
        uint32_t bigger = l->exit_capacity ? 2 * l->exit_capacity : 16;
        l->exits = arena_grow(l->arena, l->exits, l->exit_capacity * sizeof *l->exits, bigger * sizeof *l->exits);
        l->exit_capacity = bigger;
    }
    l->exits[l->exit_count] = *exit;
    return l->exit_count++;
}

LLVMBasicBlockRef exit_block(Lower *l, const TraceExit *exit, const GlobalSet *dirty, LLVMValueRef fault_address) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->builder), block = new_block(l, "exit");
    char name[32];
    snprintf(name, sizeof name, "kiln_exit_%u", add_exit(l, exit));
    LLVMPositionBuilderAtEnd(l->builder, block);
    check_chains(l);
    show_pending(l);
    show_lazy(l, false);
    if (fault_address) store_cpu(l, fault_address, l->request->layout.fault_address);
    store_dirty(l, dirty, false);
    leave_to(l, exit_function(l, name));
    LLVMPositionBuilderAtEnd(l->builder, here);
    return block;
}

// ---- polls --------------------------------------------------------------------------------------------------------------------
static LLVMValueRef asked_to_stop(Lower *l) {
    LLVMValueRef poll = load_cpu(l, llvm_type(l, KIR_I32), l->request->layout.poll, "poll");
    LLVMSetVolatile(poll, true);
    return LLVMBuildICmp(l->builder, LLVMIntNE, poll, const_i32(l, 0), "");
}

// Goes on at `to`, or leaves to go on at block `number` later.
static void poll_before_block(Lower *l, uint32_t number, LLVMBasicBlockRef to, const GlobalSet *dirty) {
    TraceExit exit = {
        .exit = {.target = l->request->blocks[number].kir->pc, .kind = KIR_EXIT_DIRECT},
        .kind = TRACE_EXIT_POLL,
        .block = l->origin[number],
    };
    branch_if(l, asked_to_stop(l), exit_block(l, &exit, dirty, NULL), to, UNLIKELY, LIKELY);
}

// Where to go in order to begin with a block.
static LLVMBasicBlockRef start_of(const Lower *l, uint32_t number) {
    return l->blocks[number].strip ? l->blocks[number].strip : l->blocks[number].code;
}

void lower_entry_poll(Lower *l) { poll_before_block(l, 0, start_of(l, 0), &l->blocks[0].dirty); }

static LLVMBasicBlockRef latch_of(Lower *l, uint32_t number) {
    LowerBlock *block = &l->blocks[number];
    if (block->latch) return block->latch;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->builder);
    block->latch = new_block(l, "latch");
    LLVMPositionBuilderAtEnd(l->builder, block->latch);
    if (private_memory(l)) LLVMBuildFence(l->builder, LLVMAtomicOrderingSequentiallyConsistent, true, "");
    uint8_t *lazy = l->lazy;
    FmaChains *chains = memcpy(arena_alloc(l->arena, sizeof *chains), &l->chains, sizeof *chains);
    l->lazy = block->latch_lazy;
    l->chains = (FmaChains){0};
    poll_before_block(l, number, hand_over(l, start_of(l, number), block->lazy, NULL), &block->dirty);
    l->lazy = lazy;
    l->chains = *chains;
    LLVMPositionBuilderAtEnd(l->builder, here);
    return block->latch;
}

// The builder is in the entry block.
void lower_strip(Lower *l, uint32_t number) {
    LowerBlock *block = &l->blocks[number];
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->builder);
    block->left = LLVMBuildAlloca(l->builder, llvm_type(l, KIR_I64), "left");
    block->strip = new_block(l, "strip");
    LLVMPositionBuilderAtEnd(l->builder, block->strip);
    LLVMBuildStore(l->builder, const_int(l, KIR_I64, STRIP), block->left);
    LLVMBuildBr(l->builder, block->code);
    LLVMPositionBuilderAtEnd(l->builder, here);
}

// From a loop's end to its start: to the latch every STRIP iterations.
static LLVMBasicBlockRef next_of_strip(Lower *l, LowerBlock *block) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->builder), latch = latch_of(l, l->block), again = new_block(l, "again");
    LLVMPositionBuilderAtEnd(l->builder, again);
    LLVMValueRef left = LLVMBuildLoad2(l->builder, llvm_type(l, KIR_I64), block->left, "");
    left = LLVMBuildSub(l->builder, left, const_int(l, KIR_I64, 1), "");
    LLVMBuildStore(l->builder, left, block->left);
    branch_if(l, LLVMBuildICmp(l->builder, LLVMIntNE, left, const_int(l, KIR_I64, 0), ""), block->code, latch, STRIP, 1);
    LLVMPositionBuilderAtEnd(l->builder, here);
    return again;
}

static LLVMBasicBlockRef way_to(Lower *l, int32_t number) {
    LowerBlock *block = &l->blocks[number];
    if (block->strip && (uint32_t)number == l->block) return next_of_strip(l, block);
    if (!dies_at_faults(l)) known_pass_on(l, (uint32_t)number);
    if (block->order <= l->blocks[l->block].order) return hand_over(l, latch_of(l, (uint32_t)number), block->latch_lazy, NULL);
    return hand_over(l, start_of(l, (uint32_t)number), block->lazy, block->ways_in == 1 ? block : NULL);
}

// ---- direct exits -------------------------------------------------------------------------------------------------------------
static TraceExit trace_exit(const Lower *l, uint32_t exit_number) {
    const KirExit *exit = &l->kir->exits[exit_number];
    return (TraceExit){.exit = *exit,
                       .kind = exit->kind == KIR_EXIT_EXCEPTION ? TRACE_EXIT_EXCEPTION : TRACE_EXIT_LINK,
                       .block = l->origin[l->block]};
}

static int32_t next_of(const Lower *l, uint32_t exit_number) { return l->blocks[l->block].next[exit_number]; }

static LLVMBasicBlockRef way_out(Lower *l, uint32_t exit_number) {
    int32_t next = next_of(l, exit_number);
    if (next != TRACE_LEAVES) return way_to(l, next);
    TraceExit exit = trace_exit(l, exit_number);
    return exit_block(l, &exit, &l->dirty, NULL);
}

// How often the exit is taken, where it stays in the trace; 1 where it leaves.
static uint32_t weight_of(const Lower *l, uint32_t exit_number) {
    int32_t next = next_of(l, exit_number);
    if (next == TRACE_LEAVES) return UNLIKELY;
    uint32_t weight = l->request->blocks[next].weight;
    return weight < UINT32_MAX / 4 ? weight + 1 : UINT32_MAX / 4;
}

// An edge back to where a loop inside the trace begins is taken in most rounds, whatever the weights of the blocks are: NETPlus knows of an inner
// loop that it leaves the path, not how often it goes round.
static bool is_loop_inside(const Lower *l, uint32_t exit_number) {
    int32_t next = next_of(l, exit_number);
    if (next == TRACE_LEAVES) return false;
    if (l->origin[next] == l->origin[l->block]) return true; // the next round of a loop that was put in several times
    if (l->blocks[next].order > l->blocks[l->block].order) return false;
    return next != 0 || l->block == 0;
}

static bool leaves(const Lower *l, uint32_t exit_number) { return next_of(l, exit_number) == TRACE_LEAVES; }

void lower_side_exit(Lower *l, const KirInsn *insn) {
    LLVMBasicBlockRef out = way_out(l, insn->b), on = new_block(l, "on");
    uint32_t here = l->request->blocks[l->block].weight, taken = weight_of(l, insn->b);
    uint32_t stay = leaves(l, insn->b) ? LIKELY : here > taken ? here - taken : 1;
    if (is_loop_inside(l, insn->b)) taken = ROUNDS, stay = 1;
    branch_if(l, value_of(l, insn->a), out, on, taken, stay);
    LLVMPositionBuilderAtEnd(l->builder, on);
}

void lower_poll(Lower *l, const KirInsn *insn) {
    TraceExit exit = trace_exit(l, insn->a);
    if (exit.kind == TRACE_EXIT_LINK) exit.kind = TRACE_EXIT_POLL;
    LLVMBasicBlockRef on = new_block(l, "on");
    branch_if(l, asked_to_stop(l), exit_block(l, &exit, &l->dirty, NULL), on, UNLIKELY, LIKELY);
    LLVMPositionBuilderAtEnd(l->builder, on);
}

static void lower_conditional(Lower *l, const KirInsn *insn) {
    LLVMBasicBlockRef yes = way_out(l, insn->b), no = way_out(l, insn->c);
    uint32_t yes_weight = weight_of(l, insn->b), no_weight = weight_of(l, insn->c);
    if (leaves(l, insn->b) && !leaves(l, insn->c)) no_weight = LIKELY;
    if (leaves(l, insn->c) && !leaves(l, insn->b)) yes_weight = LIKELY;
    bool yes_loops = is_loop_inside(l, insn->b), no_loops = is_loop_inside(l, insn->c);
    if (yes_loops && !no_loops && !leaves(l, insn->c)) yes_weight = ROUNDS, no_weight = 1;
    if (no_loops && !yes_loops && !leaves(l, insn->b)) no_weight = ROUNDS, yes_weight = 1;
    branch_if(l, value_of(l, insn->a), yes, no, yes_weight, no_weight);
}

// ---- indirect exits -----------------------------------------------------------------------------------------------------------
// The thread's cache may be exchanged for an empty one at any moment: its address is read once.
static void leave_indirect(Lower *l, LLVMValueRef pc, KirJumpHint hint) {
    const TraceLayout *layout = &l->request->layout;
    if (l->counted) count_at(l, l->counted + offsetof(KirCount, left_indirectly));
    check_chains(l);
    show_lazy(l, false);
    LLVMTypeRef i64 = llvm_type(l, KIR_I64), i8 = llvm_type(l, KIR_I8);
    store_dirty(l, &l->dirty, false);
    LLVMValueRef cache = load_cpu(l, l->ptr, layout->ibc, "ibc");
    LLVMSetVolatile(cache, true);
    LLVMValueRef mask = load_cpu(l, llvm_type(l, KIR_I32), layout->ibc_mask, "ibc_mask");
    LLVMSetVolatile(mask, true);
    LLVMValueRef index = LLVMBuildAnd(l->builder, pc, LLVMBuildZExt(l->builder, mask, i64, ""), "");
    index = LLVMBuildLShr(l->builder, index, const_int(l, KIR_I64, layout->pc_shift), "");
    index = LLVMBuildMul(l->builder, index, const_int(l, KIR_I64, layout->ibc_entry_bytes), "");
    if (hint == KIR_JUMP_RETURN) {
        uint64_t part = (uint64_t)layout->ibc_entries * layout->ibc_entry_bytes;
        index = LLVMBuildAdd(l->builder, index, const_int(l, KIR_I64, part), "");
    }
    LLVMValueRef entry = LLVMBuildGEP2(l->builder, i8, cache, &index, 1, "");
    LLVMValueRef cached = mark_cpu_access(l, LLVMBuildLoad2(l->builder, i64, entry, ""));
    LLVMBasicBlockRef hit = new_block(l, "hit"), miss = new_block(l, "miss");
    branch_if(l, LLVMBuildICmp(l->builder, LLVMIntEQ, cached, pc, ""), hit, miss, LIKELY, UNLIKELY);
    LLVMPositionBuilderAtEnd(l->builder, hit);
    LLVMValueRef code_index = const_int(l, KIR_I64, layout->ibc_code);
    LLVMValueRef slot = LLVMBuildGEP2(l->builder, i8, entry, &code_index, 1, "");
    leave_to(l, mark_cpu_access(l, LLVMBuildLoad2(l->builder, l->ptr, slot, "")));
    LLVMPositionBuilderAtEnd(l->builder, miss);
    store_cpu(l, pc, layout->pc);
    leave_to(l, exit_function(l, hint == KIR_JUMP_RETURN ? "kiln_exit_return" : "kiln_exit_indirect"));
}

static void lower_indirect(Lower *l, const KirInsn *insn) {
    LLVMValueRef pc = value_of(l, insn->a);
    int32_t next = l->request->blocks[l->block].next_indirect;
    if (next != TRACE_LEAVES) {
        LLVMBasicBlockRef to = way_to(l, next), other = new_block(l, "other");
        LLVMValueRef predicted = const_int(l, KIR_I64, l->request->blocks[next].kir->pc);
        branch_if(l, LLVMBuildICmp(l->builder, LLVMIntEQ, pc, predicted, ""), to, other, LIKELY, UNLIKELY);
        LLVMPositionBuilderAtEnd(l->builder, other);
    }
    leave_indirect(l, pc, (KirJumpHint)insn->aux);
}

void lower_side_exit_indirect(Lower *l, const KirInsn *insn) {
    LLVMBasicBlockRef out = new_block(l, "out"), on = new_block(l, "on");
    branch_if(l, value_of(l, insn->a), out, on, UNLIKELY, LIKELY);
    LLVMPositionBuilderAtEnd(l->builder, out);
    leave_indirect(l, value_of(l, insn->b), (KirJumpHint)insn->aux);
    LLVMPositionBuilderAtEnd(l->builder, on);
}

void lower_final_exit(Lower *l, const KirInsn *insn) {
    if (insn->op == KIR_EXIT) LLVMBuildBr(l->builder, way_out(l, insn->a));
    else if (insn->op == KIR_EXIT_COND) lower_conditional(l, insn);
    else lower_indirect(l, insn);
}

void lower_join(Lower *l) { LLVMBuildBr(l->builder, way_to(l, l->blocks[l->block].joins)); }
