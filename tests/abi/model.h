// SPDX-License-Identifier: MIT
//
// What a loop's instructions mean, one at a time, where a program has said so in STEPS(X), with X(instruction, what it does to a State *m).
#define STEP_CASE(text, meaning)                                                                                                   \
    case __COUNTER__ - FIRST_STEP: meaning; break;
static void model_step(State *m) {
    enum { FIRST_STEP = __COUNTER__ + 1 };
    switch (m->step) { STEPS(STEP_CASE) }
    m->step++;
}
#define STEP_ONE(text, meaning) +1
enum { STEP_COUNT = 0 STEPS(STEP_ONE) };
