// SPDX-License-Identifier: MIT
//
// Reading the options. A row of options.def says what an option is; the function for its kind (take) stores it. Nothing
// here ends the process, and nothing is printed but one line for a usage error.
#include "ir/request.h"
#include "tools/options.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <unistd.h>
#include "linux/log_file.h"

enum { EXIT_USAGE = 1 };
// Items of -d that are no bit of the engine's mask.
#define LOG_NOCHAIN UINT32_C(0x80000000)
#define LOG_ALL     (2 * ENGINE_LOG_TRACE_ASM - 1) // the engine's bits follow each other

const OptionRow options_table[] = {
#define GROUP(id, heading)
#define OPTION(group, kind, field, value, names, argument, variable, qemu, help)                                                   \
    {group, kind, offsetof(Options, field), value, names, argument, variable, qemu, help},
#include "tools/options.def"
};
const size_t options_table_size = sizeof options_table / sizeof options_table[0];

const char *const options_groups[OPTIONS_GROUP_COUNT] = {
#define GROUP(id, heading) heading,
#define OPTION(...)
#include "tools/options.def"
};

const LogItem options_log_items[] = {
    {ENGINE_LOG_IN_ASM, "in_asm", "guest instructions of each block when it is translated"},
    {ENGINE_LOG_OP, "op", "KIR of each block as the guest's translator made it"},
    {ENGINE_LOG_OP_OPT, "op_opt", "KIR of each block after the passes"},
    {ENGINE_LOG_OUT_ASM, "out_asm", "host code of each block"},
    {ENGINE_LOG_EXEC, "exec", "each block before it runs, as far as it is entered from the dispatch loop"},
    {ENGINE_LOG_CPU, "cpu", "all guest registers with each line of exec"},
    {ENGINE_LOG_PAGE, "page", "the guest's memory map: at the start, and when it changes"},
    {ENGINE_LOG_STRACE, "strace", "system calls"},
    {ENGINE_LOG_UNIMP, "unimp", "system calls and instructions of the guest that Kiln does not have"},
    {ENGINE_LOG_TRACE, "trace", "a line for each trace that comes into use or goes"},
    {ENGINE_LOG_LLVM, "llvm", "LLVM IR of each trace as it is made"},
    {ENGINE_LOG_LLVM_OPT, "llvm_opt", "LLVM IR of each trace after LLVM's passes"},
    {ENGINE_LOG_TRACE_ASM, "trace_asm", "host code of each trace as LLVM writes it"},
    {LOG_NOCHAIN, "nochain", "no links between blocks, so that exec and cpu show each one that runs"},
    {0, "fpu", "nothing more: cpu shows the floating-point registers always"},
    {LOG_ALL, "all", "all of these but nochain"},
    {0, NULL, NULL},
};

// Items of qemu-user that have no equal here. The first two never log anything for these guests, so nobody misses them.
static const char *const unused_log_items[] = {"pcall", "mmu", "op_ind", "int", "cpu_reset", "guest_errors", "plugin", "tid", NULL};
enum { SILENT_LOG_ITEMS = 2 };

// ---- one option ---------------------------------------------------------------------------------------------------------

enum { DEFAULT_TRACE_CACHE = 16 << 20 };

// What is being read, for messages: "-cpu" or "KILN_CPU".
typedef struct Source {
    Options *options;
    const char *name;
} Source;

static bool refuse(const Source *source, const char *argument, const char *expected) {
    fprintf(stderr, "kiln: %s: '%s' is not %s\n", source->name, argument, expected);
    return false;
}

// For what is accepted and changes nothing. Another program that the guest executes does not say it again.
static bool without_effect(const Source *source, const char *argument, const char *why) {
    if (!source->options->child) warning("%s: '%s' has no effect: %s", source->name, argument, why);
    return true;
}

