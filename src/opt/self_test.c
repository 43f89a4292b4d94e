// SPDX-License-Identifier: MIT
//
// Is preserve_none what the fast tier takes it for? Its register order has changed between LLVM releases, so it is proved, not believed.
// LLVM is part of this program, so once is enough: the build does it (meson.build), and fails where it is otherwise. A function of the traces' signature that writes its arguments to a known place is compiled, loaded and called with a different
// number in every register.
#include <elf.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include "opt/lower.h"

enum { PAGE = 4096, ARGUMENTS = LOWER_INTS + LOWER_FLOATS };

static uint64_t seen[ARGUMENTS];
// r12 r13 r14 r15 rdi rsi rdx rcx r8 r9 r11, then xmm0 to xmm7.
static const uint64_t sent[ARGUMENTS] = {0x1012, 0x1013, 0x1014, 0x1015, 0x1007, 0x1006, 0x1002, 0x1001, 0x1008, 0x1009,
                                         0x1011, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007};

// for each argument: seen[i] = argument
static LLVMModuleRef make_module(LLVMContextRef context) {
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("convention", context);
    LLVMTypeRef i64 = LLVMInt64TypeInContext(context), ptr = LLVMPointerTypeInContext(context, 0), parameters[ARGUMENTS];
    for (int i = 0; i < ARGUMENTS; i++) parameters[i] = i < LOWER_INTS ? i64 : LLVMDoubleTypeInContext(context);
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(context), parameters, ARGUMENTS, false);
    LLVMValueRef function = LLVMAddFunction(module, "test", type);
    LLVMSetFunctionCallConv(function, LOWER_CONVENTION);
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(context, nounwind, 0));
    LLVMBuilderRef builder = LLVMCreateBuilderInContext(context);
    LLVMPositionBuilderAtEnd(builder, LLVMAppendBasicBlockInContext(context, function, "entry"));
    for (int i = 0; i < ARGUMENTS; i++) {
        LLVMValueRef place = LLVMConstIntToPtr(LLVMConstInt(i64, (uintptr_t)&seen[i], false), ptr);
        LLVMSetVolatile(LLVMBuildStore(builder, LLVMGetParam(function, (unsigned)i), place), true);
    }
    LLVMBuildRetVoid(builder);
    LLVMDisposeBuilder(builder);
    return module;
}

// The code of an object that needs no relocation; NULL if it is not such a one.
static const uint8_t *find_text(const uint8_t *object, size_t size, size_t *text_size) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)object;
    if (size < sizeof *header || header->e_shoff + header->e_shnum * sizeof(Elf64_Shdr) > size) return NULL;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(object + header->e_shoff);
    const uint8_t *text = NULL;
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type == SHT_RELA) return NULL;
        if (!(sections[i].sh_flags & SHF_EXECINSTR)) continue;
        text = object + sections[i].sh_offset;
        *text_size = sections[i].sh_size;
    }
    return text;
}

// All registers the callee may change are named; it keeps rbp, which keeps our stack pointer.
static void call(const void *code) {
    register const void *target __asm__("rax") = code;
    register const uint64_t *values __asm__("r10") = sent;
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpush %%rbp\n\tmov %%rsp, %%rbp\n\tand $-16, %%rsp\n\t"
                     "mov (%%r10), %%r12\n\tmov 8(%%r10), %%r13\n\tmov 16(%%r10), %%r14\n\tmov 24(%%r10), %%r15\n\t"
                     "mov 32(%%r10), %%rdi\n\tmov 40(%%r10), %%rsi\n\tmov 48(%%r10), %%rdx\n\tmov 56(%%r10), %%rcx\n\t"
                     "mov 64(%%r10), %%r8\n\tmov 72(%%r10), %%r9\n\tmov 80(%%r10), %%r11\n\t"
                     "movq 88(%%r10), %%xmm0\n\tmovq 96(%%r10), %%xmm1\n\tmovq 104(%%r10), %%xmm2\n\tmovq 112(%%r10), %%xmm3\n\t"
                     "movq 120(%%r10), %%xmm4\n\tmovq 128(%%r10), %%xmm5\n\tmovq 136(%%r10), %%xmm6\n\tmovq 144(%%r10), %%xmm7\n\t"
                     "call *%%rax\n\tmov %%rbp, %%rsp\n\tpop %%rbp\n\tlea 128(%%rsp), %%rsp"
                     : "+r"(target), "+r"(values)
                     :
                     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
                       "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
                       "memory", "cc");
}

static bool run(const uint8_t *text, size_t size) {
    if (!text || size > PAGE) return false;
    uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return false;
    memcpy(page, text, size);
    memset(seen, 0, sizeof seen);
    bool ok = mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0;
    if (ok) call(page);
    munmap(page, PAGE);
    return ok && memcmp(seen, sent, sizeof seen) == 0;
}

bool convention_test(Compiler *compiler) {
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef module = make_module(context);
    LLVMMemoryBufferRef buffer = compile_module(compiler, module);
    bool ok = false;
    if (buffer) {
        size_t size = 0;
        const uint8_t *text = find_text((const uint8_t *)LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer), &size);
        ok = run(text, size);
        LLVMDisposeMemoryBuffer(buffer);
    }
    LLVMDisposeModule(module);
    LLVMContextDispose(context);
    return ok;
}
