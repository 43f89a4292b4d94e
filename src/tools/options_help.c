// SPDX-License-Identifier: MIT
//
// What options.def becomes for readers: --help, the manual page (roff, man macros), and the lists that `help` asks for.
#include "tools/options.h"
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 30, HELP_WIDTH = 100 };

const char *options_next_name(const char *names, size_t *length) {
    *length = strcspn(names, " ");
    return names + *length + (names[*length] == ' ');
}

// ---- --help --------------------------------------------------------------------------------------------------------------

// Prints text broken at spaces, from column HELP_COLUMN on.
static void print_wrapped(const char *text) {
    int column = HELP_COLUMN;
    for (const char *at = text; *at;) {
        int length = (int)strcspn(at, " ");
        bool first = at == text, fits = column + 1 + length <= HELP_WIDTH;
        if (!first && !fits) column = printf("\n%*s", HELP_COLUMN, "") - 1;
        column += printf("%s%.*s", !first && fits ? " " : "", length, at);
        at += length;
        at += *at == ' ';
    }
    putchar('\n');
}

static void print_option_help(const OptionRow *row) {
    int column = 2;
    fputs("  ", stdout);
    for (const char *p = row->names; *p; p++) column += *p == ' ' ? printf(", ") : printf("%c", *p);
    if (row->argument) column += printf(" %s", row->argument);
    if (column < HELP_COLUMN - 1) printf("%*s", HELP_COLUMN - column, "");
    else printf("\n%*s", HELP_COLUMN, "");
    print_wrapped(row->help);
}

static void print_help(void) {
    puts("usage: kiln [OPTION...] PROGRAM [ARGUMENT...]\n"
         "Runs a Linux program of another instruction set (riscv64) on this machine.");
    for (int group = 0; group < OPTIONS_GROUP_COUNT; group++) {
        printf("\n%s:\n", options_groups[group]);
        for (size_t i = 0; i < options_table_size; i++)
            if (options_table[i].group == group) print_option_help(&options_table[i]);
    }
    puts("\nOptions are accepted with one dash or two, and --name=value means --name value.\n"
         "Most can be given as variables too (the name qemu-user knows is read where ours is not set);\n"
         "the command line counts more:");
    for (size_t i = 0; i < options_table_size; i++) {
        const OptionRow *row = &options_table[i];
        if (row->group == OPTIONS_HIDDEN || !row->variable) continue;
        printf("  %-*s%-*s%.*s\n", 24, row->variable, 24, row->qemu_variable ? row->qemu_variable : "",
               (int)strcspn(row->names, " "), row->names);
    }
}

// ---- --man ---------------------------------------------------------------------------------------------------------------

// Prints text with what roff would interpret escaped; the first `length` characters.
static void print_roff(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\') fputs("\\e", stdout);
        else if (text[i] == '-') fputs("\\-", stdout);
        else if (i == 0 && (text[i] == '.' || text[i] == '\'')) printf("\\&%c", text[i]);
        else putchar(text[i]);
    }
}

static void print_bold(const char *text, size_t length) {
    fputs("\\fB", stdout);
    print_roff(text, length);
    fputs("\\fR", stdout);
}

// Help texts quote with backquotes: bold on paper.
static void print_quoted(const char *text) {
    for (const char *at = text; *at;) {
        size_t plain = strcspn(at, "`");
        print_roff(at, plain);
        at += plain;
        if (!*at) break;
        size_t quoted = strcspn(++at, "`");
        print_bold(at, quoted);
        at += quoted;
        at += *at == '`';
    }
    putchar('\n');
}

static void print_option_man(const OptionRow *row) {
    puts(".TP");
    for (const char *at = row->names; *at;) {
        size_t length = strcspn(at, " ");
        print_bold(at, length);
        at += length;
        if (*at == ' ') fputs(", ", stdout), at++;
    }
    if (row->argument) {
        fputs(" \\fI", stdout);
        print_roff(row->argument, strlen(row->argument));
        fputs("\\fR", stdout);
    }
    putchar('\n');
    print_quoted(row->help);
}

static void print_variable_man(const OptionRow *row) {
    puts(".TP");
    print_bold(row->variable, strlen(row->variable));
    if (row->qemu_variable) {
        fputs(", ", stdout);
        print_bold(row->qemu_variable, strlen(row->qemu_variable));
    }
    fputs("\nthe same as ", stdout);
    print_bold(row->names, strcspn(row->names, " "));
    putchar('\n');
}