// Calls `each` with every part of a comma-separated list; stops at the first false.
static bool for_each_item(const Source *source, const char *list, bool (*each)(const Source *, const char *, void *), void *field) {
    for (const char *at = list;;) {
        const char *comma = strchrnul(at, ',');
        char *item = strndup(at, (size_t)(comma - at));
        if (!item) fatal("out of memory (options)");
        bool good = each(source, item, field);
        free(item);
        if (!good || !*comma) return good;
        at = comma + 1;
    }
}

static void env_append(EnvEdits *edits, char *text, bool unset) {
    EnvEdit *items = reallocarray(edits->items, edits->count + 1, sizeof *items);
    if (!items || !text) fatal("out of memory (options)");
    items[edits->count++] = (EnvEdit){text, unset};
    edits->items = items;
}

static bool is_variable_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// The comma that ends the assignment at `at`: one that is followed by "NAME=", so that values may contain commas.
static const char *assignment_end(const char *at) {
    for (const char *p = strchrnul(at, ','); *p; p = strchrnul(p + 1, ',')) {
        const char *name = p + 1;
        while (is_variable_char(*name)) name++;
        if (*name == '=' && name > p + 1) return p;
    }
    return at + strlen(at);
}

static bool take_env_set(const Source *source, const char *argument, EnvEdits *edits) {
    for (const char *at = argument;;) {
        const char *equals = strchr(at, '='), *end = assignment_end(at);
        if (!equals || equals == at || equals > end) return refuse(source, at, "VAR=VALUE");
        env_append(edits, strndup(at, (size_t)(end - at)), false);
        if (!*end) return true;
        at = end + 1;
    }
}

static bool take_env_unset(const Source *source, const char *item, void *edits) {
    if (!*item || strchr(item, '=')) return refuse(source, item, "the name of a variable");
    env_append(edits, strdup(item), true);
    return true;
}

static bool take_log_item(const Source *source, const char *item, void *mask) {
    if (strcmp(item, "help") == 0) {
        source->options->action = OPTIONS_LIST_LOG;
        return true;
    }
    for (const LogItem *known = options_log_items; known->name; known++) {
        if (strcmp(item, known->name) != 0) continue;
        *(uint32_t *)mask |= known->bit;
        return true;
    }
    if (strncmp(item, "trace:", 6) == 0) return without_effect(source, item, "there are no trace events");
    for (unsigned i = 0; unused_log_items[i]; i++) {
        if (strcmp(item, unused_log_items[i]) != 0) continue;
        return i < SILENT_LOG_ITEMS || without_effect(source, item, "Kiln has no such log");
    }
    return refuse(source, item, "a log item ('help' lists them)");
}

static bool take_pass(const Source *source, const char *item, void *mask) {
    if (strcmp(item, "help") == 0) {
        source->options->action = OPTIONS_LIST_PASSES;
        return true;
    }
    for (unsigned i = 0; kir_passes[i].name; i++) {
        if (strcmp(item, kir_passes[i].name) != 0) continue;
        *(uint32_t *)mask |= 1u << i;
        return true;
    }
    return refuse(source, item, "the name of a pass ('help' lists them)");
}

// Digits in base 8, 10 or 16 and a suffix; `text` must end with it.
static bool read_size(const char *text, uint64_t *size) {
    static const char suffixes[] = "kKmMgG";
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 0);
    unsigned shift = 0;
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    if (suffix) {
        shift = 10 * (unsigned)((suffix - suffixes) / 2 + 1);
        end++;
    }
    if (*end || errno || number > (UINT64_MAX >> shift)) return false;
    *size = (uint64_t)number << shift;
    return true;
}

static bool take_size(const Source *source, const char *argument, uint64_t *size) {
    uint64_t value;
    if (!read_size(argument, &value) || value == 0)
        return refuse(source, argument, "a size: a number above 0, with suffix k, M or G or without");
    *size = value;
    return true;
}

static bool take_trace_cache(const Source *source, const char *argument, size_t *size) {
    uint64_t value;
    if (!read_size(argument, &value) || value < ENGINE_LEAST_TRACE_CACHE || value > ENGINE_MOST_CODE)
        return refuse(source, argument, "a size from 16k to 64M: a number with suffix k, M or G or without");
    *size = (value + 4095) & ~(size_t)4095;
    return true;
}

