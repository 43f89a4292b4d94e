// SPDX-License-Identifier: MIT
//
// Command line and environment of `kiln`: one table (options.def), read into one struct.
//
//   kiln [OPTION...] PROGRAM [ARGUMENT...]
//
// The first argument that is no option is the program; everything behind it belongs to the program. Variables are read first,
// the command line after them, so the command line wins.
#ifndef KILN_TOOLS_OPTIONS_H
#define KILN_TOOLS_OPTIONS_H

#include "engine/engine.h"
#include "guest/guest.h"

typedef enum OptionKind {
    OPTION_FLAG,           // bool = true
    OPTION_NUMBER_SET,     // unsigned = value
    OPTION_ACTION,         // OptionsAction = value
    OPTION_STRING,         // const char * = the argument
    OPTION_PATH,           // the same, and not empty
    OPTION_SIZE,           // uint64_t, with suffix
    OPTION_TRACE_CACHE,    // the same, as EngineOptions.trace_cache may be
    OPTION_CPU,            // const char *, or `help`
    OPTION_TIER,           // EngineTier, one of options_choices(kind); so the next three
    OPTION_MODE,           // EngineMode
    OPTION_SELECT,         // HotSelect
    OPTION_POLICY,         // bool: trace_cache_stop
    OPTION_COUNT,          // unsigned
    OPTION_THREADS,        // the same, 1 to OPTIMIZER_MOST_THREADS
    OPTION_COUNT_64,       // int64_t
    OPTION_HOT,            // HotParams: NAME=VALUE
    OPTION_OPTIMIZER,      // uint32_t |= TRACE_* by name
    OPTION_LOG_ITEMS,      // uint32_t = ENGINE_LOG_*
    OPTION_FILTER,         // engine.log_ranges and their count
    OPTION_SEED,           // uint64_t seed, and `seeded`
    OPTION_COMPLETION,     // OptionsAction by the shell's name
    OPTION_UNUSED,         // qemu-user's, without a meaning here; nothing is stored. Warns ...
    OPTION_UNUSED_NUMBER,  // ... unless it is 0
    OPTION_PAGE_SIZE,      // ... unless it is what the page size is
    OPTION_PASS,           // uint32_t |= bit of the pass
    OPTION_OPTIMIZER_PASS, // uint32_t |= bit of the pass by name
    OPTION_ENV_SET,        // appends to env_edits
    OPTION_ENV_UNSET,      // the same
} OptionKind;

typedef enum OptionsAction {
    OPTIONS_RUN,
    OPTIONS_PRINT_HELP,
    OPTIONS_PRINT_VERSION,
    OPTIONS_PRINT_MAN,
    OPTIONS_LIST_CPUS,
    OPTIONS_LIST_LOG,
    OPTIONS_LIST_PASSES,
    OPTIONS_LIST_HOT,
    OPTIONS_LIST_SYSCALLS,
    OPTIONS_COMPLETE_BASH,
    OPTIONS_COMPLETE_ZSH,
} OptionsAction;

// The words that an option of this kind may have, and what they mean; ended by a NULL name. NULL: it has no such list.
typedef struct OptionChoice {
    const char *name;
    unsigned value;
} OptionChoice;

// One -E (text is "VAR=VALUE") or -U (text is "VAR"), to be done in order.
typedef struct EnvEdit {
    const char *text;
    bool unset;
} EnvEdit;
typedef struct EnvEdits {
    EnvEdit *items;
    size_t count;
} EnvEdits;

