// SPDX-License-Identifier: MIT
//
// The function of a trace: its frame, the copies of globals, and the operations of each block.
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "opt/lower.h"

// ---- small things that all files use ------------------------------------------------------------------------------------------
LLVMValueRef const_int(const Lower *l, unsigned kir_type, uint64_t value) { return LLVMConstInt(l->types[kir_type], value, false); }
LLVMValueRef const_i32(const Lower *l, uint32_t value) { return const_int(l, KIR_I32, value); }

LLVMValueRef intrinsic(Lower *l, const char *name, LLVMTypeRef *overloads, unsigned overload_count, LLVMValueRef *args,
                       unsigned arg_count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef callee = LLVMGetIntrinsicDeclaration(l->module, id, overloads, overload_count);
    return LLVMBuildCall2(l->builder, LLVMGlobalGetValueType(callee), callee, args, arg_count, "");
}

LLVMBasicBlockRef new_block(Lower *l, const char *name) { return LLVMAppendBasicBlockInContext(l->context, l->function, name); }

static LLVMMetadataRef weight(const Lower *l, uint32_t value) { return LLVMValueAsMetadata(const_i32(l, value)); }

void branch_if(Lower *l, LLVMValueRef condition, LLVMBasicBlockRef yes, LLVMBasicBlockRef no, uint32_t yes_weight,
               uint32_t no_weight) {
    LLVMValueRef branch = LLVMBuildCondBr(l->builder, condition, yes, no);
    if (!yes_weight && !no_weight) return;
    LLVMMetadataRef weights[3] = {LLVMMDStringInContext2(l->context, "branch_weights", 14), weight(l, yes_weight),
                                  weight(l, no_weight)};
    LLVMSetMetadata(branch, l->weights_kind, LLVMMetadataAsValue(l->context, LLVMMDNodeInContext2(l->context, weights, 3)));
}

// ---- the cpu state ------------------------------------------------------------------------------------------------------------
LLVMValueRef mark_cpu_access(Lower *l, LLVMValueRef access) {
    LLVMSetMetadata(access, l->scope_kind, l->cpu_scope);
    LLVMSetMetadata(access, l->noalias_kind, l->guest_scope);
    return access;
}

LLVMValueRef mark_guest_access(Lower *l, LLVMValueRef access) {
    LLVMSetMetadata(access, l->scope_kind, l->guest_scope);
    LLVMSetMetadata(access, l->noalias_kind, l->cpu_scope);
    return access;
}

LLVMValueRef cpu_field(Lower *l, int32_t offset) {
    LLVMValueRef index = const_int(l, KIR_I64, (uint64_t)(int64_t)offset);
    return LLVMBuildGEP2(l->builder, l->types[KIR_I8], l->base, &index, 1, "");
}

LLVMValueRef load_cpu(Lower *l, LLVMTypeRef type, int32_t offset, const char *name) {
    LLVMValueRef load = LLVMBuildLoad2(l->builder, type, cpu_field(l, offset), name);
    LLVMSetAlignment(load, type == l->types[KIR_I32] ? 4 : 8);
    return mark_cpu_access(l, load);
}

LLVMValueRef store_cpu(Lower *l, LLVMValueRef value, int32_t offset) {
    LLVMValueRef store = LLVMBuildStore(l->builder, value, cpu_field(l, offset));
    LLVMSetAlignment(store, 1); // homes of the guest's choosing
    return mark_cpu_access(l, store);
}

// ---- globals ------------------------------------------------------------------------------------------------------------------
static int32_t home_of(const Lower *l, unsigned global) {
    return (int32_t)l->request->world.globals[global].offset - l->request->layout.bias;
}
static unsigned type_of_global(const Lower *l, unsigned global) { return l->request->world.globals[global].type; }

static LLVMValueRef load_home(Lower *l, unsigned global) {
    unsigned type = type_of_global(l, global);
    LLVMValueRef load = load_cpu(l, l->types[type == KIR_I1 ? KIR_I8 : type], home_of(l, global), "");
    LLVMSetAlignment(load, 1);
    return type == KIR_I1 ? LLVMBuildTrunc(l->builder, load, l->types[KIR_I1], "") : load;
}