static bool take_unused_number(const Source *source, const char *argument) {
    uint64_t value;
    if (!read_size(argument, &value)) return refuse(source, argument, "a number");
    return value == 0 || without_effect(source, argument, "guest addresses are the host's, and Kiln needs little of them");
}

static bool take_page_size(const Source *source, const char *argument) {
    uint64_t value;
    if (!read_size(argument, &value) || !value || (value & (value - 1))) return refuse(source, argument, "a power of two");
    return value == (uint64_t)getpagesize() || without_effect(source, argument, "the page size is the host's");
}

static bool take_seed(const Source *source, const char *argument, uint64_t *seed) {
    if (!read_size(argument, seed)) return refuse(source, argument, "a number");
    source->options->seeded = true;
    return true;
}

// FIRST..LAST, START+SIZE or END-SIZE, as qemu-user reads them: END-SIZE ends at END.
static bool read_range(const char *text, LogRange *range) {
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    uint64_t first = strtoull(text, &end, 0);
    char kind = *end;
    end += kind == '.' && end[1] == '.' ? 2 : 1;
    uint64_t second;
    if (!strchr("+-.", kind) || !kind || !read_size(end, &second)) return false;
    switch (kind) {
    case '+': *range = (LogRange){first, first + (second - 1)}; break;
    case '-': *range = (LogRange){first - (second - 1), first}; break;
    default: *range = (LogRange){first, second}; break;
    }
    return (kind == '.' || second) && range->first <= range->last;
}

static bool take_range(const Source *source, const char *item, void *unused) {
    EngineOptions *engine = &source->options->engine;
    LogRange range;
    if (!read_range(item, &range)) return refuse(source, item, "a range: FIRST..LAST, START+SIZE or END-SIZE");
    LogRange *ranges = reallocarray(engine->log_ranges, engine->log_range_count + 1, sizeof *ranges);
    if (!ranges) fatal("out of memory (options)");
    ranges[engine->log_range_count++] = range;
    engine->log_ranges = ranges;
    return true;
}

static const OptionChoice *optimizer_passes(void) {
    enum { MOST = 32 };
    static OptionChoice passes[MOST + 1] = {
#define OPTIMIZER_PASS(name, text, loops, strips) {name, 0},
#include "ir/optimizer_passes.def"
#undef OPTIMIZER_PASS
    };
    for (unsigned i = 0; passes[i].name; i++) passes[i].value = 1u << i;
    return passes;
}

const OptionChoice *options_choices(OptionKind kind) {
    static const OptionChoice tiers[] = {{"fast", TIER_FAST}, {"interp", TIER_INTERP}, {NULL, 0}};
    static const OptionChoice modes[] = {{"none", ENGINE_NONE},
                                         {"block", ENGINE_BLOCK},
                                         {"hybrid", ENGINE_HYBRID},
                                         {"hybrid-sync", ENGINE_HYBRID_SYNC},
                                         {"hybridm", ENGINE_HYBRID},
                                         {"hybrids", ENGINE_HYBRID_SYNC},
                                         {NULL, 0}};
    static const OptionChoice selections[] = {
        {"net", HOT_NET}, {"net-strict", HOT_NET_STRICT}, {"tracetree", HOT_TRACETREE}, {NULL, 0}};
    static const OptionChoice policies[] = {{"round-robin", false}, {"stop", true}, {NULL, 0}};
    static const OptionChoice shells[] = {{"bash", OPTIONS_COMPLETE_BASH}, {"zsh", OPTIONS_COMPLETE_ZSH}, {NULL, 0}};
    static const OptionChoice optimizer[] = {
        {"no-vectors", TRACE_NO_VECTORS}, {"no-passes", TRACE_NO_PASSES}, {"eval-all", TRACE_EVAL_ALL}, {NULL, 0}};
    switch (kind) {
    case OPTION_TIER: return tiers;
    case OPTION_MODE: return modes;
    case OPTION_SELECT: return selections;
    case OPTION_POLICY: return policies;
    case OPTION_COMPLETION: return shells;
    case OPTION_OPTIMIZER: return optimizer;
    case OPTION_OPTIMIZER_PASS: return optimizer_passes();
    default: return NULL;
    }
}

