// SPDX-License-Identifier: MIT
//
// Reading the options. A row of options.def says what an option is; the function for its kind (take) stores it. Nothing
// here ends the process, and nothing is printed but one line for a usage error.
#include "tools/options.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 1 };

const OptionRow options_table[] = {
#define GROUP(id, heading)
#define OPTION(group, kind, field, value, names, argument, variable, qemu, help)                                       \
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
    {ENGINE_LOG_PAGE, "page", "the guest's memory map when it changes"},
    {ENGINE_LOG_STRACE, "strace", "system calls"},
    {ENGINE_LOG_UNIMP, "unimp", "what the guest asked for and Kiln does not have"},
    {0, NULL, NULL},
};

// ---- one option ---------------------------------------------------------------------------------------------------------

// What is being read, for messages: "-cpu" or "KILN_CPU".
typedef struct Source { Options *options; const char *name; } Source;

static bool refuse(const Source *source, const char *argument, const char *expected) {
    fprintf(stderr, "kiln: %s: '%s' is not %s\n", source->name, argument, expected);
    return false;
}

// Calls `each` with every part of a comma-separated list; stops at the first false.
static bool for_each_item(const Source *source, const char *list, bool (*each)(const Source *, const char *, void *),
                          void *field) {
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

static bool take_size(const Source *source, const char *argument, uint64_t *size) {
    static const char suffixes[] = "kKmMgG";
    char *end;
    errno = 0;
    unsigned long long number = strtoull(argument, &end, 0);
    unsigned shift = 0;
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    if (suffix) {
        shift = 10 * (unsigned)((suffix - suffixes) / 2 + 1);
        end++;
    }
    bool digits = argument[0] >= '0' && argument[0] <= '9';
    if (!digits || *end || errno || number == 0 || number > (UINT64_MAX >> shift))
        return refuse(source, argument, "a size");
    *size = (uint64_t)number << shift;
    return true;
}

static bool take_tier(const Source *source, const char *argument, EngineTier *tier) {
    if (strcmp(argument, "fast") == 0) *tier = TIER_FAST;
    else if (strcmp(argument, "interp") == 0) *tier = TIER_INTERP;
    else return refuse(source, argument, "a tier: fast, interp");
    return true;
}

static bool take_mode(const Source *source, const char *argument, OptionsMode *mode) {
    if (strcmp(argument, "none") != 0) return refuse(source, argument, "a mode: none");
    *mode = MODE_NONE;
    return true;
}

static bool take(const Source *source, const OptionRow *row, const char *argument) {
    void *field = (char *)source->options + row->offset;
    switch (row->kind) {
    case OPTION_FLAG: *(bool *)field = true; return true;
    case OPTION_FLAG_BITS: *(uint32_t *)field |= row->value; return true;
    case OPTION_NUMBER_SET: *(unsigned *)field = row->value; return true;
    case OPTION_ACTION: *(OptionsAction *)field = (OptionsAction)row->value; return true;
    case OPTION_STRING: *(const char **)field = argument; return true;
    case OPTION_SIZE: return take_size(source, argument, field);
    case OPTION_CPU:
        *(const char **)field = argument;
        if (strcmp(argument, "help") == 0) source->options->action = OPTIONS_LIST_CPUS;
        return true;
    case OPTION_TIER: return take_tier(source, argument, field);
    case OPTION_MODE: return take_mode(source, argument, field);
    case OPTION_LOG_ITEMS: return for_each_item(source, argument, take_log_item, field);
    case OPTION_PASS: return for_each_item(source, argument, take_pass, field);
    case OPTION_ENV_SET: return take_env_set(source, argument, field);
    case OPTION_ENV_UNSET: return for_each_item(source, argument, take_env_unset, field);
    }
    bug("option %s has no kind", row->names);
}

// ---- all of them --------------------------------------------------------------------------------------------------------

static bool has_name(const OptionRow *row, const char *name, size_t length) {
    for (const char *at = row->names; *at;) {
        const char *start = at + strspn(at, "- ");
        at = strchrnul(start, ' ');
        if ((size_t)(at - start) == length && memcmp(start, name, length) == 0) return true;
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
    return row->kind == OPTION_ENV_SET || row->kind == OPTION_ENV_UNSET || row->offset == offsetof(Options, argv0);
}

// Reads the options before the program; *at ends on the program's index.
static bool read_arguments(Options *options, int argc, char **argv, int *at) {
    size_t passed_on = 0;
    int i = 1;
    pass_on(options, &passed_on, NULL);
    passed_on = 0; // an empty list, not NULL
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        const char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
        const char *equals = strchr(name, '=');
        const OptionRow *row = find(name, equals ? (size_t)(equals - name) : strlen(name));
        if (!row) {
            fprintf(stderr, "kiln: unknown option '%s' (kiln --help lists them)\n", argv[i]);
            return false;
        }
        Source source = {options, argv[i]};
        int first = i;
        const char *argument = NULL;
        if (row->argument && equals) argument = equals + 1;
        else if (row->argument && i + 1 < argc) argument = argv[++i];
        else if (row->argument || equals) {
            fprintf(stderr, "kiln: option '%s' %s\n", argv[i], equals ? "takes no argument" : "needs an argument");
            return false;
        }
        if (!take(&source, row, argument)) return false;
        if (options->action != OPTIONS_RUN) break; // what follows is not looked at
        for (int word = first; word <= i && !is_for_this_program(row); word++) pass_on(options, &passed_on, argv[word]);
    }
    if (options->log_file && !options->log_append) pass_on(options, &passed_on, "--log-append");
    *at = i;
    return true;
}

// "riscv64" if started as kiln-riscv64.
static const char *guest_of_name(const char *argv0) {
    const char *slash = strrchr(argv0, '/'), *base = slash ? slash + 1 : argv0;
    return strncmp(base, "kiln-", 5) == 0 && base[5] ? base + 5 : NULL;
}

// The kernel's binfmt_misc with flag P starts us as: interpreter, file, the caller's argv[0], arguments; AT_FLAGS says so.
enum { FLAGS_PRESERVE_ARGV0 = 1 };

int options_parse(Options *options, int argc, char **argv, const Guest *const *guests) {
    *options = (Options){.engine = {.tier = TIER_FAST}};
    if (argc > 0) options->guest_name = guest_of_name(argv[0]);
    int at = argc;
    if (!read_variables(options) || !read_arguments(options, argc, argv, &at)) return EXIT_USAGE;
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
        if (strncmp(environment[i], name, length) != 0 || environment[i][length] != '=')
            environment[kept++] = environment[i];
    return kept;
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

// `name` with its first %d replaced by the process id.
static char *log_name(const char *name) {
    const char *place = strstr(name, "%d");
    char *result;
    int length = place ? asprintf(&result, "%.*s%d%s", (int)(place - name), name, (int)getpid(), place + 2)
                       : asprintf(&result, "%s", name);
    if (length < 0) fatal("out of memory (options)");
    return result;
}

// Moves a descriptor to the upper end of what the limit allows.
static int move_up(int fd) {
    struct rlimit limit;
    if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < 64) return fd;
    rlim_t top = limit.rlim_cur < 65536 ? limit.rlim_cur : 65536;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, (int)top - 16);
    if (high < 0) return fd;
    close(fd);
    return high;
}

bool options_open_log(Options *options) {
    if (!options->log_file) return true;
    char *name = log_name(options->log_file);
    int empty = options->log_append ? 0 : O_TRUNC;
    int fd = move_up(open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | empty, 0666));
    options->engine.log = fd < 0 ? NULL : fdopen(fd, "a");
    if (!options->engine.log) fprintf(stderr, "kiln: log file %s: %s\n", name, strerror(errno));
    else setvbuf(options->engine.log, NULL, _IOLBF, 0); // whole lines: several processes may write
    free(name);
    return options->engine.log != NULL;
}

const GuestCpuModel *options_cpu_model(const Options *options, const Guest *guest) {
    if (!options->cpu_model) return &guest->models[0];
    for (const GuestCpuModel *model = guest->models; model->name; model++)
        if (strcmp(model->name, options->cpu_model) == 0) return model;
    fprintf(stderr, "kiln: no cpu model '%s' for %s (-cpu help lists them)\n", options->cpu_model, guest->name);
    return NULL;
}
