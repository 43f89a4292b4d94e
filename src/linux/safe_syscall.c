// SPDX-License-Identifier: MIT
//
// System calls of the host, raw (no errno, no cancellation).
//
// safe_syscall closes the window between "is a signal pending?" and going to sleep. It tests the pending word and calls,
// in a few instructions with known addresses. The host's signal handler sets the word; if it finds the interrupted
// instruction pointer between the test and the call (the kernel also puts it back onto the call when it means to restart
// it), it moves it to the exit that answers -ERESTARTSYS. Once the call has returned its result counts.
#include "base/sanitize.h"
#include "linux/linux.h"
#include "linux/signal.h"

// rdi pending, rsi number, rdx rcx r8 r9 and two stack words the arguments. No register need be saved (the call destroys r11,
// but the pointer in it is used before), so there is no stack frame and both exits find the stack as it was.
__asm__(".text\n"
        ".globl safe_syscall_raw\n"
        ".type safe_syscall_raw, @function\n"
        "safe_syscall_raw:\n"
        "    .cfi_startproc\n"
        "    mov %rdi, %r11\n"
        "    mov %rsi, %rax\n"
        "    mov %rdx, %rdi\n"
        "    mov %rcx, %rsi\n"
        "    mov %r8, %rdx\n"
        "    mov %r9, %r10\n"
        "    mov 8(%rsp), %r8\n"
        "    mov 16(%rsp), %r9\n"
        ".globl safe_syscall_begin\n"
        "safe_syscall_begin:\n"
        "    cmpl $0, (%r11)\n"
        "    jne safe_syscall_interrupted\n"
        ".globl safe_syscall_call\n"
        "safe_syscall_call:\n"
        "    syscall\n"
        "    ret\n"
        ".globl safe_syscall_interrupted\n"
        "safe_syscall_interrupted:\n"
        "    mov $-512, %rax\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size safe_syscall_raw, . - safe_syscall_raw\n");
_Static_assert(LINUX_ERESTARTSYS == 512, "the assembly above answers with this number");

INTERRUPTS_SANITIZER bool safe_syscall_unwind(uint64_t *rip) {
    if (*rip < (uint64_t)safe_syscall_begin || *rip > (uint64_t)safe_syscall_call) return false;
    *rip = (uint64_t)safe_syscall_interrupted;
    return true;
}

long host_syscall_raw(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
