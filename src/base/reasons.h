// SPDX-License-Identifier: MIT
//
// Named reasons (base/reasons.def).
#ifndef KILN_BASE_REASONS_H
#define KILN_BASE_REASONS_H

typedef enum Reason {
    REASON_NONE,
#define REASON(name, text, meaning) REASON_##name,
#include "base/reasons.def"
#undef REASON
    REASON_COUNT
} Reason;

// "length"; "" for REASON_NONE or what is none.
const char *reason_name(Reason reason);
const char *reason_meaning(Reason reason);

#endif
