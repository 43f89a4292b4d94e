// SPDX-License-Identifier: MIT
//
// kiln: options, the guest's process, and off it goes.
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "linux/elf_load.h"
#include "linux/linux.h"
#include "linux/memory.h"
#include "linux/process.h"
#include "tools/options.h"

static const Guest *const guests[] = {&guest_riscv64, NULL};

static FILE *stats_out;

static void print_stats(LinuxProcess *process) {
    FILE *log = engine_options(process->engine)->log;
    if (stats_out) engine_stats(process->engine, stats_out);
    if (log) fflush(log);
}

// ---- what a program that the guest executes is run with -----------------------------------------------------------------

static const OptionRow *row_of(const char *argument) {
    const char *name = argument + (argument[1] == '-' ? 2 : 1);
    size_t length = strcspn(name, "=");
    for (size_t i = 0; i < options_table_size; i++) {
        for (const char *at = options_table[i].names; *at;) {
            const char *start = at + strspn(at, "- ");
            at = start + strcspn(start, " ");
            if ((size_t)(at - start) == length && memcmp(start, name, length) == 0) return &options_table[i];
        }
    }
    return NULL;
}

// -E, -U and -0 have had their effect: the guest hands its environment and argv[0] on by itself.
static bool inherited(const OptionRow *row) {
    return row->kind != OPTION_ENV_SET && row->kind != OPTION_ENV_UNSET && row->offset != offsetof(Options, argv0);
}

static char **inherited_options(const Options *options, char **argv) {
    size_t count = 0;
    while (argv[count] && argv[count] != options->program) count++;
    char **kept = calloc(count + 1, sizeof *kept);
    if (!kept) fatal("out of memory (options)");
    size_t n = 0;
    for (size_t i = 1; i < count && strcmp(argv[i], "--") != 0; i++) {
        const OptionRow *row = row_of(argv[i]);
        bool two = row && row->argument && !strchr(argv[i], '='), keep = row && inherited(row);
        if (keep) kept[n++] = argv[i];
        if (two) i++;
        if (keep && two) kept[n++] = argv[i];
    }
    return kept;
}

// ---- start --------------------------------------------------------------------------------------------------------------

static const Guest *guest_named(const char *name) {
    for (size_t i = 0; guests[i]; i++)
        if (strcmp(guests[i]->name, name) == 0) return guests[i];
    fatal("this kiln has no guest '%s'", name);
}

// The guest whose machine the program has; for everything else the first one, which will say what is wrong.
static const Guest *choose_guest(const Options *options) {
    if (options->guest_name) return guest_named(options->guest_name);
    static ExecTarget target;
    LoadError error;
    LinuxProcess probe = {.guest = guests[0], .sysroot = options->sysroot};
    if (!exec_resolve(&probe, options->program, &target, &error)) return guests[0];
    for (size_t i = 0; guests[i]; i++)
        if (guests[i]->elf_machine == target.machine) return guests[i];
    return guests[0];
}

static void set_self_path(LinuxProcess *process, const char *argv0) {
    ssize_t n = readlink("/proc/self/exe", process->self_path, sizeof process->self_path - 1);
    if (n > 0) process->self_path[n] = '\0';
    else if (!realpath(argv0, process->self_path)) snprintf(process->self_path, sizeof process->self_path, "%s", argv0);
}

static const char *absolute_sysroot(const char *sysroot) {
    if (!sysroot) return NULL;
    char *path = realpath(sysroot, NULL);
    if (!path) fatal("-L %s: there is no such directory", sysroot);
    return strcmp(path, "/") == 0 ? NULL : path;
}

// The Linux layer's part of the options; the engine's part went to engine_new.
static void fill_process(LinuxProcess *process, const Options *options, char **argv) {
    process->sysroot = absolute_sysroot(options->sysroot);
    process->self_options = inherited_options(options, argv);
    process->strace = (options->engine.log_mask & ENGINE_LOG_STRACE) != 0;
    process->core_report = (options->engine.log_mask & ~(uint32_t)ENGINE_LOG_STRACE) != 0;
    process->stack_size = options->stack_size;
    set_self_path(process, argv[0]);
}

int main(int argc, char **argv, char **envp) {
    static Options options;
    static LinuxProcess process;
    int done = options_parse(&options, argc, argv, guests);
    if (done >= 0) return done;
    const Guest *guest = choose_guest(&options);
    const GuestCpuModel *model = options_cpu_model(&options, guest);
    if (!model || !options_open_log(&options)) return EXIT_FAILURE;
    options.engine.features = model->features;
    process.guest = guest;
    process.features = model->features;
    fill_process(&process, &options, argv);
    if (options.stats) stats_out = stderr, options.engine.measure = true;
    process_at_exit = print_stats;
    process.engine = engine_new(guest, &linux_hooks, &options.engine);

    ProcessStart start = {options.program, options.guest_argv, options_environment(&options, envp)};
    LoadError error;
    LinuxThread *thread = process_start(&process, &start, &error);
    if (!thread) fatal_code(error.exit_code, "%s", error.text);
    engine_run(thread->cpu);
    bug("the guest ended without an exit");
}
