// SPDX-License-Identifier: MIT
//
// What a vdso contains is the guest's business (guest/NAME/vdso.c); here it becomes memory of the program: readable and
// executable, private, as the kernel's is.
#include "linux/vdso.h"
#include <string.h>
#include <sys/mman.h>
#include "linux/memory.h"

bool vdso_map(LinuxProcess *process) {
    const GuestVdso *vdso = process->guest->linux_abi.vdso;
    uint64_t size = page_up(vdso->size);
    long address = memory_map(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address < 0) return false;
    memcpy((void *)address, vdso->image, vdso->size);
    if (memory_protect((uint64_t)address, size, PROT_READ | PROT_EXEC) < 0) return false;
    process->vdso_start = (uint64_t)address;
    process->vdso_end = process->vdso_start + size;
    process->sigreturn = process->vdso_start + vdso->sigreturn;
    vdso->placed(process->vdso_start);
    return true;
}
