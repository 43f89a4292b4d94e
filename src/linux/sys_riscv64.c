// SPDX-License-Identifier: MIT
//
// The two system calls that RISC-V alone has.
#include <errno.h>
#include "linux/handlers.h"
#include "linux/memory.h"

enum { HWPROBE_BASE_BEHAVIOR = 3, HWPROBE_IMA_EXT_0 = 4, HWPROBE_CPUPERF_0 = 5, HWPROBE_KNOWN_KEYS = 6 };
enum { HWPROBE_BEHAVIOR_IMA = 1, HWPROBE_IMA_FD = 1, HWPROBE_IMA_C = 2, HWPROBE_MISALIGNED_FAST = 3, FLUSH_LOCAL = 1 };
#define HWCAP_LETTER(c) (UINT64_C(1) << ((c) - 'A'))

typedef struct HwprobePair {
    int64_t key;
    uint64_t value;
} HwprobePair;

// What the machine can do follows from AT_HWCAP: one bit a letter.
static uint64_t hwprobe_value(const LinuxProcess *process, int64_t key) {
    uint64_t hwcap = process->guest->linux_abi.hwcap(process->features), extensions = 0;
    if (hwcap & HWCAP_LETTER('D')) extensions |= HWPROBE_IMA_FD;
    if (hwcap & HWCAP_LETTER('C')) extensions |= HWPROBE_IMA_C;
    switch (key) {
    case HWPROBE_BASE_BEHAVIOR: return HWPROBE_BEHAVIOR_IMA;
    case HWPROBE_IMA_EXT_0: return extensions;
    case HWPROBE_CPUPERF_0: return HWPROBE_MISALIGNED_FAST;
    default: return 0; // vendor, architecture, implementation
    }
}

long sys_riscv_hwprobe(LinuxThread *t, const uint64_t args[6]) {
    uint64_t cpus;
    if (args[4] != 0) return -EINVAL;
    if (args[3] || args[2]) {
        if (args[2] < sizeof cpus) return -EINVAL;
        if (!guest_read(&cpus, args[3], sizeof cpus)) return -EFAULT;
        if (!cpus && args[2] == sizeof cpus) return -EINVAL; // no processor chosen
    }
    for (uint64_t i = 0; i < args[1]; i++) {
        HwprobePair pair;
        uint64_t at = args[0] + i * sizeof pair;
        if (!guest_read(&pair, at, sizeof pair)) return -EFAULT;
        bool known = pair.key >= 0 && pair.key < HWPROBE_KNOWN_KEYS;
        pair = (HwprobePair){known ? pair.key : -1, known ? hwprobe_value(t->process, pair.key) : 0};
        if (!guest_write(at, &pair, sizeof pair)) return -EFAULT;
    }
    return 0;
}

// The kernel takes an empty range for everything too.
long sys_riscv_flush_icache(LinuxThread *t, const uint64_t args[6]) {
    if (args[2] & ~(uint64_t)FLUSH_LOCAL) return -EINVAL;
    bool range = args[0] < args[1];
    memory_code_changed(range ? args[0] : 0, range ? args[1] : 0);
    return 0;
}