static bool take_choice(const Source *source, const char *argument, OptionKind kind, unsigned *value) {
    const OptionChoice *choices = options_choices(kind);
    char expected[256] = "one of";
    for (const OptionChoice *choice = choices; choice->name; choice++) {
        if (strcmp(argument, choice->name) == 0) {
            *value = choice->value;
            return true;
        }
        size_t length = strlen(expected);
        snprintf(expected + length, sizeof expected - length, "%s %s", choice == choices ? "" : ",", choice->name);
    }
    return refuse(source, argument, expected);
}

static bool take_number(const Source *source, const char *argument, uint64_t most, uint64_t *value) {
    char *end;
    errno = 0;
    *value = strtoull(argument, &end, 0);
    if (*argument >= '0' && *argument <= '9' && !*end && !errno && *value <= most) return true;
    return refuse(source, argument, "a number, or it is too large");
}

static bool take_count(const Source *source, const char *argument, unsigned *field) {
    uint64_t value;
    if (!take_number(source, argument, UINT32_MAX, &value)) return false;
    *field = (unsigned)value;
    return true;
}

static bool take_threads(const Source *source, const char *argument, unsigned *field) {
    uint64_t value;
    if (!take_number(source, argument, UINT32_MAX, &value)) return false;
    if (value == 0 || value > OPTIMIZER_MOST_THREADS) return refuse(source, argument, "a number from 1 to 64");
    *field = (unsigned)value;
    return true;
}

static bool take_count_64(const Source *source, const char *argument, int64_t *field) {
    uint64_t value;
    if (!take_number(source, argument, INT64_MAX, &value)) return false;
    *field = (int64_t)value;
    return true;
}

static bool take_bit(const Source *source, const char *item, OptionKind kind, uint32_t *mask) {
    unsigned bit;
    if (!take_choice(source, item, kind, &bit)) return false;
    *mask |= bit;
    return true;
}

static bool take_optimizer_pass(const Source *source, const char *item, void *mask) {
    return take_bit(source, item, OPTION_OPTIMIZER_PASS, mask);
}

static bool take_optimizer_option(const Source *source, const char *item, void *mask) {
    return take_bit(source, item, OPTION_OPTIMIZER, mask);
}

// NAME=VALUE of hot/params.def.
static bool take_hot(const Source *source, const char *item, void *field) {
    if (strcmp(item, "help") == 0) {
        source->options->action = OPTIONS_LIST_HOT;
        return true;
    }
    const char *equals = strchr(item, '=');
    for (unsigned i = 0; equals && i < hot_param_count; i++) {
        const HotParamInfo *info = &hot_param_info[i];
        if (strlen(info->name) != (size_t)(equals - item) || strncmp(info->name, item, (size_t)(equals - item)) != 0) continue;
        uint64_t value;
        if (!take_number(source, equals + 1, UINT32_MAX, &value)) return false;
        if (value < info->least || value > info->greatest)
            return refuse(source, item, "in the parameter's range ('help' lists them)");
        if (info->is_switch) *(bool *)((char *)field + info->offset) = value != 0;
        else *(unsigned *)((char *)field + info->offset) = (unsigned)value;
        return true;
    }
    return refuse(source, item, "NAME=VALUE of a parameter ('help' lists them)");
}

static bool take_path(const Source *source, const char *argument, const char **field) {
    *field = argument;
    return *argument || refuse(source, argument, "the name of a file or folder");
}