typedef struct Options {
    // -- the guest's world
    const char *sysroot;       // NULL: none
    const char *argv0;         // NULL: as given; already in guest_argv
    const char *uname_release; // NULL: the host's
    const char *cpu_model;     // NULL: the guest's first model. Not checked: the file decides which guest it is
    const char *guest_name;    // "riscv64" if started as kiln-riscv64: only this guest may run. NULL: any
    uint64_t stack_size;       // 0: the host's limit
    uint64_t seed;             // if seeded
    bool seeded;
    EnvEdits env_edits; // for options_environment
    // -- the program
    const char *program; // file to load
    int guest_argc;
    char **guest_argv; // guest_argc entries, then NULL
    // -- Kiln itself
    EngineOptions engine; // complete but for `features` (cpu model) and `log` (options_open_log)
    uint32_t log_items;   // -d; with `strace` it makes engine.log_mask
    bool strace;
    const char *gdb;            // where to wait for a debugger, or NULL
    const char *annotations;    // file of known loop heads
    const char *optimizer;      // path of kiln-opt; NULL: where it usually is
    unsigned optimizer_delay;   // milliseconds (tests)
    unsigned optimizer_threads; // its worker threads; 0: as many as it likes
    const char *optimizer_hub;  // with optimizer_file: descriptors for optimizer_configure, or NULL
    const char *optimizer_file;
    bool stats;
    const char *report;       // file of the report; absolute; `%d`: one a process. NULL: none
    const char *report_owner; // without %d: the process that writes it
    const char *log_file;     // NULL: stderr
    bool child;               // the guest executed this program: go on with the log, say nothing twice
    const char *self_fd;      // for exec_keep_self, or NULL
    const char *limits;       // for limits_read, or NULL
    char unused;              // the field of options that store nothing
    char **pass_on;           // Kiln's own options for another program that the guest executes, then NULL: --child, then as
                              // given, without those that were for this program alone (-0, -E, -U, -g) or have no meaning
    OptionsAction action;
} Options;

// Reads variables and arguments. Returns -1: go on and run options->program; else the exit code of a process that is done
// (0: what was asked for was printed; 1: a usage error, one line about it stands on stderr).
// `guests` ends with NULL; it is asked for the cpu models.
int options_parse(Options *options, int argc, char **argv, const Guest *const *guests);

// The guest's environment: the host's with all -E and -U done in order. Allocated, never freed.
char **options_environment(const Options *options, char **host_environment);

// `name` with its first %d replaced by the process id; malloc'ed.
char *options_file_name(const char *name);

// Opens log_file (close-on-exec, a high descriptor out of the guest's way) into engine.log. Without one: NULL, that is stderr.
// False: message printed.
bool options_open_log(Options *options);

const OptionChoice *options_choices(OptionKind kind);
// Reads the file of known loop heads, if there is one. False: a message on stderr names the line.
bool options_read_annotations(Options *options);
// Requests to the optimizer can be written down, if they are to be. False: a message on stderr says why not.
bool options_check_requests(const Options *options);
// The features of the chosen model of `guest` with the changes behind its name. False: a message on stderr names what is wrong.
bool options_cpu_features(const Options *options, const Guest *guest, uint64_t *features);

// ---- the table, for options_help.c ------------------------------------------------------------------------------------
enum { OPTIONS_HIDDEN = -1 };
enum {
#define GROUP(id, heading) id,
#define OPTION(...)
#include "tools/options.def"
    OPTIONS_GROUP_COUNT
};

typedef struct OptionRow {
    int group;
    OptionKind kind;
    size_t offset; // of the field in Options
    uint32_t value;
    const char *names, *argument, *variable, *qemu_variable, *help;
} OptionRow;

typedef struct LogItem {
    uint32_t bit;
    const char *name, *help;
} LogItem;

extern const OptionRow options_table[];
extern const size_t options_table_size;
extern const char *const options_groups[OPTIONS_GROUP_COUNT];
extern const LogItem options_log_items[]; // ended by a NULL name

// options_help.c: where the next name begins (past the length characters of this one) in a list separated by spaces.
const char *options_next_name(const char *names, size_t *length);

// options_complete.c
void options_print_bash(const Guest *const *guests);
void options_print_zsh(const Guest *const *guests);

// Prints what `action` asks for to stdout. Not for OPTIONS_LIST_SYSCALLS, which is the caller's to print.
void options_print(OptionsAction action, const Guest *const *guests);

#endif
