// SPDX-License-Identifier: MIT
//
// Scalar floating point.
#include "opt/lower.h"

LLVMValueRef lower_float(Lower *l, const KirInsn *insn) { return NULL; }
