// SPDX-License-Identifier: MIT
//
// The x86-64 encoder against an independent disassembler (llvm-mc): each case is an encoding and the text it must read back as.
#include "host/x86_64/encode.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const r64[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                  "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const r32[] = {"eax", "ecx", "edx",  "ebx",  "esp",  "ebp",  "esi",  "edi",
                                  "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"};
static const char *const r8[] = {"al",  "cl",  "dl",   "bl",   "spl",  "bpl",  "sil",  "dil",
                                 "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"};

enum { MAX_CASES = 60000 };
static char *expected[MAX_CASES];
static int cases;
static FILE *hex;
static uint8_t buffer[64];
static Code code;

static void begin(void) { code = (Code){.p = buffer, .end = buffer + sizeof buffer, .avx = code.avx}; }

__attribute__((format(printf, 1, 2))) static void expect(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (vasprintf(&expected[cases++], format, args) < 0) abort();
    va_end(args);
    for (uint8_t *p = buffer; p < code.p; p++) fprintf(hex, "0x%02x ", *p);
    fputc('\n', hex);
    begin();
}

static const char *reg(unsigned w, unsigned r) { return w ? r64[r] : r32[r]; }

static char *mem_text(const char *size, Mem m) {
    static char text[4][96];
    static int next;
    char *out = text[next++ & 3];
    int n = sprintf(out, "%s ptr [%s", size, r64[m.base]);
    if (m.index != NO_REG)
        n += m.scale ? sprintf(out + n, " + %d*%s", 1 << m.scale, r64[m.index]) : sprintf(out + n, " + %s", r64[m.index]);
    if (m.disp > 0) n += sprintf(out + n, " + %d", m.disp);
    if (m.disp < 0) n += sprintf(out + n, " - %d", -m.disp);
    sprintf(out + n, "]");
    return out;
}

static void registers(unsigned a, unsigned b) {
    static const char *const alu[] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};
    for (unsigned w = 0; w < 2; w++) {
        for (unsigned op = 0; op < 8; op++) x_alu_rr(&code, op, w, a, b), expect("%s %s, %s", alu[op], reg(w, a), reg(w, b));
        x_mov_rr(&code, w, a, b), expect("mov %s, %s", reg(w, a), reg(w, b));
        x_test_rr(&code, w, a, b), expect("test %s, %s", reg(w, a), reg(w, b));
        x_rr(&code, 0x0faf, w, a, b), expect("imul %s, %s", reg(w, a), reg(w, b));
        x_cmov(&code, CC_LE, w, a, b), expect("cmovle %s, %s", reg(w, a), reg(w, b));
        x_rr(&code, PF3(0x0fb8), w, a, b), expect("popcnt %s, %s", reg(w, a), reg(w, b));
        v_rrr(&code, P66(0x0f38f7), w, a, b, a), expect("shlx %s, %s, %s", reg(w, a), reg(w, a), reg(w, b));
        v_rrr(&code, PF3(0x0f38f7), w, b, a, a), expect("sarx %s, %s, %s", reg(w, b), reg(w, a), reg(w, a));
        code.avx = false, s_rr(&code, PF2(0x0f2c), w, a, b), expect("cvttsd2si %s, xmm%u", reg(w, a), b);
        code.avx = true, s_rr(&code, PF2(0x0f2c), w, a, b), expect("vcvttsd2si %s, xmm%u", reg(w, a), b);
    }
    x_movzx8(&code, a, b), expect("movzx %s, %s", r32[a], r8[b]);
    x_rr(&code, 0x63, 1, a, b), expect("movsxd %s, %s", r64[a], r32[b]);
    x_rr8(&code, 0x0fbe, 1, a, b), expect("movsx %s, %s", r64[a], r8[b]);
    x_rr8(&code, 0x38, 0, a, b), expect("cmp %s, %s", r8[b], r8[a]);
    for (int avx = 0; avx < 2; avx++) {
        const char *v = avx ? "v" : "";
        code.avx = avx;
        s_rr(&code, P66(0x0f2e), 0, a, b), expect("%sucomisd xmm%u, xmm%u", v, a, b);
        s_rr(&code, S_FROM_GPR, 1, a, b), expect("%smovq xmm%u, %s", v, a, r64[b]);
        s_rr(&code, S_TO_GPR, 0, a, b), expect("%smovd %s, xmm%u", v, r32[b], a);
        s_rr(&code, P66(0x0f3a16), 0, a, b), emit8(&code, 1), expect("%spextrd %s, xmm%u, 1", v, r32[b], a);
        s_mov(&code, a, b), expect("%smovaps xmm%u, xmm%u", v, a, b);
    }
    v_rrr(&code, PF2(0x0f58), 0, a, b, a), expect("vaddsd xmm%u, xmm%u, xmm%u", a, b, a);
    v_rrr(&code, P66(0x0f38b9), 1, a, b, a), expect("vfmadd231sd xmm%u, xmm%u, xmm%u", a, b, a);
    v_rrr(&code, P66(0x0f38bf), 0, b, a, b), expect("vfnmsub231ss xmm%u, xmm%u, xmm%u", b, a, b);
    code.avx = false;
}

