// SPDX-License-Identifier: MIT
//
// The Linux ABI of riscv64, for the Guest struct. RV_LINUX_ABI is the initializer of Guest.linux_abi.
#ifndef KILN_GUEST_RISCV64_LINUX_H
#define KILN_GUEST_RISCV64_LINUX_H

#include "guest/guest.h"

uint64_t rv_syscall_number(const Cpu *cpu);
void rv_syscall_args(const Cpu *cpu, uint64_t args[6]);
void rv_syscall_result(Cpu *cpu, uint64_t result);
uint64_t rv_syscall_get_result(const Cpu *cpu);
void rv_syscall_restart(Cpu *cpu, uint64_t first_argument);
void rv_start(Cpu *cpu, uint64_t entry, uint64_t stack);
uint64_t rv_stack_pointer(const Cpu *cpu);
void rv_clone_child(Cpu *child, uint64_t stack, bool set_tls, uint64_t tls);
bool rv_signal_frame(Cpu *cpu, uint64_t stack, int signal, const siginfo_t *siginfo, const stack_t *altstack, uint64_t mask,
                     uint64_t handler, uint64_t flags, uint64_t trampoline);
bool rv_signal_mask(const Cpu *cpu, uint64_t *mask);
bool rv_signal_return(Cpu *cpu, stack_t *altstack);
uint64_t rv_hwcap(uint64_t features);
uint64_t rv_hwcap2(uint64_t features);
uint64_t rv_hwprobe_extensions(uint64_t features);
void rv_cpuinfo(uint64_t features, unsigned processor, char *text, size_t size);

extern const GuestVdso rv_vdso; // vdso.c

#define RV_LINUX_ABI                                                                                                               \
    {                                                                                                                              \
        .machine = "riscv64", .page_size = 4096, .syscall_insn_bytes = 4, .syscall_number = rv_syscall_number,                     \
        .syscall_args = rv_syscall_args, .syscall_result = rv_syscall_result, .syscall_get_result = rv_syscall_get_result,         \
        .syscall_restart = rv_syscall_restart, .start = rv_start, .stack_pointer = rv_stack_pointer,                               \
        .clone_child = rv_clone_child, .signal_frame = rv_signal_frame, .signal_mask = rv_signal_mask,                             \
        .signal_return = rv_signal_return, .vdso = &rv_vdso, .hwcap = rv_hwcap, .hwcap2 = rv_hwcap2,                               \
        .hwprobe_extensions = rv_hwprobe_extensions, .platform = NULL, .cpuinfo = rv_cpuinfo,                                      \
    }

#endif
