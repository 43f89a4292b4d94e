#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles decode tables: one row an instruction in, decoder, names and a machine-readable list out.

    decode.py --header FILE --decoder FILE [--prefix RV] TABLE ...
    decode.py --list TABLE ...

The form of a table is described at the top of src/guest/riscv64/insn32.decode. --header gets the enumeration of rows and
the prototype of the table of facts; --decoder gets the table and one decode function a width, `PREFIX_decodeWIDTH(word, out)`,
which returns the row's number or 0 (illegal). --list prints one line a row, fields separated by tabs:

    name mask value bytes extension fields format syntax constraints base overrides

where fields is `name:low:width,...` (highest first) and an empty column is `-`. Rows that overlap, or have malformed bits,
are refused: the message names file and line.
"""

import argparse
import collections
import itertools
import re
import sys

Field = collections.namedtuple("Field", "name low width")
Piece = collections.namedtuple("Piece", "high low")  # low is None: `high` zero bits
ROW = re.compile(r'^(\S+)\s+((?:[\w\']+:\d+|[01]+)(?:\s+(?:[\w\']+:\d+|[01]+))*)\s+([A-Z]\w*)\s+(\S+)\s+"([^"]*)"(.*)$')


class TableError(Exception):
    pass


class Format:
    """Operands that are not plain fields: name -> (kind, pieces or text), and constraints (operand, operator, number)."""

    def __init__(self, words):
        self.assigned, self.constraints = {}, []
        for word in words:
            constraint = re.fullmatch(r"(\w+)(!=|==)(\d+)", word)
            scatter = re.fullmatch(r"(\w+)=([us])\(([^()]*)\)", word)
            plain = re.fullmatch(r"(\w+)=(\w+)", word)
            if constraint:
                self.constraints.append(constraint.groups())
            elif scatter:
                self.assigned[scatter[1]] = (scatter[2], [parse_piece(p) for p in scatter[3].split(",")])
            elif plain:
                self.assigned[plain[1]] = ("=", plain[2])
            else:
                raise TableError(f"format: cannot read `{word}`")


def parse_piece(text):
    zeros = re.fullmatch(r"!(0+)", text)
    bits = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if zeros:
        return Piece(len(zeros[1]), None)
    if not bits:
        raise TableError(f"format: `{text}` is not a list of bits")
    high = int(bits[1])
    low = int(bits[2]) if bits[2] else high
    if low > high or high > 31:
        raise TableError(f"format: bits {text} run backwards or past bit 31")
    return Piece(high, low)


class Row:
    def __init__(self, place, width, match, formats):
        self.place, self.width, self.number = place, width, 0
        self.name, pattern, self.format_name, self.extension, self.syntax, tail = match.groups()
        self.base, self.overrides = parse_tail(tail)
        self.mask, self.value, self.fields = parse_pattern(pattern, width)
        if self.format_name not in formats:
            raise TableError(f"{self.name}: unknown format {self.format_name}")
        self.format = formats[self.format_name]
        self.check_operands()

    @property
    def enum(self):
        return self.name.upper().replace(".", "_")

    def check_operands(self):
        """Plain fields are named once; immediate bits are exactly those that the format collects."""
        names = [f.name.rstrip("'") for f in self.fields if f.name not in self.format.assigned]
        doubles = {n for n in names if names.count(n) > 1}
        if doubles:
            raise TableError(f"{self.name}: field {doubles.pop()} stands twice and the format does not join it")
        for operand, (kind, pieces) in self.format.assigned.items():
            if kind == "=":
                continue
            taken = sum(((2 << p.high - p.low) - 1) << p.low for p in pieces if p.low is not None)
            given = sum(((1 << f.width) - 1) << f.low for f in self.fields if f.name == operand)
            if taken != given:
                raise TableError(f"{self.name}: format {self.format_name} collects bits {taken:#x} as {operand}, "
                                 f"the row has {given:#x}")

    def list_line(self):
        fields = ",".join(f"{f.name}:{f.low}:{f.width}" for f in self.fields)
        constraints = ",".join("".join(c) for c in self.format.constraints)
        columns = [self.name, f"{self.mask:#x}", f"{self.value:#x}", str(self.width // 8), self.extension, fields,
                   self.format_name, self.syntax, constraints, self.base or "", ",".join(self.overrides)]
        return "\t".join(c or "-" for c in columns)


def parse_tail(tail):
    match = re.fullmatch(r"\s*(?:=\s*(\S+))?\s*(?:overrides\s+(.+?))?\s*", tail)
    if not match:
        raise TableError(f"cannot read `{tail.strip()}` behind the syntax")
    return match[1], (match[2] or "").split()


def parse_pattern(pattern, width):
    mask = value = 0
    fields, position = [], width
    for word in pattern.split():
        name, colon, digits = word.partition(":")
        length = int(digits) if colon else len(word)
        if length == 0:
            raise TableError(f"field {name} has no bits")
        position -= length
        if position < 0:
            break
        if colon:
            fields.append(Field(name, position, length))
        else:
            mask |= ((1 << length) - 1) << position
            value |= int(word, 2) << position
    if position != 0:
        raise TableError(f"pattern `{pattern}` has {width - position} bits, not {width}")
    return mask, value, fields


def read_tables(paths):
    rows = []
    for path in paths:
        width, formats = 32, {}
        with open(path, encoding="utf-8") as file:
            for line_number, line in enumerate(file, 1):
                line = line.split("#")[0].rstrip()
                try:
                    if line.startswith("%width"):
                        width = int(line.split()[1])
                    elif line.startswith("%format"):
                        formats[line.split()[1]] = Format(line.split()[2:])
                    elif line:
                        match = ROW.match(line)
                        if not match:
                            raise TableError("not a row: name, bits, FORMAT, EXTENSION, \"syntax\"")
                        rows.append(Row(f"{path}:{line_number}", width, match, formats))
                except TableError as error:
                    raise TableError(f"{path}:{line_number}: {error}") from None
    for number, row in enumerate(rows, 1):
        row.number = number
    check_rows(rows)
    return rows


def check_rows(rows):
    names = {}
    for row in rows:
        if row.enum in names:
            raise TableError(f"{row.place}: {row.name} is already defined at {names[row.enum].place}")
        names[row.enum] = row
    known = {row.name for row in rows}
    for row in rows:
        for name in [row.base, *row.overrides]:
            if name and name not in known:
                raise TableError(f"{row.place}: {row.name} refers to {name}, which is no row")
    for a, b in itertools.combinations(rows, 2):
        if a.width != b.width or a.mask & b.mask & (a.value ^ b.value):
            continue
        inner, outer = (a, b) if b.name in a.overrides else (b, a)
        if outer.name not in inner.overrides:
            raise TableError(f"{b.place}: {b.name} overlaps {a.name} ({a.place}): both match "
                             f"{a.value | b.value:#x}; let the more specific one say `overrides`")
        if inner.mask & outer.mask != outer.mask or inner.mask == outer.mask:
            raise TableError(f"{inner.place}: {inner.name} overrides {outer.name} but is not more specific")


# ---- the decision tree ---------------------------------------------------------------------------------------------------

def longest_run(bits):
    """The longest run of set bits: (low, width); the lowest of equals."""
    best = (0, 0)
    for match in re.finditer("1+", bin(bits)[:1:-1]):
        if match.end() - match.start() > best[1]:
            best = (match.start(), match.end() - match.start())
    return best


def emit_tree(out, rows, tested, indent):
    pad = "    " * indent
    common = ~tested & 0xFFFFFFFF
    for row in rows:
        common &= row.mask
    differing = 0
    for row in rows[1:]:
        differing |= (row.value ^ rows[0].value) & common
    if len(rows) > 1 and differing:
        low, width = longest_run(common)
        while not differing >> low & ((1 << width) - 1):
            common &= ~(((1 << width) - 1) << low)
            low, width = longest_run(common)
        emit_switch(out, rows, tested, indent, low, width)
        return
    for row in sorted(rows, key=lambda r: -bin(r.mask).count("1")):
        rest = row.mask & ~tested
        if rest:
            out.append(f"{pad}if ((w & {rest:#x}) == {row.value & rest:#x}) {{ row = {row.number}; goto {row.format_label}; }}")
        else:
            out.append(f"{pad}row = {row.number}; goto {row.format_label};")
            return
    out.append(f"{pad}return 0;")


def emit_switch(out, rows, tested, indent, low, width):
    pad = "    " * indent
    bits = (1 << width) - 1
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row.value >> low & bits].append(row)
    out.append(f"{pad}switch (w >> {low} & {bits:#x}) {{")
    for key in sorted(groups):
        out.append(f"{pad}case {key:#x}:")
        emit_tree(out, groups[key], tested | bits << low, indent + 1)
    out.append(f"{pad}default: return 0;")
    out.append(f"{pad}}}")


# ---- operands ------------------------------------------------------------------------------------------------------------

def scatter_expression(kind, pieces):
    terms, position = [], 0
    for index, piece in reversed(list(enumerate(pieces))):
        if piece.low is None:
            position += piece.high
            continue
        width = piece.high - piece.low + 1
        if kind == "s" and index == 0:
            term = f"(uint32_t)((int32_t)(w << {31 - piece.high}) >> {31 - piece.high + piece.low})"
        else:
            term = f"(w >> {piece.low} & {(1 << width) - 1:#x})"
        terms.append(f"{term} << {position}" if position else term)
        position += width
    return " | ".join(terms)


def operand_lines(row):
    for field in row.fields:
        if field.name in row.format.assigned:
            continue
        name, mask = field.name.rstrip("'"), (1 << field.width) - 1
        plus = " + 8" if field.name.endswith("'") else ""
        yield f"out->{name} = (uint8_t)((w >> {field.low} & {mask:#x}){plus});"
    for name, (kind, value) in row.format.assigned.items():
        if kind == "=":
            source = value if value.isdigit() else f"out->{value}"
            yield f"out->{name} = {source};"
        else:
            c_type = "int32_t" if name == "imm" else "uint16_t"
            yield f"out->{name} = ({c_type})({scatter_expression(kind, value)});"
    for operand, operator, number in row.format.constraints:
        opposite = {"!=": "==", "==": "!="}[operator]
        yield f"if (out->{operand} {opposite} {number}) return 0;"


def emit_decoder(out, rows, prefix, width):
    """One tree, then one piece of code for each distinct set of operands."""
    labels = {}
    for row in rows:
        lines = tuple(operand_lines(row))
        row.format_label = labels.setdefault(lines, f"operands_{len(labels)}")
    out.append(f"static unsigned {prefix.lower()}_decode{width}(uint32_t w, {prefix}Insn *out) {{")
    out.append("    unsigned row;")
    emit_tree(out, rows, 0, 1)
    for lines, label in labels.items():
        out.append(f"{label}:")
        out.extend(f"    {line}" for line in lines)
        out.append("    return row;")
    out.append("}")
    out.append("")


def header_text(rows, prefix):
    upper = prefix.upper()
    extensions = list(dict.fromkeys(e for row in rows for e in row.extension.split("+")))
    out = ["// SPDX-License-Identifier: MIT", "// Made by scripts/decode.py from the decode tables.",
           "#pragma once", "#include <stdint.h>", f"enum {{", f"    {upper}_ILLEGAL,"]
    out += [f"    {upper}_{row.enum}," for row in rows]
    out += [f"    {upper}_ROW_COUNT", "};"]
    out += ["// Extensions in the order of their first row."]
    out += [f"#define {upper}_EXTENSIONS(X) " + " ".join(f"X({e})" for e in extensions)]
    out += [f"typedef struct {prefix}Row {{",
            "    const char *name, *syntax, *extension;",
            f"    uint32_t mask, value;",
            "    uint64_t features; // all of them are needed",
            f"    uint16_t base;     // the row whose translation serves this one",
            "    uint8_t bytes;",
            f"}} {prefix}Row;",
            f"extern const {prefix}Row {prefix.lower()}_rows[{upper}_ROW_COUNT];", ""]
    return "\n".join(out)


def decoder_text(rows, prefix):
    upper = prefix.upper()
    out = ["// SPDX-License-Identifier: MIT", "// Made by scripts/decode.py from the decode tables.",
           f"const {prefix}Row {prefix.lower()}_rows[{upper}_ROW_COUNT] = {{",
           f'    [{upper}_ILLEGAL] = {{"illegal", "", "", 0, 0, 0, 0, 0}},']
    for row in rows:
        base = (row.base or row.name).upper().replace(".", "_")
        features = " | ".join(f"{upper}_FEATURE_{e.upper()}" for e in row.extension.split("+"))
        out.append(f'    [{upper}_{row.enum}] = {{"{row.name}", "{row.syntax}", "{row.extension}", {row.mask:#x}u, '
                   f"{row.value:#x}u, {features}, {upper}_{base}, {row.width // 8}}},")
    out += ["};", ""]
    for width in sorted({row.width for row in rows}):
        emit_decoder(out, [row for row in rows if row.width == width], prefix, width)
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--header")
    parser.add_argument("--decoder")
    parser.add_argument("--prefix", default="Rv")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("tables", nargs="+")
    arguments = parser.parse_args()
    try:
        rows = read_tables(arguments.tables)
    except (OSError, TableError) as error:
        sys.exit(f"decode.py: {error}")
    if arguments.list:
        print("\n".join(row.list_line() for row in rows))
    for path, text in ((arguments.header, header_text), (arguments.decoder, decoder_text)):
        if path:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text(rows, arguments.prefix))


if __name__ == "__main__":
    main()