static bool take(const Source *source, const OptionRow *row, const char *argument) {
    void *field = (char *)source->options + row->offset;
    switch (row->kind) {
    case OPTION_FLAG: *(bool *)field = true; return true;
    case OPTION_NUMBER_SET: *(unsigned *)field = row->value; return true;
    case OPTION_ACTION: *(OptionsAction *)field = (OptionsAction)row->value; return true;
    case OPTION_STRING: *(const char **)field = argument; return true;
    case OPTION_PATH: return take_path(source, argument, field);
    case OPTION_SIZE: return take_size(source, argument, field);
    case OPTION_TRACE_CACHE: return take_trace_cache(source, argument, field);
    case OPTION_CPU:
        *(const char **)field = argument;
        if (strcmp(argument, "help") == 0) source->options->action = OPTIONS_LIST_CPUS;
        return true;
    case OPTION_TIER:
    case OPTION_MODE:
    case OPTION_SELECT:
    case OPTION_COMPLETION: return take_choice(source, argument, row->kind, field);
    case OPTION_POLICY: {
        unsigned value;
        if (!take_choice(source, argument, row->kind, &value)) return false;
        *(bool *)field = value;
        return true;
    }
    case OPTION_COUNT: return take_count(source, argument, field);
    case OPTION_THREADS: return take_threads(source, argument, field);
    case OPTION_COUNT_64: return take_count_64(source, argument, field);
    case OPTION_HOT: return for_each_item(source, argument, take_hot, field);
    case OPTION_OPTIMIZER: return for_each_item(source, argument, take_optimizer_option, field);
    case OPTION_LOG_ITEMS: *(uint32_t *)field = 0; return for_each_item(source, argument, take_log_item, field);
    case OPTION_FILTER: source->options->engine.log_range_count = 0; return for_each_item(source, argument, take_range, NULL);
    case OPTION_SEED: return take_seed(source, argument, field);
    case OPTION_UNUSED: return without_effect(source, argument, "Kiln has no such thing");
    case OPTION_UNUSED_NUMBER: return take_unused_number(source, argument);
    case OPTION_PAGE_SIZE: return take_page_size(source, argument);
    case OPTION_PASS: return for_each_item(source, argument, take_pass, field);
    case OPTION_OPTIMIZER_PASS: return for_each_item(source, argument, take_optimizer_pass, field);
    case OPTION_ENV_SET: return take_env_set(source, argument, field);
    case OPTION_ENV_UNSET: return for_each_item(source, argument, take_env_unset, field);
    }
    bug("option %s has no kind", row->names);
}

// ---- all of them --------------------------------------------------------------------------------------------------------

static bool has_name(const OptionRow *row, const char *name, size_t length) {
    size_t n;
    for (const char *at = row->names; *at; at = options_next_name(at, &n)) {
        size_t dashes = strspn(at, "-");
        if (strcspn(at, " ") - dashes == length && memcmp(at + dashes, name, length) == 0) return true;
    }
    return false;
}

static const OptionRow *find(const char *name, size_t length) {
    for (size_t i = 0; i < options_table_size; i++)
        if (has_name(&options_table[i], name, length)) return &options_table[i];
    return NULL;
}

static bool read_variables(Options *options) {
    if (getauxval(AT_SECURE)) return true; // the caller's environment must not steer a privileged guest
    for (size_t i = 0; i < options_table_size; i++) {
        const OptionRow *row = &options_table[i];
        const char *name = row->variable, *value = name ? getenv(name) : NULL;
        if (!value && (name = row->qemu_variable)) value = getenv(name);
        if (value && !take(&(Source){options, name}, row, value)) return false;
    }
    return true;
}

static void pass_on(Options *options, size_t *count, const char *word) {
    char **list = reallocarray(options->pass_on, *count + 2, sizeof *list);
    if (!list) fatal("out of memory (options)");
    list[(*count)++] = (char *)word;
    list[*count] = NULL;
    options->pass_on = list;
}

static bool is_for_this_program(const OptionRow *row) {
    switch (row->kind) {
    case OPTION_ENV_SET:
    case OPTION_ENV_UNSET:
    case OPTION_UNUSED:
    case OPTION_UNUSED_NUMBER:
    case OPTION_PAGE_SIZE: return true;
    default:
        return row->offset == offsetof(Options, argv0) || row->offset == offsetof(Options, gdb) ||
               row->offset == offsetof(Options, report) || row->offset == offsetof(Options, report_owner) ||
               row->offset == offsetof(Options, child) || row->offset == offsetof(Options, limits) ||
               row->offset == offsetof(Options, self_fd) || row->offset == offsetof(Options, optimizer_hub) ||
               row->offset == offsetof(Options, optimizer_file);
    }
}

