// SPDX-License-Identifier: MIT
//
// One request in, one object out: LLVM IR, passes, code generation.
//
// LLVM reports errors in three ways: as diagnostics of the context (code generation that gives up still returns "success" and a broken
// object), as LLVMErrorRef, and by report_fatal_error, which ends the process unless its handler does not return. All three become
// REASON_LLVM_ERROR here; the fatal one by a jump back, which leaks the request's module (a worker that meets many of them
// is a bug to be found, not a state to be lived in).
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include "base/error.h"
#include "opt/lower.h"

enum { MACHINES = 16 };
#define TRIPLE "x86_64-unknown-linux-gnu"

struct Compiler {
    LLVMTargetMachineRef machines[MACHINES]; // by what the request forbids; made when needed
    LLVMPassBuilderOptionsRef pass_options;
    bool failed; // a diagnostic of severity "error" came
    jmp_buf fatal;
};

static __thread Compiler *running; // whose `fatal` is set
static char *host_cpu, *host_features;

// ---- passes -------------------------------------------------------------------------------------------------------------------
typedef struct Pass {
    const char *text;
    bool for_loops, for_strips;
} Pass;
static const Pass passes[] = {
#define OPTIMIZER_PASS(name, text, loops, strips) {text, loops, strips},
#include "ir/optimizer_passes.def"
#undef OPTIMIZER_PASS
};
enum { PASSES = sizeof passes / sizeof *passes };
_Static_assert(PASSES <= 32, "one bit of a request each");

static void write_pipeline(char *text, size_t size, const TraceRequest *request, bool loops, bool strips) {
    size_t used = (size_t)snprintf(text, size, "function(");
    const char *comma = "";
    for (unsigned i = 0; i < PASSES; i++) {
        bool wanted = (loops || !passes[i].for_loops) && (strips || !passes[i].for_strips);
        if (!wanted || request->disabled_passes >> i & 1) continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s", comma, passes[i].text);
        comma = ",";
    }
    if (*comma) snprintf(text + used, size - used, ")");
    else *text = 0;
}

// ---- errors -------------------------------------------------------------------------------------------------------------------
static void on_diagnostic(LLVMDiagnosticInfoRef info, void *context) {
    Compiler *compiler = context;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    compiler->failed = true;
    char *text = LLVMGetDiagInfoDescription(info);
    warning("LLVM: %s", text);
    LLVMDisposeMessage(text);
}

static void on_fatal_error(const char *reason) {
    if (!running) bug("LLVM: %s", reason);
    warning("LLVM: %s", reason);
    longjmp(running->fatal, 1);
}

static bool failed_with(LLVMErrorRef error) {
    if (!error) return false;
    char *text = LLVMGetErrorMessage(error);
    warning("LLVM: %s", text);
    LLVMDisposeErrorMessage(text);
    return true;
}

// ---- the machine --------------------------------------------------------------------------------------------------------------
// The value that a counter has behind a loop is computed there, always: it shows how far one strip of a loop gets, without which the next one
// is not vectorised. Three parts of code generation that cost a fifth of it and brought nothing to traces, measured, are left out: loop
// strength reduction (the guest's compiler has done it), and scheduling before and after register allocation.
//
// Live ranges are not split around regions: if a loop lacked one register, that moved all the pinned ones that it only passes on to the stack, at
// each entry and exit, and left the loop's own values where they should not be (an elimination loop took 1.7 times as long; nothing measured
// got slower without).
//
// Inner loops begin at 16 bytes, as LLVM would have it: at the start of a cache line some gain a few per cent, and others (the update of a row
// in `lu`, 48 bytes) take half as long again.
//
// Which registers live on behind a patchpoint nobody asks, and LLVM would fall over those that DWARF has no number for.
static void set_options(void) {
    static const char *const options[] = {"kiln-opt",
                                          "-replexitval=always",
                                          "-disable-lsr",
                                          "-enable-misched=false",
                                          "-disable-post-ra",
                                          "-grow-region-complexity-budget=1",
                                          "-enable-patchpoint-liveness=false"};
    LLVMParseCommandLineOptions(sizeof options / sizeof *options, options, NULL);
}

