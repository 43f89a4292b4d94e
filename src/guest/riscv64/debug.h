// SPDX-License-Identifier: MIT
#ifndef KILN_GUEST_RISCV64_DEBUG_H
#define KILN_GUEST_RISCV64_DEBUG_H

#include "guest/guest.h"

extern const GuestDebug rv_debug;

#endif
