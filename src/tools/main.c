// SPDX-License-Identifier: MIT
//
// kiln: options, the guest's process, and off it goes.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>
#include "base/error.h"
#include "debug/gdb.h"
#include "linux/elf_load.h"
#include "linux/linux.h"
#include "linux/memory.h"
#include "linux/log_file.h"
#include "linux/optimizer.h"
#include "linux/own_fd.h"
#include "linux/process.h"
#include "linux/symbols.h"
#include "linux/syscall.h"
#include "tools/options.h"

static const Guest *const guests[] = {&guest_riscv64, NULL};

static int stderr_fd = -1; // where stderr led at the start: programs close it, or put other files in its place
static bool with_stats;
static const Options *reported;  // with a report
static const Options *annotated; // with annotations,
static pid_t annotated_process;  // of the process that the user has started

// ---- what is said at the end ---------------------------------------------------------------------------------------------

// By another file that takes its name. Not what is more than its contents: a device, a pipe, a link, somebody else's file.
static bool is_replaceable(const char *name, const struct stat *file) {
    return S_ISREG(file->st_mode) && file->st_nlink == 1 && file->st_uid == geteuid() && access(name, W_OK) == 0;
}

// NULL: it is to be written in place, or errno says that there is no room.
static FILE *open_beside(const char *name, char **beside) {
    struct stat old;
    bool there = lstat(name, &old) == 0, replaceable = there ? is_replaceable(name, &old) : errno == ENOENT;
    *beside = NULL;
    errno = 0;
    if (!replaceable || asprintf(beside, "%s.%d", name, (int)getpid()) < 0) return NULL;
    int fd = open(*beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 && (!there || fchmod(fd, old.st_mode & 07777) == 0)) return fdopen(fd, "w");
    int error = errno;
    if (fd >= 0) close(fd), unlink(*beside);
    free(*beside);
    *beside = NULL;
    errno = error;
    return NULL;
}

// An older report goes when the new one is complete, not when a full disk has cut that off.
static void write_report_to(LinuxProcess *process, const char *name) {
    char *beside;
    FILE *out = open_beside(name, &beside);
    if (!out && errno != ENOSPC && errno != EDQUOT) out = fopen(name, "we");
    if (out) engine_report(process->engine, out, reported->guest_argv);
    bool cut = out && ferror(out); // a full disk, met long before the end
    bool good = out && fclose(out) == 0 && (cut || !beside || rename(beside, name) == 0);
    if (!good) warning("--report %s: %s", name, strerror(errno));
    else if (cut) warning("--report %s: not all of it could be written", name);
    if (beside && (cut || !good)) unlink(beside);
    free(beside);
}

// Signals wait: this takes a while, and the guest's handlers are Kiln's no more.
static void write_report(LinuxProcess *process) {
    bool each = strstr(reported->report, "%d");
    if (!each && atoi(reported->report_owner) != getpid()) return;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    char *name = options_file_name(reported->report);
    write_report_to(process, name);
    free(name);
}

static void write_stats(LinuxProcess *process) {
    FILE *out = fdopen(stderr_fd, "w");
    if (!out) return;
    engine_stats(process->engine, out);
    fflush(out);
}

// A symbol may come from a library that is loaded at any time, so only the end tells that there was none.
static void name_unknown_symbols(const Options *options) {
    const HotAnnotations *known = options->engine.annotations;
    for (unsigned i = 0; i < known->count; i++) {
        const HotAnnotation *a = &known->list[i];
        if (a->symbol && !symbol_is_known(a->symbol))
            dprintf(stderr_fd, "kiln: warning: --annotate %s, line %u: nothing that ran has a function '%s'\n",
                    options->annotations, a->line, a->symbol);
    }
}

static void at_exit(LinuxProcess *process) {
    if (reported) write_report(process);
    if (annotated && getpid() == annotated_process) name_unknown_symbols(annotated);
    engine_write_out();
    FILE *log = engine_options(process->engine)->log;
    if (with_stats) write_stats(process);
    if (log) fflush(log);
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
    if (!guests[1]) return guests[0];
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
    else if (!realpath((const char *)getauxval(AT_EXECFN), process->self_path) && !realpath(argv0, process->self_path))
        snprintf(process->self_path, sizeof process->self_path, "%s", argv0);
}

// Without -L, the place where distributions that know qemu-user put the guest's libraries, if it is there.
static char *usual_sysroot(const Guest *guest) {
    char path[64];
    snprintf(path, sizeof path, "/etc/qemu-binfmt/%s", guest->name);
    return realpath(path, NULL);
}

static const char *absolute_sysroot(const Options *options, const Guest *guest) {
    char *path = options->sysroot ? realpath(options->sysroot, NULL) : usual_sysroot(guest);
    if (!path && options->sysroot && !options->child) warning("-L %s: there is no such directory", options->sysroot);
    return path && strcmp(path, "/") == 0 ? NULL : path;
}