// What the host has, and not what it lacks: the machine is made for the plainest x86-64, so nothing has to be taken away, and reading features
// is most of what making it costs. What it is tuned for is the function's affair.
static void keep_present(char *features) {
    char *to = features;
    for (char *item = features; *item;) {
        size_t length = strcspn(item, ",");
        char *next = item + length + (item[length] == ',');
        if (*item == '+') {
            if (to != features) *to++ = ',';
            memmove(to, item, length);
            to += length;
        }
        item = next;
    }
    *to = 0;
}

void compiler_start(void) {
    set_options();
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInstallFatalErrorHandler(on_fatal_error);
    host_cpu = LLVMGetHostCPUName();
    host_features = LLVMGetHostCPUFeatures();
    keep_present(host_features);
}

// In exact mode registers are what a signal frame shows plainly, and instructions what sites.c can write: no AVX-512.
enum { NO_AVX512 = 1u << 31 };
static uint32_t limits_of(const TraceRequest *request) {
    return request->options | (request->assumptions & TRACE_NO_FAULT_HANDLER ? 0 : NO_AVX512);
}

static LowerFeatures features_for(uint32_t options) {
    __builtin_cpu_init();
    LowerFeatures f = {
        .avx = __builtin_cpu_supports("avx") && !(options & TRACE_NO_AVX),
        .pclmul = __builtin_cpu_supports("pclmul"),
        .aes = strstr(host_features, "+aes") != NULL,
        .bmi1 = __builtin_cpu_supports("bmi") && !(options & TRACE_NO_BMI),
        .bmi2 = __builtin_cpu_supports("bmi2") && !(options & TRACE_NO_BMI),
        .lzcnt = strstr(host_features, "+lzcnt") && !(options & TRACE_NO_BMI),
    };
    f.avx2 = f.avx && __builtin_cpu_supports("avx2");
    f.fma = f.avx && __builtin_cpu_supports("fma") && !(options & TRACE_NO_FMA);
    f.avx512 = f.fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && !(options & NO_AVX512); // LLVM has no AVX-512 without FMA
    f.f16c = f.avx && strstr(host_features, "+f16c");
    return f;
}

static LLVMTargetMachineRef make_machine(uint32_t options) {
    LLVMTargetRef target;
    char *error = NULL;
    if (LLVMGetTargetFromTriple(TRIPLE, &target, &error)) bug("LLVM has no x86-64: %s", error);
    size_t size = strlen(host_features) + 100;
    char *features = malloc(size);
    if (!features) fatal("out of memory");
    snprintf(features, size, "%s%s%s%s%s", host_features, options & TRACE_NO_AVX ? ",-avx" : "",
             options & (TRACE_NO_AVX | TRACE_NO_FMA) ? ",-fma,-fma4" : "", options & TRACE_NO_BMI ? ",-bmi,-bmi2,-lzcnt" : "",
             options & NO_AVX512 ? ",-avx512f,-evex512" : "");
    LLVMTargetMachineOptionsRef o = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(o, "x86-64");
    LLVMTargetMachineOptionsSetFeatures(o, features);
    LLVMTargetMachineOptionsSetCodeGenOptLevel(o, LLVMCodeGenLevelDefault);
    LLVMTargetMachineOptionsSetRelocMode(o, LLVMRelocPIC);
    LLVMTargetMachineOptionsSetCodeModel(o, LLVMCodeModelSmall);
    LLVMTargetMachineRef machine = LLVMCreateTargetMachineWithOptions(target, TRIPLE, o);
    LLVMDisposeTargetMachineOptions(o);
    free(features);
    return machine;
}

static LLVMTargetMachineRef machine_for(Compiler *compiler, uint32_t options) {
    unsigned i = (options & TRACE_NO_AVX ? 1 : 0) | (options & TRACE_NO_FMA ? 2 : 0) | (options & TRACE_NO_BMI ? 4 : 0) |
                 (options & NO_AVX512 ? 8 : 0);
    if (!compiler->machines[i]) compiler->machines[i] = make_machine(options);
    return compiler->machines[i];
}

