// SPDX-License-Identifier: MIT
//
// The option table and its reader: names, precedence, refusals, the guest's environment. Usage errors print their line on
// stderr, which is closed here; what counts is the exit code.
#include "linux/log_file.h"
#include "tools/options.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What options_parse allocates lives as long as the process, by contract: leaks are not this test's subject.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }

static const GuestCpuModel models[] = {{"rv64", "all", 7}, {"rv64gc", "base", 1}, {NULL, NULL, 0}};
static const GuestFeatureName names[] = {{"zba", 2}, {"Zicsr", 4}, {NULL, 0}};
static const Guest guest = {.name = "riscv64", .models = models, .feature_names = names};
static const Guest *const guests[] = {&guest, NULL};

static unsigned passed, failed;

static void check(bool good, const char *what) {
    if (good) passed++;
    else failed++, printf("FAIL %s\n", what);
}

static bool same(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

// Splits `line` at spaces and parses it; the words stay allocated, as the options point to them.
static int parse(Options *options, const char *line) {
    char *copy = strdup(line), **argv = calloc(64, sizeof *argv);
    int argc = 0;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    return options_parse(options, argc, argv, guests);
}

static void test_names(void) {
    Options o;
    check(parse(&o, "kiln -L /root -cpu rv64gc prog -L other") == -1, "plain command line goes on");
    check(same(o.sysroot, "/root") && same(o.cpu_model, "rv64gc"), "single-dash options");
    check(same(o.program, "prog") && o.guest_argc == 3 && same(o.guest_argv[1], "-L"), "the rest is the guest's");
    check(!o.guest_argv[o.guest_argc] && !o.guest_name, "guest_argv ends, no guest by name");
    parse(&o, "/usr/bin/kiln-riscv64 --sysroot=/a=b --cpu rv64 --tier=interp p");
    check(same(o.sysroot, "/a=b") && o.engine.tier == TIER_INTERP, "long options with =");
    check(same(o.guest_name, "riscv64"), "guest by program name");
    parse(&o, "kiln -0 other -- -p x");
    check(same(o.program, "-p") && same(o.guest_argv[0], "other"), "-- and -0");
    parse(&o, "kiln p");
    check(o.engine.tier == TIER_FAST && !o.engine.max_block_insns && !o.stats && !o.engine.log_mask, "defaults");
    parse(&o, "kiln -singlestep --stats -d in_asm,cpu -strace --no-bmi --no-link p");
    check(o.engine.max_block_insns == 1 && o.stats && o.engine.no_bmi && o.engine.no_link && !o.engine.no_fma, "flags");
    check(o.engine.log_mask == (ENGINE_LOG_IN_ASM | ENGINE_LOG_CPU | ENGINE_LOG_STRACE), "log items add up");
    check(parse(&o, "kiln --one-insn-per-tb p") == -1 && o.engine.max_block_insns == 1, "second name");
}

static void test_refusals(void) {
    static const char *const bad[] = {"kiln",
                                      "kiln -",
                                      "kiln -nonsense p",
                                      "kiln -L",
                                      "kiln --stats=1 p",
                                      "kiln -s 0 p",
                                      "kiln -s 12q p",
                                      "kiln -s 99999999999G p",
                                      "kiln -s -1 p",
                                      "kiln -d exec,nonsense p",
                                      "kiln -E =x p",
                                      "kiln -E X p",
                                      "kiln -U A=B p",
                                      "kiln --tier=warp p",
                                      "kiln --mode=fast p",
                                      "kiln --disable-pass=nonsense p",
                                      "kiln --= p",
                                      "kiln -seed x p",
                                      "kiln -p 3 p",
                                      "kiln -p 0 p",
                                      "kiln -B x p",
                                      "kiln -R -1 p",
                                      "kiln --completion fish",
                                      "kiln -dfilter zz p",
                                      "kiln -dfilter 1..0 p",
                                      "kiln -dfilter 1+0 p",
                                      "kiln -dfilter 5 p"};
    Options o;
    uint64_t features;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) check(parse(&o, bad[i]) == 1, bad[i]);
    static const char *const bad_cpus[] = {"kiln -cpu vax p", "kiln -cpu rv64,zba p", "kiln -cpu rv p", "kiln -cpu rv64gcx p"};
    for (size_t i = 0; i < sizeof bad_cpus / sizeof bad_cpus[0]; i++) {
        parse(&o, bad_cpus[i]);
        check(!options_cpu_features(&o, &guest, &features), bad_cpus[i]);
    }
}