static void one_register(unsigned a) {
    static const uint64_t values[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x123456789abcdef0};
    for (unsigned i = 0; i < 6; i++) {
        x_mov_ri(&code, a, values[i]);
        if (values[i] <= 0xffffffff) expect("mov %s, %lld", r32[a], (long long)values[i]);
        else expect("movabs %s, %lld", r64[a], (long long)values[i]);
    }
    x_mov_ri(&code, a, ~0ull), expect("mov %s, -1", r64[a]);
    x_alu_ri(&code, X_ADD, 1, a, 127), expect("add %s, 127", r64[a]);
    x_alu_ri(&code, X_SUB, 1, a, -128), expect("sub %s, -128", r64[a]);
    x_alu_ri(&code, X_AND, 0, a, 1000), expect("and %s, 1000", r32[a]);
    x_alu_ri(&code, X_CMP, 1, a, -1000), expect("cmp %s, -1000", r64[a]);
    x_shift_ri(&code, X_SHL, 1, a, 13), expect("shl %s, 13", r64[a]);
    x_shift_ri(&code, X_SAR, 0, a, 31), expect("sar %s, 31", r32[a]);
    x_shift_cl(&code, X_ROR, 1, a), expect("ror %s, cl", r64[a]);
    x_setcc(&code, CC_AE, a), expect("setae %s", r8[a]);
    x_rr(&code, 0xf7, 1, 3, a), expect("neg %s", r64[a]);
    x_rr(&code, 0xf7, 0, 7, a), expect("idiv %s", r32[a]);
    x_rr(&code, 0xff, 0, 4, a), expect("jmp %s", r64[a]);
}

static void memory(unsigned a, Mem m) {
    for (unsigned w = 0; w < 2; w++) {
        const char *size = w ? "qword" : "dword";
        x_mov_rm(&code, w, a, m), expect("mov %s, %s", reg(w, a), mem_text(size, m));
        x_mov_mr(&code, w, m, a), expect("mov %s, %s", mem_text(size, m), reg(w, a));
        x_mov_mi(&code, w, m, 77777), expect("mov %s, 77777", mem_text(size, m));
        x_alu_mi(&code, X_CMP, w, m, 1000), expect("cmp %s, 1000", mem_text(size, m));
        x_alu_rm(&code, X_ADD, w, a, m), expect("add %s, %s", reg(w, a), mem_text(size, m));
    }
    x_lea(&code, 1, a, m), expect("lea %s, %s", r64[a], strchr(mem_text("x", m), '['));
    x_rm8(&code, 0x88, a, m), expect("mov %s, %s", mem_text("byte", m), r8[a]);

    for (int avx = 0; avx < 2; avx++) {
        const char *v = avx ? "v" : "";
        code.avx = avx;
        s_rm(&code, S_LOAD_64, 0, a, m), expect("%smovq xmm%u, %s", v, a, mem_text("qword", m));
        s_rm(&code, S_STORE_64, 0, a, m), expect("%smovq %s, xmm%u", v, mem_text("qword", m), a);
        s_rm(&code, S_LOAD_128, 0, a, m), expect("%smovups xmm%u, %s", v, a, mem_text("xmmword", m));
        s_rm(&code, S_STORE_32, 0, a, m), expect("%smovss %s, xmm%u", v, mem_text("dword", m), a);
    }
    code.avx = false;
    v_rrm(&code, PF2(0x0f59), 0, a, a, m), expect("vmulsd xmm%u, xmm%u, %s", a, a, mem_text("qword", m));
}

static void normalise(char *s) { // one space between words, no line end
    char *to = s;
    bool space = true;
    for (char *p = s; *p && *p != '\n' && *p != '#'; p++) {
        bool blank = *p == ' ' || *p == '\t';
        if (!blank || !space) *to++ = blank ? ' ' : *p;
        space = blank;
    }
    while (to > s && to[-1] == ' ') to--;
    *to = 0;
}

int main(void) {
    char path[] = "/tmp/kiln-encode-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || !(hex = fdopen(fd, "w"))) return perror(path), 1;
    begin();
    static const int32_t displacements[] = {0, 1, 127, -128, 128, -129, 100000};
    for (unsigned a = 0; a < 16; a++) {
        one_register(a);
        for (unsigned b = 0; b < 16; b++) {
            registers(a, b);
            for (unsigned d = 0; d < 7; d++) memory(a, mem_base(b, displacements[d]));
            if (b != RSP) memory(a, mem_index((a * 7 + b) & 15, b, a & 3, displacements[(a + b) % 7]));
        }
    }
    fclose(hex);
    char command[256];
    snprintf(command, sizeof command, "llvm-mc -disassemble -triple=x86_64 -mattr=+avx,+bmi2,+fma --output-asm-variant=1 %s 2>&1",
             path);
    FILE *in = popen(command, "r");
    char line[512];
    int passed = 0, failed = 0, n = 0;
    while (in && fgets(line, sizeof line, in)) {
        normalise(line);
        if (!*line || strstr(line, ".text") || n >= cases) continue;
        if (!strcmp(line, expected[n])) passed++;
        else if (++failed <= 20) printf("FAIL: wanted `%s`, reads `%s`\n", expected[n], line);
        n++;
    }
    if (in) pclose(in);
    unlink(path);
    failed += cases - n;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