Compiler *compiler_new(void) {
    Compiler *compiler = calloc(1, sizeof *compiler);
    if (!compiler) fatal("out of memory");
    compiler->pass_options = LLVMCreatePassBuilderOptions();
    return compiler;
}

void compiler_free(Compiler *compiler) {
    for (int i = 0; i < MACHINES; i++)
        if (compiler->machines[i]) LLVMDisposeTargetMachine(compiler->machines[i]);
    LLVMDisposePassBuilderOptions(compiler->pass_options);
    free(compiler);
}

static LLVMMemoryBufferRef emit(LLVMTargetMachineRef machine, LLVMModuleRef module, LLVMCodeGenFileType kind) {
    LLVMMemoryBufferRef buffer = NULL;
    char *error = NULL;
    if (!LLVMTargetMachineEmitToMemoryBuffer(machine, module, kind, &error, &buffer)) return buffer;
    warning("LLVM: %s", error);
    LLVMDisposeMessage(error);
    return NULL;
}

LLVMMemoryBufferRef compile_module(Compiler *compiler, LLVMModuleRef module) {
    LLVMMemoryBufferRef volatile buffer = NULL;
    compiler->failed = false;
    running = compiler;
    LLVMContextSetDiagnosticHandler(LLVMGetModuleContext(module), on_diagnostic, compiler);
    LLVMSetTarget(module, TRIPLE);
    if (!setjmp(compiler->fatal)) buffer = emit(machine_for(compiler, 0), module, LLVMObjectFile);
    running = NULL;
    return compiler->failed ? NULL : buffer;
}

// ---- one request --------------------------------------------------------------------------------------------------------------
typedef struct Job {
    Compiler *compiler;
    const TraceRequest *request;
    Arena *arena;
    TraceResult *result;
    LLVMTargetMachineRef machine;
    uint64_t start;    // CPU time
    bool text, object; // what is to be made
    bool stores_all;   // another try: LLVM found no registers for all that accesses name
    Lower lower;
} Job;

static void *copy_to_arena(Arena *arena, const void *data, size_t size) {
    return memcpy(arena_alloc_raw(arena, size + 1), data, size);
}

static bool wants_text(const Job *job) { return job->text; }

static void keep_text(Job *job, unsigned which) {
    if (!wants_text(job)) return;
    char *text = LLVMPrintModuleToString(job->lower.module);
    job->result->text[which] = copy_to_arena(job->arena, text, strlen(text) + 1);
    LLVMDisposeMessage(text);
}

// Code generation changes the module: what is printed is a copy's.
static bool keep_assembly(Job *job) {
    if (!wants_text(job)) return true;
    LLVMModuleRef copy = LLVMCloneModule(job->lower.module);
    LLVMMemoryBufferRef buffer = emit(job->machine, copy, LLVMAssemblyFile);
    LLVMDisposeModule(copy);
    if (!buffer) return false;
    size_t size = LLVMGetBufferSize(buffer);
    char *text = copy_to_arena(job->arena, LLVMGetBufferStart(buffer), size);
    text[size] = 0;
    job->result->text[TRACE_TEXT_ASM] = text;
    LLVMDisposeMemoryBuffer(buffer);
    return true;
}

static void find_loops(const Lower *l, bool *loops, bool *strips) {
    *loops = *strips = false;
    for (uint32_t i = 0; i < l->request->block_count; i++) {
        *loops |= l->blocks[i].latch != NULL;
        *strips |= l->blocks[i].strip != NULL;
    }
}

static bool run_passes(Job *job) {
    char pipeline[512];
    if (job->request->options & TRACE_NO_PASSES) return true;
    bool loops, strips;
    find_loops(&job->lower, &loops, &strips);
    write_pipeline(pipeline, sizeof pipeline, job->request, loops, strips);
    return !*pipeline || !failed_with(LLVMRunPasses(job->lower.module, pipeline, job->machine, job->compiler->pass_options));
}

static bool keep_object(Job *job) {
    if (!job->object) return true;
    LLVMMemoryBufferRef buffer = emit(job->machine, job->lower.module, LLVMObjectFile);
    if (!buffer) return false;
    size_t size = LLVMGetBufferSize(buffer);
    job->result->object = copy_to_arena(job->arena, LLVMGetBufferStart(buffer), size);
    job->result->object_size = (uint32_t)size;
    LLVMDisposeMemoryBuffer(buffer);
    return sites_write(&job->lower.sites, &job->request->world, (uint8_t *)(uintptr_t)job->result->object, size, job->arena,
                       job->result);
}