static void store_home_value(Lower *l, unsigned global, LLVMValueRef value) {
    if (type_of_global(l, global) == KIR_I1) value = LLVMBuildZExt(l->builder, value, l->types[KIR_I8], "");
    store_cpu(l, value, home_of(l, global));
}

static void store_home(Lower *l, unsigned global) { store_home_value(l, global, read_global(l, global)); }

LLVMValueRef read_global(Lower *l, unsigned global) {
    return LLVMBuildLoad2(l->builder, l->types[type_of_global(l, global)], l->copy[global], "");
}

void write_global(Lower *l, unsigned global, LLVMValueRef value) {
    LLVMBuildStore(l->builder, value, l->copy[global]);
    if (l->single[global]) LLVMBuildStore(l->builder, unbox(l, value), l->single[global]);
}

static LLVMValueRef get(Lower *l, const KirInsn *insn) {
    LLVMValueRef single = l->single[insn->a];
    look_at(l, insn->a);
    if (single) l->singles[l->index] = LLVMBuildLoad2(l->builder, l->types[KIR_F32], single, "");
    return read_global(l, insn->a);
}

static void set(Lower *l, const KirInsn *insn) {
    const KirInsn *value = &l->kir->insns[insn->b];
    bool later = is_put_off(l, insn);
    (later ? set_add : set_remove)(&l->pending, insn->a);
    l->pending_value[insn->a] = insn->b;
    if (later) return;
    if (l->blocks[l->block].stored[l->index]) store_home_value(l, insn->a, value_of(l, insn->b));
    if (!l->single[insn->a] || value->op != KIR_NANBOX) {
        write_global(l, insn->a, value_of(l, insn->b));
    } else {
        LLVMBuildStore(l->builder, value_of(l, value->a), l->single[insn->a]);
        if (lazy_of_set(l, l->block, insn) == LAZY_NONE) LLVMBuildStore(l->builder, value_of(l, insn->b), l->copy[insn->a]);
    }
}

void store_dirty(Lower *l, const GlobalSet *dirty, bool pinned) {
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (l->copy[i] && set_has(dirty, i) && (pinned || l->argument[i] < 0)) store_home(l, i);
}

void reload_globals(Lower *l) {
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (l->copy[i]) write_global(l, i, load_home(l, i));
}

void add_call_attribute(Lower *l, LLVMValueRef call, const char *name, uint64_t value) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddCallSiteAttribute(call, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                             LLVMCreateEnumAttribute(l->context, kind, value));
}

// ---- the function -------------------------------------------------------------------------------------------------------------
static LLVMValueRef alias_scope(Lower *l, LLVMMetadataRef domain, const char *name) {
    LLVMMetadataRef parts[2] = {LLVMMDStringInContext2(l->context, name, strlen(name)), domain};
    LLVMMetadataRef scope = LLVMMDNodeInContext2(l->context, parts, 2);
    return LLVMMetadataAsValue(l->context, LLVMMDNodeInContext2(l->context, &scope, 1));
}

static unsigned metadata_kind(Lower *l, const char *name) {
    return LLVMGetMDKindIDInContext(l->context, name, (unsigned)strlen(name));
}

static void make_types(Lower *l) {
    LLVMContextRef c = l->context;
    l->types[KIR_VOID] = LLVMVoidTypeInContext(c);
    l->types[KIR_I1] = LLVMInt1TypeInContext(c);
    l->types[KIR_I8] = LLVMInt8TypeInContext(c);
    l->types[KIR_I16] = LLVMInt16TypeInContext(c);
    l->types[KIR_I32] = LLVMInt32TypeInContext(c);
    l->types[KIR_I64] = l->types[KIR_V64] = LLVMInt64TypeInContext(c);
    l->types[KIR_I128] = LLVMInt128TypeInContext(c);
    l->types[KIR_F32] = LLVMFloatTypeInContext(c);
    l->types[KIR_F64] = LLVMDoubleTypeInContext(c);
    l->types[KIR_V128] = LLVMVectorType(l->types[KIR_I64], 2);
    l->ptr = LLVMPointerTypeInContext(c, 0);
    LLVMTypeRef helper[4] = {l->ptr, l->types[KIR_I64], l->types[KIR_I64], l->types[KIR_I64]};
    l->helper_type = LLVMFunctionType(l->types[KIR_I64], helper, 4, false);
    LLVMTypeRef evaluator[2] = {l->ptr, l->ptr};
    l->evaluator_type = LLVMFunctionType(l->types[KIR_VOID], evaluator, 2, false);
    l->scope_kind = metadata_kind(l, "alias.scope");
    l->noalias_kind = metadata_kind(l, "noalias");
    l->weights_kind = metadata_kind(l, "prof");
    LLVMMetadataRef name = LLVMMDStringInContext2(c, "kiln", 4), domain = LLVMMDNodeInContext2(c, &name, 1);
    l->cpu_scope = alias_scope(l, domain, "cpu");
    l->guest_scope = alias_scope(l, domain, "guest");
}

