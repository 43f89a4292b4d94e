// SPDX-License-Identifier: MIT
//
// One line for each trace that comes into use or goes out of it (-d trace), and what the optimizer says about it (-d llvm,...).
#include "debug/dump.h"
#include "debug/log.h"
#include "engine/internal.h"

static void print_head(const Engine *engine, const Trace *trace, const char *what) {
    uint64_t pc = trace->code.pc, offset = 0;
    const char *symbol = engine->hooks.symbol ? engine->hooks.symbol(pc, &offset) : NULL;
    log_item(engine, ENGINE_LOG_TRACE, "trace %llu %s 0x%llx <%s+0x%llx>", (unsigned long long)trace->id, what,
             (unsigned long long)pc, symbol ? symbol : "?", (unsigned long long)offset);
}

void dump_trace(Engine *engine, const Trace *trace, const KirBlock *kir) {
    if (kir) dump_kir(engine, kir, true);
    dump_host_code(engine, &trace->code);
    if (!(engine->options.log_mask & ENGINE_LOG_TRACE)) return;
    const TracePlan *plan = &trace->plan;
    print_head(engine, trace, trace->form == TRACE_FIRST ? "first " : "second");
    log_item(engine, ENGINE_LOG_TRACE, " %s blocks %u+%u loop %d insns %u size %u compile %llu us end %s\n",
             hot_shape_name((HotShape)plan->shape), plan->path, plan->count - plan->path, plan->loop, trace->guest_insns,
             trace->code.host.size, (unsigned long long)trace->compile_ns / 1000, reason_name((Reason)plan->reason));
}

void dump_trace_end(Engine *engine, const Trace *trace, Reason reason) {
    if (!(engine->options.log_mask & ENGINE_LOG_TRACE)) return;
    print_head(engine, trace, "ends  ");
    log_item(engine, ENGINE_LOG_TRACE, " %s\n", reason_name(reason));
}

void dump_trace_text(Engine *engine, const Trace *trace, const TraceResult *result) {
    static const struct {
        uint32_t item;
        const char *title;
    } texts[TRACE_TEXTS] = {
        {ENGINE_LOG_LLVM, "LLVM IR"}, {ENGINE_LOG_LLVM_OPT, "LLVM IR after optimisation"}, {ENGINE_LOG_TRACE_ASM, "TRACE ASM"}};
    for (unsigned i = 0; i < TRACE_TEXTS; i++)
        if (result->text[i])
            log_item(engine, texts[i].item, "%s of the trace at 0x%llx:\n%s\n", texts[i].title, (unsigned long long)trace->code.pc,
                     result->text[i]);
}
