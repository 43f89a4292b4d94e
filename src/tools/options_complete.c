// SPDX-License-Identifier: MIT
//
// What options.def becomes for shells: completion of the command line of `kiln`, for bash and for zsh. What an option's argument
// may be follows from its kind, or from the word that stands for it ("FILE", "PREFIX"). Behind the program's name the
// completion is the program's own.
#include "tools/options.h"
#include <string.h>

static bool is_shown(const OptionRow *row) { return row->group != OPTIONS_HIDDEN; }

// Values separated by spaces; nothing if there is no list of them.
static void print_values(const OptionRow *row, const Guest *const *guests) {
    for (const OptionChoice *choice = options_choices(row->kind); choice && choice->name; choice++) printf("%s ", choice->name);
    switch (row->kind) {
    case OPTION_CPU:
        for (; *guests; guests++)
            for (const GuestCpuModel *model = (*guests)->models; model->name; model++) printf("%s ", model->name);
        fputs("help", stdout);
        break;
    case OPTION_LOG_ITEMS:
        for (const LogItem *item = options_log_items; item->name; item++) printf("%s ", item->name);
        fputs("help", stdout);
        break;
    default: break;
    }
}

static bool has_values(const OptionRow *row) {
    return options_choices(row->kind) || row->kind == OPTION_CPU || row->kind == OPTION_LOG_ITEMS;
}

static bool wants_folder(const OptionRow *row) { return strcmp(row->argument, "PREFIX") == 0; }
static bool wants_file(const OptionRow *row) {
    return strncmp(row->argument, "FILE", 4) == 0 || row->kind == OPTION_STRING || row->kind == OPTION_PATH;
}

// ---- bash ----------------------------------------------------------------------------------------------------------------

// All names of an option, as a pattern of `case`.
static void print_pattern(const OptionRow *row) {
    size_t length;
    for (const char *at = row->names, *next; *at; at = next) {
        next = options_next_name(at, &length);
        printf("%.*s%s", (int)length, at, *next ? "|" : "");
    }
}

static void print_all_names(void) {
    for (size_t i = 0; i < options_table_size; i++)
        if (is_shown(&options_table[i])) printf("%s ", options_table[i].names);
}

// The options with an argument, as one pattern.
static void print_argument_pattern(void) {
    const char *separator = "";
    for (size_t i = 0; i < options_table_size; i++) {
        if (!options_table[i].argument) continue;
        fputs(separator, stdout);
        print_pattern(&options_table[i]);
        separator = "|";
    }
}

static void print_bash_values(const OptionRow *row, const Guest *const *guests) {
    fputs("        ", stdout);
    print_pattern(row);
    fputs(") ", stdout);
    if (has_values(row)) {
        fputs("COMPREPLY=($(compgen -P \"$list\" -W \"", stdout);
        print_values(row, guests);
        fputs("\" -- \"$item\"))", stdout);
    } else if (wants_folder(row)) {
        fputs("COMPREPLY=($(compgen -d -- \"$current\"))", stdout);
    } else if (wants_file(row)) {
        fputs("COMPREPLY=($(compgen -f -- \"$current\"))", stdout);
    } else {
        putchar(':');
    }
    puts("; return ;;");
}

void options_print_bash(const Guest *const *guests) {
    puts("# bash completion for kiln; made by `kiln --completion bash`\n"
         "_kiln() {\n"
         "    local i=1 current=${COMP_WORDS[COMP_CWORD]} item list=\n"
         "    COMPREPLY=()\n"
         "    while ((i < COMP_CWORD)); do\n"
         "        case ${COMP_WORDS[i]} in");
    fputs("        ", stdout);
    print_argument_pattern();
    puts(")\n"
         "            if ((i + 1 == COMP_CWORD)); then _kiln_value \"${COMP_WORDS[i]}\"; return; fi\n"
         "            # --name=value comes as three words\n"
         "            if [[ ${COMP_WORDS[i + 1]} == = ]]; then\n"
         "                if ((i + 2 >= COMP_CWORD)); then _kiln_value \"${COMP_WORDS[i]}\"; return; fi\n"
         "                ((i++))\n"
         "            fi\n"
         "            ((i += 2)) ;;\n"
         "        -*) ((i++)) ;;\n"
         "        *) break ;;\n"
         "        esac\n"
         "    done\n"
         "    if ((i < COMP_CWORD)); then\n"
         "        if declare -F _command_offset >/dev/null; then _command_offset \"$i\"\n"
         "        else COMPREPLY=($(compgen -f -- \"$current\")); fi\n"
         "    elif [[ $current == -* ]]; then");
    fputs("        COMPREPLY=($(compgen -W \"", stdout);
    print_all_names();
    puts("\" -- \"$current\"))\n"
         "    else\n"
         "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "    fi\n"
         "}\n"
         "_kiln_value() {\n"
         "    [[ $current == = ]] && current=\n"
         "    item=${current##*,}\n"
         "    list=${current%\"$item\"}\n"
         "    case $1 in");
    for (size_t i = 0; i < options_table_size; i++)
        if (is_shown(&options_table[i]) && options_table[i].argument) print_bash_values(&options_table[i], guests);
    puts("    esac\n"
         "}\n"
         "complete -o filenames -F _kiln kiln kiln-riscv64");
}

// ---- zsh -----------------------------------------------------------------------------------------------------------------

// Inside single quotes and square brackets.
static void print_zsh_text(const char *text) {
    for (; *text; text++) {
        if (*text == '\'') fputs("'\\''", stdout);
        else if (*text == '[' || *text == ']' || *text == '\\') printf("\\%c", *text);
        else if (*text != '`') putchar(*text);
    }
}

// The placeholder of an argument, up to the first character that means something to _arguments.
static void print_zsh_argument(const OptionRow *row, const Guest *const *guests) {
    const char *name = row->argument + (row->argument[0] == '[');
    printf(":%.*s:", (int)strcspn(name, "[]|:,="), name);
    if (has_values(row)) {
        if (row->kind == OPTION_LOG_ITEMS) fputs("_sequence compadd - ", stdout);
        else putchar('(');
        print_values(row, guests);
        if (row->kind != OPTION_LOG_ITEMS) putchar(')');
    } else if (wants_folder(row)) {
        fputs("_directories", stdout);
    } else if (wants_file(row)) {
        fputs("_files", stdout);
    } else {
        putchar(' ');
    }
}

static void print_zsh_option(const OptionRow *row, const Guest *const *guests) {
    size_t length;
    for (const char *at = row->names, *next; *at; at = next) {
        next = options_next_name(at, &length);
        bool is_long = length > 2 && at[1] == '-';
        printf("  '(%s)%.*s%s[", row->names, (int)length, at, row->argument && is_long ? "=" : "");
        print_zsh_text(row->help);
        putchar(']');
        if (row->argument) print_zsh_argument(row, guests);
        puts("' \\");
    }
}

void options_print_zsh(const Guest *const *guests) {
    puts("#compdef kiln kiln-riscv64\n"
         "# made by `kiln --completion zsh`\n"
         "_arguments \\");
    for (size_t i = 0; i < options_table_size; i++)
        if (is_shown(&options_table[i])) print_zsh_option(&options_table[i], guests);
    puts("  '1:program:_files' \\\n"
         "  '*::arguments:_normal'");
}