static void test_values(void) {
    Options o;
    parse(&o, "kiln -s 8M p");
    check(o.stack_size == 8 << 20, "size in M");
    parse(&o, "kiln -s 0x10000 p");
    check(o.stack_size == 65536, "size in hex");
    uint64_t features;
    parse(&o, "kiln p");
    check(options_cpu_features(&o, &guest, &features) && features == 7, "default model");
    parse(&o, "kiln -cpu rv64gc p");
    check(options_cpu_features(&o, &guest, &features) && features == 1, "named model");
    parse(&o, "kiln -cpu rv64gc,zba=on,zicsr=true p");
    check(options_cpu_features(&o, &guest, &features) && features == 7, "extensions on");
    parse(&o, "kiln -cpu rv64,zba=off,unheard-of=false p");
    check(options_cpu_features(&o, &guest, &features) && features == 5, "extensions off");
    parse(&o, "kiln -cpu rv64,vlen=128 p");
    check(options_cpu_features(&o, &guest, &features) && features == 7, "what Kiln does not have is let be");
    parse(&o, "kiln -seed 12 p");
    check(o.seeded && o.seed == 12, "seed");
    parse(&o, "kiln -d cpu -d exec p");
    check(o.engine.log_mask == ENGINE_LOG_EXEC, "the last -d counts");
    parse(&o, "kiln -d nochain,exec,plugin,trace:x p");
    check(o.engine.log_mask == ENGINE_LOG_EXEC && o.engine.no_link, "nochain; items without effect");
    check(parse(&o, "kiln -B 0x1000 -R 1G -p 65536 -plugin x -trace y p") == -1, "qemu-user's options without effect");
}

static void test_ranges(void) {
    Options o;
    parse(&o, "kiln -dfilter 0x1000..0x1fff,8192+0x10,0x3fff-16 p");
    static const LogRange expected[] = {{0x1000, 0x1fff}, {0x2000, 0x200f}, {0x3ff0, 0x3fff}};
    check(o.engine.log_range_count == 3, "three ranges");
    for (size_t i = 0; i < 3 && o.engine.log_range_count == 3; i++)
        check(o.engine.log_ranges[i].first == expected[i].first && o.engine.log_ranges[i].last == expected[i].last, "range");
    parse(&o, "kiln -dfilter 1..2 -dfilter 3..4 p");
    check(o.engine.log_range_count == 1 && o.engine.log_ranges[0].first == 3, "the last -dfilter counts");
}

static void test_variables(void) {
    Options o;
    setenv("QEMU_LD_PREFIX", "/qemu", 1);
    parse(&o, "kiln p");
    check(same(o.sysroot, "/qemu"), "qemu's variable");
    setenv("KILN_LD_PREFIX", "/kiln", 1);
    parse(&o, "kiln p");
    check(same(o.sysroot, "/kiln"), "our variable first");
    parse(&o, "kiln -L /line p");
    check(same(o.sysroot, "/line"), "command line first");
    setenv("KILN_STRACE", "", 1);
    parse(&o, "kiln p");
    check(o.engine.log_mask == ENGINE_LOG_STRACE, "flag by variable");
    setenv("KILN_STACK_SIZE", "none", 1);
    check(parse(&o, "kiln p") == 1, "bad value in a variable");
    unsetenv("KILN_STACK_SIZE"), unsetenv("KILN_STRACE"), unsetenv("KILN_LD_PREFIX"), unsetenv("QEMU_LD_PREFIX");
}

static void test_environment(void) {
    Options o;
    char *host[] = {"A=1", "B=2", "BB=3", NULL};
    parse(&o, "kiln -E A=x,y,C=z -U B,NONE -E D= -E A=last p");
    char **e = options_environment(&o, host);
    check(same(e[0], "BB=3") && same(e[1], "C=z") && same(e[2], "D=") && same(e[3], "A=last") && !e[4],
          "-E and -U in order, values with commas");
    check(same(host[0], "A=1") && same(host[1], "B=2"), "the host's list is untouched");
    parse(&o, "kiln -E A=x,y p");
    check(same(options_environment(&o, host)[2], "A=x,y"), "a comma that starts no assignment belongs to the value");
}

static void test_pass_on(void) {
    Options o;
    parse(&o, "kiln p -L no");
    check(o.pass_on && same(o.pass_on[0], "--child") && !o.pass_on[1], "nothing to pass on");
    parse(&o, "kiln -L /r -E A=1 --tier=interp -0 name -U B -g 1234 -plugin x -B 5 --log-file /x p -strace");
    check(same(o.gdb, "1234"), "debugger");
    static const char *const expected[] = {"--child", "-L", "/r", "--tier=interp", "--log-file", "/x", NULL};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        check(same(o.pass_on[i], expected[i]), "options for the next program");
    setenv("KILN_GDB", "1234", 1);
    parse(&o, "kiln --child -L /r p");
    check(o.child && !o.gdb && same(o.pass_on[1], "-L"), "a child has no debugger");
    unsetenv("KILN_GDB");
}

static void test_log_file(void) {
    char line[128], name[64];
    snprintf(line, sizeof line, "kiln -D /tmp/kiln-test-%%d.log p");
    snprintf(name, sizeof name, "/tmp/kiln-test-%d.log", (int)getpid());
    Options o;
    parse(&o, line);
    check(options_open_log(&o) && o.engine.log && log_file_fd() > 2, "log file opens");
    check(access(name, F_OK) == 0, "%d is the process id");
    fclose(o.engine.log);
    unlink(name);
    parse(&o, "kiln -D /nonexistent/log p");
    check(!options_open_log(&o), "log file that cannot be made");
    parse(&o, "kiln p");
    check(options_open_log(&o) && !o.engine.log, "no log file: stderr");
}

int main(void) {
    if (!freopen("/dev/null", "w", stderr)) return 2;
    test_names();
    test_refusals();
    test_values();
    test_ranges();
    test_variables();
    test_environment();
    test_pass_on();
    test_log_file();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