// ---- the log ------------------------------------------------------------------------------------------------------------

// A log to stderr goes to where stderr leads now, whatever the guest makes of its descriptor 2.
static void open_log(Options *options) {
    if (!options_open_log(options)) {
        if (!options->child) exit(EXIT_FAILURE);
        options->engine.log_mask = 0; // in another root directory, say
    }
    if (!options->engine.log && options->engine.log_mask) {
        int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        options->engine.log = copy < 0 ? NULL : log_file_stream(copy);
    }
}

static void keep_stderr(void) {
    stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (stderr_fd >= 0) own_fd_keep(&stderr_fd);
}

// What is said when the guest ends.
static void prepare_end(Options *options) {
    options->engine.measure = with_stats = options->stats;
    if (options->report) reported = options;
    if (options->annotations && !options->child) {
        annotated = options;
        annotated_process = getpid();
    }
    if (with_stats || annotated) keep_stderr();
    process_at_exit = at_exit;
}

// The Linux layer's part of the options; the engine's part went to engine_new.
static void fill_process(LinuxProcess *process, const Options *options, const Guest *guest, char **argv) {
    process->guest = guest;
    process->features = options->engine.features;
    process->sysroot = absolute_sysroot(options, guest);
    process->self_options = options->pass_on;
    process->release = options->uname_release;
    process->seeded = options->seeded;
    process->random = options->seed;
    process->strace = (options->engine.log_mask & ENGINE_LOG_STRACE) != 0;
    process->core_report = (options->engine.log_mask & ~(uint32_t)ENGINE_LOG_STRACE) != 0;
    process->stack_size = options->stack_size;
    if (options->self_fd) exec_keep_self(process, atoi(options->self_fd));
    if (options->limits) limits_read(process, options->limits);
    set_self_path(process, argv[0]);
    optimizer_configure(&(OptimizerStart){.program = options->optimizer,
                                          .self = process->self_path,
                                          .threads = options->optimizer_threads,
                                          .delay = options->optimizer_delay,
                                          .hub = options->optimizer_hub ? atoi(options->optimizer_hub) : -1,
                                          .file = options->optimizer_file ? atoi(options->optimizer_file) : -1,
                                          .unwanted = options->engine.mode == ENGINE_NONE});
}

static int run(int argc, char **argv, char **envp) {
    static Options options;
    static LinuxProcess process;
    int done = options_parse(&options, argc, argv, guests);
    if (done >= 0) return done;
    if (options.action == OPTIONS_LIST_SYSCALLS) {
        syscalls_list(stdout);
        return EXIT_SUCCESS;
    }
    const Guest *guest = choose_guest(&options);
    if (!options_cpu_features(&options, guest, &options.engine.features)) return EXIT_FAILURE;
    options.engine.guard_code |= guest->coherent_code;
    if (!options_read_annotations(&options) || !options_check_requests(&options)) return EXIT_FAILURE;
    open_log(&options);
    fill_process(&process, &options, guest, argv);
    prepare_end(&options);
    process.engine = engine_new(guest, &linux_hooks, &options.engine);

    ProcessStart program = {options.program, options.guest_argv, options_environment(&options, envp)};
    LoadError error;
    LinuxThread *thread = process_start(&process, &program, &error);
    if (!thread) fatal_code(error.exit_code, "%s", error.text);
    if (options.gdb) gdb_start(&process, options.gdb);
    engine_run(thread->cpu);
    bug("the guest ended without an exit");
}

// ---- the stack ----------------------------------------------------------------------------------------------------------

// A stack of Kiln's own: the host's is as small as the user or the guest makes it (RLIMIT_STACK), and that limit is about the guest's.
enum { OWN_STACK = 1 << 20, STACK_GUARD = 1 << 12 };

static struct {
    int argc;
    char **argv, **envp;
} start;

static void run_on_own_stack(void) { exit(run(start.argc, start.argv, start.envp)); }

int main(int argc, char **argv, char **envp) {
    start.argc = argc;
    start.argv = argv;
    start.envp = envp;
    char *stack = mmap(NULL, STACK_GUARD + OWN_STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    ucontext_t context;
    bool own = stack != MAP_FAILED && mprotect(stack + STACK_GUARD, OWN_STACK, PROT_READ | PROT_WRITE) == 0;
#ifdef __SANITIZE_ADDRESS__
    own = false; // it knows where the main thread's stack is
#endif
    if (!own || getcontext(&context) != 0) return run(argc, argv, envp);
    context.uc_stack = (stack_t){.ss_sp = stack + STACK_GUARD, .ss_size = OWN_STACK};
    context.uc_link = NULL;
    makecontext(&context, run_on_own_stack, 0);
    setcontext(&context);
    return EXIT_FAILURE;
}
