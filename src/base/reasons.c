// SPDX-License-Identifier: MIT
#include "base/reasons.h"

static const struct {
    const char *name, *meaning;
} reasons[REASON_COUNT] = {
    {"", ""},
#define REASON(name, text, meaning) {text, meaning},
#include "base/reasons.def"
#undef REASON
};

const char *reason_name(Reason reason) { return (unsigned)reason < REASON_COUNT ? reasons[reason].name : ""; }
const char *reason_meaning(Reason reason) { return (unsigned)reason < REASON_COUNT ? reasons[reason].meaning : ""; }
