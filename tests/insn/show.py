# SPDX-License-Identifier: MIT
"""Shows one case: its code, what differs between the runs, and the whole input."""

import re
import subprocess

from build import execute
from rows import load_rows


def disassemble(program, index, directory):
    start, end = program.place[index]
    blob = directory / "case.bin"
    blob.write_bytes(bytes(program.code[start:min(end, start + 4096)]))
    text = subprocess.run(["riscv64-linux-gnu-objdump", "-b", "binary", "-m", "riscv:rv64", "-M", "no-aliases", "-D", blob],
                          capture_output=True, text=True).stdout
    return [named(line) for line in text.splitlines() if line.startswith(" ") and "\t" in line]


NOP = {4: b"\x13\0\0\0", 2: b"\x01\0"}


def named(line):
    """objdump's line; what it does not know by our own row."""
    match = re.search(r"\.[24]byte\t(0x[0-9a-f]+)", line)
    for row in load_rows() if match else ():
        word = int(match[1], 16)
        if word & row.mask == row.value and (word & 3 == 3) == (row.size == 4):
            return f"{line}  {row.name} d={word >> 7 & 31} s1={word >> 15 & 31} s2={word >> 20 & 31}"
    return line


def show_case(program, directory, case, commands):
    unit, _ = case.split(".")
    print(f"case {case}: anchor x{program.descriptors[int(unit)][6]}")
    print("\n".join(disassemble(program, int(unit), directory)))
    show_table(run_case(case, commands, print))


def run_case(case, commands, say=None, timeout=20):
    """One table of results for each command; none where it did not come to its end, unless somebody is told."""
    tables = {}
    for name, command in commands.items():
        lines, trouble = execute([*command, "-v", *case.split(".")], timeout)
        if trouble and say:
            say(f"{name}: {trouble}")
        elif trouble:
            lines = []
            if not tables:
                return {name: {}}
        tables[name] = keyed(line.split(" ") for line in lines if len(line.split(" ")) == 3)
    return tables


def shrink_case(program, directory, case, commands, build):
    """Puts a nop in the place of every instruction that the difference does not need. `build` makes the executable anew.

    The program becomes one of a single unit; where the difference needs the others, it is gone.
    """
    program.keep_only(int(case.split(".")[0]))
    case = f"0.{case.split('.')[1]}"
    build(program, directory)
    start, end = program.place[0]
    signals = sum(which == "number" for _, which in next(iter(run_case(case, commands).values())))
    place = start + 4
    while place < end - 12:
        size = 4 if program.code[place] & 3 == 3 else 2
        old = program.code[place:place + size]
        program.code[place:place + size] = NOP[size]
        build(program, directory)
        tables = list(run_case(case, commands, timeout=2).values())
        differs = any(table != tables[0] for table in tables[1:])
        if not differs or sum(which == "number" for _, which in tables[0]) != signals:
            program.code[place:place + size] = old
        place += size
    build(program, directory)
    return case


def keyed(lines):
    """(what, which) -> value; signals are numbered."""
    table, signal = {}, 0
    for what, which, value in lines:
        if (what, which) == ("signal", "number"):
            signal += 1
        table[f"signal{signal}" if what == "signal" else what, which] = value
    return table


def worth_showing(what, which, before, values):
    if what.startswith("signal") and ("-" in values or len(set(values)) == 1):
        return which in ("number", "code", "address", "pc")
    if len(set(values)) > 1:
        return True
    return what == "out" and values[0] != before


def show_table(tables):
    inputs = {which: value for (what, which), value in next(iter(tables.values())).items() if what == "in"}
    print(f"{'':14}{'input':18}" + "".join(f"{name:18}" for name in tables))
    for what, which in dict.fromkeys(key for table in tables.values() for key in table):
        values = [table.get((what, which), "-") for table in tables.values()]
        before = inputs.get(which, "")
        if what != "in" and worth_showing(what, which, before, values):
            mark = "  <--" if len(set(values)) > 1 else ""
            print(f"{what + ' ' + which:14}{before:18}" + "".join(f"{value:18}" for value in values) + mark)
    print("input:", " ".join(f"{which}={value}" for which, value in inputs.items() if not which.startswith("mem")))