// Position of pinned_int[N] among the arguments (request.h).
static unsigned int_argument(unsigned n) {
    static const uint8_t positions[10] = {0, 1, 3, 4, 5, 8, 9, 10, 6, 7};
    return positions[n];
}

static void make_signature(Lower *l) {
    LLVMTypeRef parameters[LOWER_ARGS];
    memset(l->argument, 0xff, sizeof l->argument);
    for (unsigned i = 0; i < LOWER_INTS; i++) parameters[i] = i == LOWER_BASE ? l->ptr : l->types[KIR_I64];
    for (unsigned i = 0; i < 10; i++)
        if (l->request->pinned_int[i] != NO_PIN) l->argument[l->request->pinned_int[i]] = (int16_t)int_argument(i);
    LLVMTypeRef vector = l->types[KIR_F64];
    for (unsigned i = 0; i < LOWER_FLOATS; i++) {
        unsigned global = l->request->pinned_float[i];
        if (global == NO_PIN) continue;
        vector = l->types[type_of_global(l, global)];
        l->argument[global] = (int16_t)(LOWER_INTS + i);
    }
    for (unsigned i = 0; i < LOWER_FLOATS; i++) parameters[LOWER_INTS + i] = vector;
    l->trace_type = LLVMFunctionType(l->types[KIR_VOID], parameters, LOWER_ARGS, false);
}

static void add_attribute(Lower *l, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(l->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(l->context, kind, 0));
}

static void add_string_attribute(Lower *l, const char *name, const char *value) {
    LLVMAddAttributeAtIndex(l->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(l->context, name, (unsigned)strlen(name), value, (unsigned)strlen(value)));
}

static void make_function(Lower *l) {
    l->function = LLVMAddFunction(l->module, "kiln_trace", l->trace_type);
    LLVMSetFunctionCallConv(l->function, LOWER_CONVENTION);
    add_attribute(l, "nounwind");
    add_attribute(l, "null_pointer_is_valid");
    add_attribute(l, "noredzone");
    add_attribute(l, "strictfp");
    add_string_attribute(l, "no-realign-stack", "");
    add_string_attribute(l, "no-jump-tables", "true");
    add_string_attribute(l, "tune-cpu", l->tune);
    for (unsigned i = 0; i < LOWER_ARGS; i++) l->args[i] = LLVMGetParam(l->function, i);
    l->base = l->args[LOWER_BASE];
}

// Registers that are touched, and those that singles are taken out of.
static void find_used(const TraceRequest *request, GlobalSet *used, GlobalSet *singles, bool *all) {
    for (uint32_t i = 0; i < request->block_count; i++) {
        const KirBlock *kir = request->blocks[i].kir;
        for (uint32_t j = 0; j < kir->count; j++) {
            const KirInsn *insn = &kir->insns[j];
            if (insn->op == KIR_GET || insn->op == KIR_SET) set_add(used, insn->a);
            if (insn->op == KIR_NANUNBOX && kir->insns[insn->a].op == KIR_GET) set_add(singles, kir->insns[insn->a].a);
            if (insn->op == KIR_CALL || insn->op == KIR_CALL3) *all |= helper_flags(kir, insn) & KIR_HELPER_WRITES_GLOBALS;
        }
    }
}

