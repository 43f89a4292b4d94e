// SPDX-License-Identifier: MIT
//
// Extensions of riscv64 as bits of GuestTranslation.features. The names are those of the decode tables in capitals.
// Zicntr alone has no row of its own: it stands for the CSRs cycle, time and instret.
#ifndef KILN_GUEST_RISCV64_FEATURES_H
#define KILN_GUEST_RISCV64_FEATURES_H

#define RV_FEATURE_I        (1ull << 0)
#define RV_FEATURE_M        (1ull << 1)
#define RV_FEATURE_A        (1ull << 2)
#define RV_FEATURE_F        (1ull << 3)
#define RV_FEATURE_D        (1ull << 4)
#define RV_FEATURE_C        (1ull << 5)
#define RV_FEATURE_ZICSR    (1ull << 6)
#define RV_FEATURE_ZIFENCEI (1ull << 7)
#define RV_FEATURE_ZICNTR   (1ull << 8)
#define RV_FEATURE_ZBA      (1ull << 9)
#define RV_FEATURE_ZBB      (1ull << 10)
#define RV_FEATURE_ZBC      (1ull << 11)
#define RV_FEATURE_ZBS      (1ull << 12)
#define RV_FEATURE_ZICOND   (1ull << 13)

#define RV_FEATURES_GC                                                                                                             \
    (RV_FEATURE_I | RV_FEATURE_M | RV_FEATURE_A | RV_FEATURE_F | RV_FEATURE_D | RV_FEATURE_C | RV_FEATURE_ZICSR |                  \
     RV_FEATURE_ZIFENCEI | RV_FEATURE_ZICNTR)
#define RV_FEATURES_RVA22 (RV_FEATURES_GC | RV_FEATURE_ZBA | RV_FEATURE_ZBB | RV_FEATURE_ZBS)
#define RV_FEATURES_MAX   (RV_FEATURES_RVA22 | RV_FEATURE_ZBC | RV_FEATURE_ZICOND)

#endif