static void print_man(void) {
    puts(".TH KILN 1 \"\" \"Kiln " KILN_VERSION "\" \"User Commands\"\n"
         ".SH NAME\nkiln \\- run Linux programs of another instruction set\n"
         ".SH SYNOPSIS\n.B kiln\n[\\fIOPTION\\fR...] \\fIPROGRAM\\fR [\\fIARGUMENT\\fR...]\n"
         ".SH DESCRIPTION\n"
         "Kiln translates a Linux program that was built for riscv64 into code of this machine (x86\\-64) while it runs. "
         "The program uses this system's kernel: files, processes, sockets and signals are the host's.\n"
         ".PP\n"
         "The first argument that is no option names the program; everything behind it belongs to the program. "
         "Started as \\fBkiln\\-riscv64\\fR it runs programs of that instruction set alone.\n"
         ".SH OPTIONS\n"
         "Each is accepted with one dash or two; \\fB\\-\\-name=value\\fR means \\fB\\-\\-name value\\fR.");
    for (int group = 0; group < OPTIONS_GROUP_COUNT; group++) {
        printf(".SS %s\n", options_groups[group]);
        for (size_t i = 0; i < options_table_size; i++)
            if (options_table[i].group == group) print_option_man(&options_table[i]);
    }
    puts(".SH ENVIRONMENT\n"
         "Read before the command line. The second name of a pair, qemu\\-user's, is read where the first is not set. "
         "Options without argument are on if the variable is set. Under a set\\-user\\-ID program none is read.");
    for (size_t i = 0; i < options_table_size; i++)
        if (options_table[i].group != OPTIONS_HIDDEN && options_table[i].variable) print_variable_man(&options_table[i]);
    puts(".SH EXIT STATUS\n"
         "The program's own; if a signal ended the program, the same signal ends Kiln. "
         "1: an option was wrong. 126: the file is there and cannot be run. 127: there is no such file.\n"
         ".SH EXAMPLES\n.nf\n"
         "kiln ./hello\n"
         "kiln \\-L /srv/riscv64 /srv/riscv64/usr/bin/python3 script.py\n"
         "kiln \\-strace \\-D trace.%d ./server\n"
         "kiln \\-g 1234 ./hello    (and in gdb\\-multiarch: file hello, target remote :1234)\n"
         ".fi");
}

// ---- lists ---------------------------------------------------------------------------------------------------------------

static void list_cpus(const Guest *const *guests) {
    for (; *guests; guests++) {
        printf("%s:\n", (*guests)->name);
        const GuestCpuModel *model = (*guests)->models;
        for (bool first = true; model->name; model++, first = false)
            printf("  %-16s %s%s\n", model->name, model->description, first ? " (default)" : "");
        printf("  extensions:");
        for (const GuestFeatureName *f = (*guests)->feature_names; f && f->name; f++) printf(" %s", f->name);
        putchar('\n');
    }
}

void options_print(OptionsAction action, const Guest *const *guests) {
    switch (action) {
    case OPTIONS_RUN: break;
    case OPTIONS_PRINT_HELP: print_help(); break;
    case OPTIONS_PRINT_VERSION: puts("kiln " KILN_VERSION); break;
    case OPTIONS_PRINT_MAN: print_man(); break;
    case OPTIONS_LIST_CPUS: list_cpus(guests); break;
    case OPTIONS_LIST_SYSCALLS: break;
    case OPTIONS_COMPLETE_BASH: options_print_bash(guests); break;
    case OPTIONS_COMPLETE_ZSH: options_print_zsh(guests); break;
    case OPTIONS_LIST_LOG:
        for (const LogItem *item = options_log_items; item->name; item++) printf("%-10s %s\n", item->name, item->help);
        break;
    case OPTIONS_LIST_HOT:
        for (unsigned i = 0; i < hot_param_count; i++)
            printf("%-17s %9u  %s (%u to %u %s)\n", hot_param_info[i].name, hot_param_info[i].value, hot_param_info[i].meaning,
                   hot_param_info[i].least, hot_param_info[i].greatest, hot_param_info[i].unit);
        break;
    case OPTIONS_LIST_PASSES:
        for (const KirPass *pass = kir_passes; pass->name; pass++) puts(pass->name);
        break;
    }
}