// A null pointer that is folded no sooner than in code generation: all guest accesses have one base then, and LLVM knows the distance
// between two of them. With a plain null, constants move into it, and loops with stores are not vectorised.
static void make_memory(Lower *l) {
    LLVMValueRef null = LLVMConstNull(l->ptr);
    l->memory = intrinsic(l, "llvm.strip.invariant.group", &l->ptr, 1, &null, 1);
}

// Pinned globals have a copy always: it is what exits pass on.
static void make_copies(Lower *l) {
    GlobalSet used = {{0}}, singles = {{0}};
    bool all = false;
    find_used(l->request, &used, &singles, &all);
    for (unsigned i = 0; i < l->request->world.global_count; i++) {
        if (!set_has(&used, i) && l->argument[i] < 0) continue;
        l->copy[i] = LLVMBuildAlloca(l->builder, l->types[type_of_global(l, i)], l->request->world.globals[i].name);
        if (set_has(&singles, i)) l->single[i] = LLVMBuildAlloca(l->builder, l->types[KIR_F32], "single");
    }
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (l->copy[i]) write_global(l, i, l->argument[i] >= 0 ? l->args[l->argument[i]] : load_home(l, i));
}

// ---- counting -----------------------------------------------------------------------------------------------------------------
void count_at(Lower *l, uint64_t address) {
    LLVMValueRef counter = LLVMConstIntToPtr(const_int(l, KIR_I64, address), l->ptr);
    LLVMValueRef load = LLVMBuildLoad2(l->builder, l->types[KIR_I64], counter, "count");
    LLVMValueRef sum = LLVMBuildAdd(l->builder, mark_cpu_access(l, load), const_int(l, KIR_I64, 1), "");
    mark_cpu_access(l, LLVMBuildStore(l->builder, sum, counter));
}

static void lower_count(Lower *l, uint64_t address) {
    if (l->uncounted) return;
    l->counted = address;
    count_at(l, address + offsetof(KirCount, executed));
}

// ---- operations ---------------------------------------------------------------------------------------------------------------
static bool is_value_operation(const KirInsn *insn) {
    return !(kir_op_info[insn->op].flags &
             (KIR_FLAG_FAULT | KIR_FLAG_GLOBAL | KIR_FLAG_CALL | KIR_FLAG_SIDE_EXIT | KIR_FLAG_END)) &&
           insn->op != KIR_CONST && insn->op != KIR_CONSTV && insn->op != KIR_FENCE;
}

static LLVMValueRef lower_constant(Lower *l, const KirInsn *insn) {
    if (insn->type == KIR_F32 || insn->type == KIR_F64) {
        LLVMValueRef bits = const_int(l, insn->type == KIR_F32 ? KIR_I32 : KIR_I64, insn->imm);
        return LLVMConstBitCast(bits, l->types[insn->type]);
    }
    return const_int(l, insn->type, insn->imm);
}

static LLVMValueRef lower_wide_constant(Lower *l, const KirInsn *insn) {
    const KirWide *wide = &l->kir->wides[insn->a];
    if (insn->type == KIR_V64) return const_int(l, KIR_I64, wide->lo);
    LLVMValueRef halves[2] = {const_int(l, KIR_I64, wide->lo), const_int(l, KIR_I64, wide->hi)};
    if (insn->type == KIR_V128) return LLVMConstVector(halves, 2);
    uint64_t words[2] = {wide->lo, wide->hi};
    return LLVMConstIntOfArbitraryPrecision(l->types[KIR_I128], 2, words);
}

static LLVMValueRef lower_value(Lower *l, const KirInsn *insn) {
    LLVMValueRef value = NULL;
    if (!(l->request->options & TRACE_EVAL_ALL)) {
        value = class_test(l, insn);
        if (!value) value = lower_integer(l, insn);
        if (!value) value = lower_float(l, insn);
        if (!value) value = lower_vector(l, insn);
    }
    if (value) return value;
    l->fallbacks++;
    return call_evaluator(l, insn);
}

