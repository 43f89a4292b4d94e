// SPDX-License-Identifier: MIT
//
// The registers as gdb sees them: x0..x31, pc, f0..f31, fflags, frm, fcsr, in this order. Features and names are gdb's.
#include "guest/riscv64/debug.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "guest/riscv64/fpenv.h"

enum { REG_PC = 32, REG_F0 = 33, REG_FFLAGS = REG_F0 + 32, REG_FRM, REG_FCSR, REG_COUNT };

typedef struct Text {
    char *to;
    size_t size, length;
} Text;

static void __attribute__((format(printf, 2, 3))) put(Text *text, const char *format, ...) {
    va_list list;
    va_start(list, format);
    size_t room = text->length < text->size ? text->size - text->length : 0;
    int length = vsnprintf(text->to + (room ? text->length : 0), room, format, list);
    va_end(list);
    if (length > 0) text->length += (size_t)length;
}

static const char *x_type(unsigned n) { return n == 1 ? "code_ptr" : n >= 2 && n <= 4 ? "data_ptr" : "int"; }

static size_t target_xml(char *to, size_t size) {
    Text text = {to, size, 0};
    put(&text, "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target>\n"
               "<architecture>riscv:rv64</architecture>\n<osabi>GNU/Linux</osabi>\n"
               "<feature name=\"org.gnu.gdb.riscv.cpu\">\n");
    for (unsigned n = 0; n < 32; n++)
        put(&text, "<reg name=\"%s\" bitsize=\"64\" type=\"%s\"/>\n", n == 8 ? "fp" : rv_x_names[n], x_type(n));
    put(&text, "<reg name=\"pc\" bitsize=\"64\" type=\"code_ptr\"/>\n</feature>\n<feature name=\"org.gnu.gdb.riscv.fpu\">\n");
    for (unsigned n = 0; n < 32; n++) put(&text, "<reg name=\"%s\" bitsize=\"64\" type=\"ieee_double\"/>\n", rv_f_names[n]);
    put(&text, "<reg name=\"fflags\" bitsize=\"32\" type=\"int\"/>\n<reg name=\"frm\" bitsize=\"32\" type=\"int\"/>\n"
               "<reg name=\"fcsr\" bitsize=\"32\" type=\"int\"/>\n</feature>\n</target>\n");
    return text.length;
}

static unsigned read_register(const Cpu *cpu, unsigned number, uint8_t value[16]) {
    const RvState *state = rv_const_state(cpu);
    uint32_t fcsr = rv_get_fcsr(cpu), fflags = fcsr & 0x1f, frm = fcsr >> 5;
    switch (number) {
    case REG_PC: memcpy(value, &cpu->pc, 8); return 8;
    case REG_FFLAGS: memcpy(value, &fflags, 4); return 4;
    case REG_FRM: memcpy(value, &frm, 4); return 4;
    case REG_FCSR: memcpy(value, &fcsr, 4); return 4;
    default: memcpy(value, number < REG_PC ? &state->x[number] : &state->f[number - REG_F0], 8); return 8;
    }
}

static void write_register(Cpu *cpu, unsigned number, const uint8_t value[16]) {
    RvState *state = rv_state(cpu);
    uint32_t word, fcsr = rv_get_fcsr(cpu);
    memcpy(&word, value, 4);
    switch (number) {
    case 0: return;
    case REG_PC: memcpy(&cpu->pc, value, 8); return;
    case REG_FFLAGS: rv_set_fcsr(cpu, (fcsr & ~0x1fu) | (word & 0x1f)); return;
    case REG_FRM: rv_set_fcsr(cpu, (fcsr & 0x1fu) | (word & 7) << 5); return;
    case REG_FCSR: rv_set_fcsr(cpu, word & 0xff); return;
    default: memcpy(number < REG_PC ? &state->x[number] : &state->f[number - REG_F0], value, 8); return;
    }
}

const GuestDebug rv_debug = {
    .register_count = REG_COUNT, .pc_register = REG_PC, .target_xml = target_xml, .read = read_register, .write = write_register};