// One option, argv[*i], and its argument; *i ends on the last word that belongs to it.
static bool read_option(Options *options, int argc, char **argv, int *i, const OptionRow **row_out) {
    const char *word = argv[*i], *name = word + (word[1] == '-' ? 2 : 1), *equals = strchr(name, '='), *argument = NULL;
    const OptionRow *row = find(name, equals ? (size_t)(equals - name) : strlen(name));
    if (!row) {
        fprintf(stderr, "kiln: unknown option '%s' (kiln --help lists them)\n", word);
        return false;
    }
    if (row->argument && equals) argument = equals + 1;
    else if (row->argument && *i + 1 < argc) argument = argv[++*i];
    else if (row->argument || equals) {
        fprintf(stderr, "kiln: option '%s' %s\n", word, equals ? "takes no argument" : "needs an argument");
        return false;
    }
    *row_out = row;
    return take(&(Source){options, word}, row, argument);
}

// Reads the options before the program; *at ends on the program's index.
static bool read_arguments(Options *options, int argc, char **argv, int *at) {
    size_t passed_on = 0;
    int i = 1;
    pass_on(options, &passed_on, "--child");
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        const OptionRow *row;
        int first = i;
        if (!read_option(options, argc, argv, &i, &row)) return false;
        if (options->action != OPTIONS_RUN) break; // what follows is not looked at
        for (int word = first; word <= i && !is_for_this_program(row); word++) pass_on(options, &passed_on, argv[word]);
    }
    *at = i;
    return true;
}

// Programs that the guest starts may run in another folder.
static const char *from_the_root(const char *name) {
    char *folder = name[0] == '/' ? NULL : getcwd(NULL, 0), *path = NULL;
    if (folder && asprintf(&path, "%s/%s", folder, name) < 0) fatal("out of memory (options)");
    free(folder);
    return path ? path : name;
}

// A name without %d is one process's: this one's, or of the program that it was before. Others are told whose, and where: they may be
// in another folder.
static void conclude_report(Options *options) {
    char *owner = NULL;
    options->report = from_the_root(options->report);
    options->engine.report = options->engine.count = true;
    options->engine.optimizer_options |= TRACE_WANT_TEXT;
    if (!options->report_owner && asprintf(&owner, "%d", (int)getpid()) >= 0) options->report_owner = owner;
    size_t count = 0;
    while (options->pass_on[count]) count++;
    pass_on(options, &count, "--report");
    pass_on(options, &count, options->report);
    pass_on(options, &count, "--report-owner");
    pass_on(options, &count, options->report_owner);
}

static void conclude_requests(Options *options) {
    options->engine.requests = from_the_root(options->engine.requests);
    size_t count = 0;
    while (options->pass_on[count]) count++;
    pass_on(options, &count, "--opt-requests");
    pass_on(options, &count, options->engine.requests);
}

// What follows from several options together.
static void conclude(Options *options) {
    options->engine.log_mask = options->log_items & LOG_ALL;
    if (options->engine.log_mask & (ENGINE_LOG_LLVM | ENGINE_LOG_LLVM_OPT | ENGINE_LOG_TRACE_ASM))
        options->engine.optimizer_options |= TRACE_WANT_TEXT;
    if (options->engine.no_avx) options->engine.optimizer_options |= TRACE_NO_AVX;
    if (options->engine.no_fma) options->engine.optimizer_options |= TRACE_NO_FMA;
    if (options->engine.no_bmi) options->engine.optimizer_options |= TRACE_NO_BMI;
    if (options->engine.eval_all) options->engine.optimizer_options |= TRACE_EVAL_ALL;
    if (options->gdb) options->engine.mode = ENGINE_NONE;
    options->engine.child = options->child;
    if (options->report) conclude_report(options);
    if (options->engine.requests) conclude_requests(options);
    if (options->strace) options->engine.log_mask |= ENGINE_LOG_STRACE;
    if (options->log_items & LOG_NOCHAIN) options->engine.no_link = true;
    if (options->child) options->gdb = NULL; // a variable's: one debugger, one program
}

