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
    OPTION_FLAG,       // bool = true
    OPTION_FLAG_BITS,  // uint32_t |= value
    OPTION_NUMBER_SET, // unsigned = value
    OPTION_ACTION,     // OptionsAction = value
    OPTION_STRING,     // const char * = the argument
    OPTION_SIZE,       // uint64_t, with suffix
    OPTION_CPU,        // const char *, or `help`
    OPTION_TIER,       // EngineTier
    OPTION_MODE,       // OptionsMode
    OPTION_LOG_ITEMS,  // uint32_t |= ENGINE_LOG_*
    OPTION_PASS,       // uint32_t |= bit of the pass
    OPTION_ENV_SET,    // appends to env_edits
    OPTION_ENV_UNSET,  // the same
} OptionKind;

typedef enum OptionsAction {
    OPTIONS_RUN, OPTIONS_PRINT_HELP, OPTIONS_PRINT_VERSION, OPTIONS_PRINT_MAN,
    OPTIONS_LIST_CPUS, OPTIONS_LIST_LOG, OPTIONS_LIST_PASSES,
} OptionsAction;

typedef enum OptionsMode { MODE_NONE } OptionsMode;

// One -E (text is "VAR=VALUE") or -U (text is "VAR"), to be done in order.
typedef struct EnvEdit { const char *text; bool unset; } EnvEdit;
typedef struct EnvEdits { EnvEdit *items; size_t count; } EnvEdits;

typedef struct Options {
    // -- the guest's world
    const char *sysroot;       // NULL: none
    const char *argv0;         // NULL: as given; already in guest_argv
    const char *uname_release; // NULL: the host's
    const char *cpu_model;     // NULL: the guest's first model. Not checked: the file decides which guest it is
    const char *guest_name;    // "riscv64" if started as kiln-riscv64: only this guest may run. NULL: any
    uint64_t stack_size;       // 0: the host's limit
    EnvEdits env_edits;        // for options_environment
    // -- the program
    const char *program;       // file to load
    int guest_argc;
    char **guest_argv;         // guest_argc entries, then NULL
    // -- Kiln itself
    EngineOptions engine;      // complete but for `features` (cpu model) and `log` (options_open_log)
    OptionsMode mode;
    bool stats;
    const char *log_file;      // NULL: stderr
    bool log_append;
    char **pass_on;            // Kiln's own options for another program that the guest executes, then NULL: as given,
                               // without those that were for this program alone (-0, -E, -U)
    OptionsAction action;
} Options;

// Reads variables and arguments. Returns -1: go on and run options->program; else the exit code of a process that is done
// (0: what was asked for was printed; 1: a usage error, one line about it stands on stderr).
// `guests` ends with NULL; it is asked for the cpu models.
int options_parse(Options *options, int argc, char **argv, const Guest *const *guests);

// The guest's environment: the host's with all -E and -U done in order. Allocated, never freed.
char **options_environment(const Options *options, char **host_environment);

// Opens log_file (close-on-exec, a high descriptor out of the guest's way) into engine.log. Without one: NULL, that is stderr.
// False: message printed.
bool options_open_log(Options *options);

// The chosen model of `guest`, or NULL after a message on stderr that names it.
const GuestCpuModel *options_cpu_model(const Options *options, const Guest *guest);

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

typedef struct LogItem { uint32_t bit; const char *name, *help; } LogItem;

extern const OptionRow options_table[];
extern const size_t options_table_size;
extern const char *const options_groups[OPTIONS_GROUP_COUNT];
extern const LogItem options_log_items[]; // ended by a NULL name

// Prints what `action` asks for to stdout.
void options_print(OptionsAction action, const Guest *const *guests);

#endif
