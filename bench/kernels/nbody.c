// SPDX-License-Identifier: MIT
// Bodies under gravity: double precision with divisions and square roots.
// group: fp
// size: 15000
#include "kernel.h"

enum { N = 6 };
typedef struct Body {
    double x[3], v[3], m;
} Body;
static Body bodies[N];

static double energy(void) {
    double e = 0;
    for (int i = 0; i < N; i++) {
        const Body *b = &bodies[i];
        e += b->m * (b->v[0] * b->v[0] + b->v[1] * b->v[1] + b->v[2] * b->v[2]) / 2;
        for (int j = i + 1; j < N; j++) {
            double d = 0;
            for (int k = 0; k < 3; k++) d += (b->x[k] - bodies[j].x[k]) * (b->x[k] - bodies[j].x[k]);
            e -= b->m * bodies[j].m / sqrt(d);
        }
    }
    return e;
}

static void step(double dt) {
    for (int i = 0; i < N; i++)
        for (int j = i + 1; j < N; j++) {
            double d[3], square = 0;
            for (int k = 0; k < 3; k++) d[k] = bodies[i].x[k] - bodies[j].x[k], square += d[k] * d[k];
            double pull = dt / (square * sqrt(square));
            for (int k = 0; k < 3; k++) {
                bodies[i].v[k] -= d[k] * bodies[j].m * pull;
                bodies[j].v[k] += d[k] * bodies[i].m * pull;
            }
        }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 3; k++) bodies[i].x[k] += dt * bodies[i].v[k];
}

static uint64_t kernel(unsigned percent) {
    for (int i = 0; i < N; i++) {
        double r = i * 5.0, v = i ? sqrt(40 / r) : 0;
        bodies[i] = (Body){{i % 2 ? r : 0, i % 2 ? 0 : r, i * 0.1}, {i % 2 ? 0 : -v, i % 2 ? v : 0, 0}, i ? 0.001 * i : 40};
    }
    for (unsigned i = 0; i < percent * 2500; i++) step(0.0005);
    return fp_digest(energy());
}