// "riscv64" if started as kiln-riscv64.
static const char *guest_of_name(const char *argv0) {
    const char *slash = strrchr(argv0, '/'), *base = slash ? slash + 1 : argv0;
    return strncmp(base, "kiln-", 5) == 0 && base[5] ? base + 5 : NULL;
}

// The kernel's binfmt_misc with flag P starts us as: interpreter, file, the caller's argv[0], arguments; AT_FLAGS says so.
enum { FLAGS_PRESERVE_ARGV0 = 1 };

int options_parse(Options *options, int argc, char **argv, const Guest *const *guests) {
    *options = (Options){.engine = {.tier = TIER_FAST,
                                    .mode = ENGINE_HYBRID,
                                    .hot = hot_params_default(),
                                    .trace_limit = UINT_MAX,
                                    .second_after = -1,
                                    .trace_cache = DEFAULT_TRACE_CACHE}};
    if (argc > 0) options->guest_name = guest_of_name(argv[0]);
    int at = argc;
    options->child = argc > 1 && strcmp(argv[1], "--child") == 0;
    if (!read_variables(options) || !read_arguments(options, argc, argv, &at)) return EXIT_USAGE;
    conclude(options);
    if (options->action == OPTIONS_LIST_SYSCALLS) return -1;
    if (options->action != OPTIONS_RUN) {
        options_print(options->action, guests);
        return 0;
    }
    if (at >= argc) {
        fprintf(stderr, "kiln: no program given (usage: kiln [OPTION...] PROGRAM [ARGUMENT...]; kiln --help)\n");
        return EXIT_USAGE;
    }
    options->program = argv[at];
    if ((getauxval(AT_FLAGS) & FLAGS_PRESERVE_ARGV0) && at + 1 < argc) at++;
    options->guest_argc = argc - at;
    options->guest_argv = argv + at;
    if (options->argv0) options->guest_argv[0] = (char *)options->argv0;
    return -1;
}

// ---- what the program's caller needs of them ------------------------------------------------------------------------------

static size_t name_length(const char *text) { return (size_t)(strchrnul(text, '=') - text); }

static size_t remove_variable(char **environment, size_t count, const char *name) {
    size_t length = name_length(name), kept = 0;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environment[i], name, length) != 0 || environment[i][length] != '=') environment[kept++] = environment[i];
    return kept;
}

static char *read_text(const char *path, size_t *size) {
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t room = 0;
    *size = 0;
    ssize_t length = file ? getdelim(&text, &room, '\0', file) : -1;
    if (length > 0) *size = (size_t)length;
    bool good = file && !ferror(file);
    if (file) fclose(file);
    if (good) return text ? text : strdup("");
    free(text);
    return NULL;
}

bool options_read_annotations(Options *options) {
    static Arena arena;
    static HotAnnotations annotations;
    if (!options->annotations) return true;
    size_t size;
    char *text = read_text(options->annotations, &size);
    if (!text) {
        fprintf(stderr, "kiln: --annotate %s: %s\n", options->annotations, strerror(errno));
        return false;
    }
    bool good = hot_annotations_parse(text, size, &arena, &annotations);
    if (!good)
        fprintf(stderr, "kiln: --annotate %s, line %u: %s\n", options->annotations, annotations.error_line, annotations.error);
    free(text);
    options->engine.annotations = &annotations;
    return good;
}

// Other programs may have another root directory, and the user has been told already.
bool options_check_requests(const Options *options) {
    char *inside;
    if (!options->engine.requests || options->child) return true;
    if (asprintf(&inside, "%s/.", options->engine.requests) < 0) fatal("out of memory (options)");
    bool good = faccessat(AT_FDCWD, inside, W_OK | X_OK, AT_EACCESS) == 0;
    if (!good) fprintf(stderr, "kiln: --opt-requests %s: %s\n", options->engine.requests, strerror(errno));
    free(inside);
    return good;
}