static bool verified(Job *job) {
#ifdef KILN_DEBUG
    char *error = NULL;
    bool broken = LLVMVerifyModule(job->lower.module, LLVMReturnStatusAction, &error);
    if (broken) warning("LLVM: %s", error);
    LLVMDisposeMessage(error);
    return !broken;
#else
    return true;
#endif
}

static Reason compile(Job *job) {
    Lower *l = &job->lower;
    job->machine = machine_for(job->compiler, limits_of(job->request));
    l->module = LLVMModuleCreateWithNameInContext("trace", l->context);
    LLVMSetTarget(l->module, TRIPLE);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(job->machine);
    LLVMSetModuleDataLayout(l->module, layout);
    LLVMDisposeTargetData(layout);
    if (!lower_trace(l)) return REASON_UNSUPPORTED;
    keep_text(job, TRACE_TEXT_LLVM);
    if (!verified(job) || !run_passes(job)) return REASON_LLVM_ERROR;
    keep_text(job, TRACE_TEXT_LLVM_OPT);
    if (!keep_assembly(job) || !keep_object(job)) return REASON_LLVM_ERROR;
    return job->compiler->failed ? REASON_LLVM_ERROR : REASON_NONE;
}

static uint64_t cpu_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is_counted(const TraceRequest *request) {
    for (uint32_t i = 0; i < request->block_count; i++)
        for (uint32_t j = 0; j < request->blocks[i].kir->count; j++)
            if (request->blocks[i].kir->insns[j].op == KIR_COUNT) return true;
    return false;
}

// Without the object: without what counts, too.
static Reason compile_once(Job *job, bool text, bool object) {
    job->text = text;
    job->object = object;
    job->lower = (Lower){.request = job->request,
                         .arena = job->arena,
                         .tune = host_cpu,
                         .features = features_for(limits_of(job->request)),
                         .context = LLVMContextCreate(),
                         .uncounted = !object,
                         .stores_all = job->stores_all};
    job->lower.sites.avx = job->lower.features.avx;
    LLVMContextSetDiagnosticHandler(job->lower.context, on_diagnostic, job->compiler);
    LLVMContextSetDiscardValueNames(job->lower.context, !text);
    Reason reason = compile(job);
    LLVMDisposeModule(job->lower.module);
    LLVMContextDispose(job->lower.context);
    return reason;
}

static Reason guarded_compile(Job *job) {
    Compiler *compiler = job->compiler;
    compiler->failed = false;
    if (setjmp(compiler->fatal)) {
        running = NULL;
        return REASON_LLVM_ERROR; // module and context are lost
    }
    running = compiler;
    Reason reason = REASON_NONE;
    // What is read is the trace as it runs where nobody counts.
    bool text = job->request->options & TRACE_WANT_TEXT, twice = text && is_counted(job->request);
    if (twice) reason = compile_once(job, true, false);
    if (twice) job->start = cpu_time();
    if (reason == REASON_NONE) reason = compile_once(job, text && !twice, true);
    if (compiler->failed && !(job->request->assumptions & TRACE_NO_FAULT_HANDLER)) {
        job->stores_all = true;
        compiler->failed = false;
        reason = compile_once(job, text && !twice, true);
    }
    running = NULL;
    return reason;
}

void compile_trace(Compiler *compiler, const TraceRequest *request, Arena *arena, TraceResult *result) {
    *result = (TraceResult){.id = request->id};
    Job *job = arena_alloc(arena, sizeof *job);
    *job = (Job){.compiler = compiler, .request = request, .arena = arena, .result = result, .start = cpu_time()};
    result->reason = guarded_compile(job);
    if (result->reason != REASON_NONE) result->object = NULL, result->object_size = 0;
    else result->exits = job->lower.exits, result->exit_count = job->lower.exit_count;
    result->fallbacks = job->lower.fallbacks;
    result->compile_ns = cpu_time() - job->start;
}
