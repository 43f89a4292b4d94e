// SPDX-License-Identifier: MIT
//
// System calls of the host, raw (no errno, no cancellation).
//
// safe_syscall closes the window between "is a signal pending?" and going to sleep. It tests the pending word and calls,
// in a few instructions with known addresses. The host's signal handler sets the word; if it finds the interrupted
// instruction pointer between the test and the call, it moves it to the exit that answers -ERESTARTNOINTR: the signal came
// before the call, which starts again after it. The kernel also puts the pointer back onto the call when it means to restart it;
// then the answer is -ERESTARTSYS, as the call was interrupted, and may be one that must end with EINTR. What tells the two
// apart is rcx: 0 before the call, in which the processor leaves the address behind it. Once the call has returned its result counts.
#include "base/sanitize.h"
#include "linux/linux.h"
#include "linux/signal.h"
#include <sys/syscall.h>

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
        "    xor %ecx, %ecx\n"
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
        "    mov $-513, %rax\n"
        "    ret\n"
        ".globl safe_syscall_restarted\n"
        "safe_syscall_restarted:\n"
        "    mov $-512, %rax\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size safe_syscall_raw, . - safe_syscall_raw\n");
_Static_assert(LINUX_ERESTARTSYS == 512 && LINUX_ERESTARTNOINTR == 513, "the assembly above answers with these numbers");

// A processor with FRED enters the kernel without a change of rcx. There a call that stands on its instruction counts as interrupted.
INTERRUPTS_SANITIZER static bool calls_change_rcx(void) {
    long result = SYS_getpid, rcx = 0;
    __asm__ volatile("syscall" : "+a"(result), "+c"(rcx) : : "r11", "memory");
    return rcx != 0;
}

INTERRUPTS_SANITIZER void safe_syscall_unwind(greg_t *registers) {
    uint64_t rip = (uint64_t)registers[REG_RIP];
    if (rip < (uint64_t)safe_syscall_begin || rip > (uint64_t)safe_syscall_call) return;
    bool entered = rip == (uint64_t)safe_syscall_call && (registers[REG_RCX] || !calls_change_rcx());
    registers[REG_RIP] = (greg_t)(entered ? safe_syscall_restarted : safe_syscall_interrupted);
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