static void lower_insn(Lower *l, const KirInsn *insn) {
    LLVMValueRef *result = &l->values[l->index];
    switch (insn->op) {
    case KIR_NOP: break;
    case KIR_INSN: l->insn_pc = insn->imm; break;
    case KIR_COUNT: lower_count(l, insn->imm); break;
    case KIR_CONST: *result = lower_constant(l, insn); break;
    case KIR_CONSTV: *result = lower_wide_constant(l, insn); break;
    case KIR_GET: *result = get(l, insn); break;
    case KIR_SET: set(l, insn); break;
    case KIR_CALL:
    case KIR_CALL3:
        end_chains(l);
        show_lazy(l, true);
        *result = lower_call(l, insn);
        break;
    case KIR_LOAD:
    case KIR_STORE:
    case KIR_CAS:
    case KIR_AMO:
    case KIR_FENCE: *result = lower_memory(l, insn); break;
    case KIR_EXIT_IF: lower_side_exit(l, insn); break;
    case KIR_EXIT_IF_IND: lower_side_exit_indirect(l, insn); break;
    case KIR_POLL: lower_poll(l, insn); break;
    case KIR_EXIT:
    case KIR_EXIT_COND:
    case KIR_EXIT_IND: lower_final_exit(l, insn); break;
    default:
        if (is_value_operation(insn)) *result = lower_value(l, insn);
        else l->failed = true;
    }
    step_dirty(l, l->block, l->index, &l->dirty);
    step_lazy(l, l->block, l->index, l->lazy);
    step_chains(l, insn);
    if (!dies_at_faults(l)) known_step(l, insn);
}

static void lower_block(Lower *l, uint32_t number) {
    l->block = number;
    l->kir = l->request->blocks[number].kir;
    l->insn_pc = l->kir->pc;
    l->counted = 0;
    l->dirty = l->blocks[number].dirty;
    l->values = arena_alloc(l->arena, l->kir->count * sizeof *l->values);
    l->exact = l->blocks[number].exact;
    l->lazy = memcpy(arena_alloc(l->arena, LOWER_GLOBALS), l->blocks[number].lazy, LOWER_GLOBALS);
    l->chains = l->blocks[number].chains ? *l->blocks[number].chains : (FmaChains){0};
    l->chain = NULL;
    l->chain_of = arena_alloc(l->arena, l->kir->count * sizeof *l->chain_of);
    l->neutral = arena_alloc(l->arena, l->kir->count * sizeof *l->neutral);
    l->singles = arena_alloc(l->arena, l->kir->count * sizeof *l->singles);
    find_neutral(l);
    if (!dies_at_faults(l)) known_start_block(l, number);
    LLVMPositionBuilderAtEnd(l->builder, l->blocks[number].code);
    for (l->index = 0; l->index < l->blocks[number].end; l->index++) lower_insn(l, &l->kir->insns[l->index]);
    if (l->blocks[number].joins != TRACE_LEAVES) lower_join(l);
}

static void make_blocks(Lower *l) {
    for (uint32_t i = 0; i < l->reached; i++) {
        char name[32];
        uint32_t number = l->ordered[i];
        snprintf(name, sizeof name, "b%u_%llx", number, (unsigned long long)l->request->blocks[number].kir->pc);
        l->blocks[number].code = new_block(l, name);
    }
}

bool lower_trace(Lower *l) {
    l->builder = LLVMCreateBuilderInContext(l->context);
    l->request = repeat_loops(l);
    make_types(l);
    make_signature(l);
    make_function(l);
    find_graph(l);
    LLVMBasicBlockRef entry = new_block(l, "entry");
    make_blocks(l);
    LLVMPositionBuilderAtEnd(l->builder, entry);
    make_memory(l);
    make_copies(l);
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (is_kept_home(l, i)) store_home(l, i);
    find_lazy(l);
    l->lazy = l->blocks[0].lazy;
    for (uint32_t i = 0; i < l->reached; i++)
        if (l->blocks[l->ordered[i]].strips) lower_strip(l, l->ordered[i]);
    lower_entry_poll(l);
    for (uint32_t i = 0; i < l->reached; i++) lower_block(l, l->ordered[i]);
    LLVMDisposeBuilder(l->builder);
    return !l->failed;
}
