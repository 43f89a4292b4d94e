// SPDX-License-Identifier: MIT
//
// Vectors and cryptography.
#include "opt/lower.h"

LLVMValueRef lower_vector(Lower *l, const KirInsn *insn) { return NULL; }