char **options_environment(const Options *options, char **host_environment) {
    size_t count = 0;
    while (host_environment[count]) count++;
    char **environment = calloc(count + options->env_edits.count + 1, sizeof *environment);
    if (!environment) fatal("out of memory (environment)");
    memcpy(environment, host_environment, count * sizeof *environment);
    for (size_t i = 0; i < options->env_edits.count; i++) {
        const EnvEdit *edit = &options->env_edits.items[i];
        count = remove_variable(environment, count, edit->text);
        if (!edit->unset) environment[count++] = (char *)edit->text;
    }
    environment[count] = NULL;
    return environment;
}

char *options_file_name(const char *name) {
    const char *place = strstr(name, "%d");
    char *result;
    int length =
        place ? asprintf(&result, "%.*s%d%s", (int)(place - name), name, (int)getpid(), place + 2) : asprintf(&result, "%s", name);
    if (length < 0) fatal("out of memory (options)");
    return result;
}

bool options_open_log(Options *options) {
    if (!options->log_file) return true;
    char *name = options_file_name(options->log_file);
    int empty = options->child ? 0 : O_TRUNC;
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | empty, 0666);
    options->engine.log = fd < 0 ? NULL : log_file_stream(fd);
    if (!options->engine.log) fprintf(stderr, "kiln: log file %s: %s\n", name, strerror(errno));
    free(name);
    return options->engine.log != NULL;
}

// ---- the cpu --------------------------------------------------------------------------------------------------------------

static const GuestCpuModel *find_model(const Options *options, const Guest *guest) {
    if (!options->cpu_model) return &guest->models[0];
    size_t length = strcspn(options->cpu_model, ",");
    for (const GuestCpuModel *model = guest->models; model->name; model++)
        if (strlen(model->name) == length && memcmp(model->name, options->cpu_model, length) == 0) return model;
    fprintf(stderr, "kiln: no cpu model '%.*s' for %s (-cpu help lists them)\n", (int)length, options->cpu_model, guest->name);
    return NULL;
}

static bool is_one_of(const char *value, const char *a, const char *b, const char *c) {
    return strcmp(value, a) == 0 || strcmp(value, b) == 0 || strcmp(value, c) == 0;
}
static bool is_on(const char *value) { return is_one_of(value, "on", "true", "yes"); }
static bool is_off(const char *value) { return is_one_of(value, "off", "false", "no"); }

// NAME=on|off. What Kiln does not have may be switched off, or be set with a warning: whether the guest looks at it is not known.
static bool change_feature(const Options *options, const Guest *guest, char *text, uint64_t *features) {
    char *equals = strchr(text, '='), *value = equals ? equals + 1 : text;
    if (equals) *equals = '\0';
    for (const GuestFeatureName *known = guest->feature_names; equals && known && known->name; known++) {
        if (strcasecmp(known->name, text) != 0 || (!is_on(value) && !is_off(value))) continue;
        *features = is_on(value) ? *features | known->bit : *features & ~known->bit;
        return true;
    }
    if (!equals) {
        fprintf(stderr, "kiln: -cpu: '%s' is not EXTENSION=on or EXTENSION=off\n", text);
        return false;
    }
    if (!is_off(value) && !options->child) warning("-cpu: '%s=%s' has no effect: Kiln does not have it", text, value);
    return true;
}

bool options_cpu_features(const Options *options, const Guest *guest, uint64_t *features) {
    const GuestCpuModel *model = find_model(options, guest);
    if (!model) return false;
    *features = model->features;
    const char *changes = options->cpu_model ? strchr(options->cpu_model, ',') : NULL;
    char *copy = strdup(changes ? changes : ""), *rest = copy, *item;
    if (!copy) fatal("out of memory (options)");
    bool good = true;
    while (good && (item = strsep(&rest, ",")))
        if (*item) good = change_feature(options, guest, item, features);
    free(copy);
    return good;
}
