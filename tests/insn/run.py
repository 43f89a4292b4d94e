# SPDX-License-Identifier: MIT
"""Tests every instruction of the decode tables: generated units, compared case by case with qemu-riscv64, and self-checking
assembly.

    run.py --kiln PATH [--tier interp|fast]... [--quick | --long [N]] [--seed N] [--kiln-args "..."]
    run.py --kiln PATH --only insn --seed N --verbose UNIT.STATE       one case in full
    run.py --self                                                      qemu in kiln's place: proves the harness

Exits with 0 only if every row has a case and all cases agree.
"""

import argparse
import collections
import os
import pathlib
import shlex
import shutil
import sys
import time

import faults
import generate
from build import HERE, QEMU, Reference, alone, build_asm, build_units, cases_of, execute
from rows import load_rows
from show import show_case, shrink_case

TIER_ARGS = {"interp": ["--tier=interp"], "fast": ["--tier=fast"]}
NOT_IN_QEMU = ("beyond",)  # the self-checking program that version 7.2 does not pass
KINDS = {"insn": generate.make_program, "faults": faults.make_program}


class Totals:
    """Passed and failed by tier and row (or self-checking test), and how to see the first case that failed (nothing for one
    that was not run)."""

    def __init__(self):
        self.rows = collections.defaultdict(lambda: [0, 0])
        self.first = {}
        self.troubles = []
        self.cases = 0

    def add(self, tier, name, good, how):
        self.rows[tier, name][0 if good else 1] += 1
        if not good and how:
            self.first.setdefault((tier, name), how)


def compare(command, reference, tier, totals, timeout, label, reproduce):
    """Runs the program once and counts by row."""
    lines, trouble = execute(command, timeout)
    if trouble:
        lines, trouble = execute([*command, "-f"], timeout)
    found = cases_of(lines)
    for case, (name, expected) in reference.cases.items():
        how = f"{reproduce} --tier {tier} --verbose {case}" if case in found or not trouble else ""
        totals.add(tier, name, found.get(case) == (name, expected), how)
    if trouble:
        missing = [f"{name} {case}" for case, (name, _) in reference.cases.items() if case not in found]
        totals.troubles.append(f"{label} {tier}: {trouble}\n    first case that did not finish: {(missing or ['none'])[0]}")


def run_asm(arguments, commands, totals):
    """The self-checking programs."""
    for source in sorted((HERE / "asm").glob("*.S")):
        if source.stem in ("head", "tail") or arguments.self and source.stem in NOT_IN_QEMU:
            continue
        with alone(arguments.build):
            executable = build_asm(source, arguments.build / "asm")
        for tier, command in commands.items():
            lines, trouble = execute([*command, executable], 60)
            for line in lines:
                if line.startswith(("ok ", "FAIL ")):
                    verdict, name = line.split(" ", 1)
                    totals.cases += 1
                    totals.add(tier, f"{source.stem}: {name.split(' -- ')[0]}", verdict == "ok", line)
            if trouble:
                totals.troubles.append(f"asm/{source.name} {tier}: {trouble}")


def run_units(arguments, rows, commands, totals, seed, kind):
    """One generated program in all tiers; returns the rows without a case."""
    program, missing = KINDS[kind](rows, seed, arguments.scale)
    label = f"{kind} seed {seed}"
    reproduce = f"--only {kind} --seed {seed} --scale {arguments.scale:g}"
    directory = arguments.build / f"{kind}-{seed}-{arguments.scale:g}"
    timeout = 600 if arguments.long else 150
    emulate = ["-e"] if arguments.self else []
    with alone(arguments.build):
        executable = build_units(program, directory)
        reference = Reference(executable, timeout)
    totals.cases += len(reference.cases)
    for tier, command in commands.items():
        compare([*command, executable, *emulate], reference, tier, totals, timeout, label, reproduce)
    if arguments.long:
        shutil.rmtree(arguments.build)
    return missing


def show(arguments, rows, commands):
    kind, case = arguments.only, arguments.verbose
    program, _ = KINDS[kind](rows, arguments.seed, arguments.scale)
    directory = arguments.build / f"{kind}-{arguments.seed}-{arguments.scale:g}-case"
    executable = build_units(program, directory)
    emulate = ["-e"] if arguments.self else []
    full = {"qemu": [*QEMU, executable, "-e"],
            **{tier: [*command, executable, *emulate] for tier, command in commands.items()}}
    if arguments.shrink:
        case = shrink_case(program, directory, case, full, build_units)
    show_case(program, directory, case, full)
    return 0


def simplest_first(failure):
    name = failure[0]
    return (":" not in name, name in ("sequence", "loop", "call"), name.startswith(("fault.", "walk")), *failure)


def report(arguments, rows, totals, missing, seconds, commands):
    bad = sorted(((name, tier) for (tier, name), counts in totals.rows.items() if counts[1]), key=simplest_first)
    wrong = [(name, tier) for name, tier in bad if (tier, name) in totals.first]
    for name, tier in wrong[:arguments.show]:
        passed, failed = totals.rows[tier, name]
        print(f"FAIL {name} ({tier}): {failed} of {passed + failed} cases\n     {totals.first[tier, name]}")
    if len(wrong) > arguments.show:
        print("FAIL also: " + " ".join(f"{name}({tier})" for name, tier in wrong[arguments.show:]))
    if len(wrong) < len(bad):
        print(f"{len(bad) - len(wrong)} rows have cases that were not run")
    for trouble in totals.troubles:
        print(f"FAIL {trouble}")
    for name in sorted(missing):
        print(f"FAIL row without a case: {name}")
    failed = len(bad) + len(missing)
    print(f"{len(rows)} rows, {totals.cases} cases, tiers: {' '.join(commands)}, {seconds:.0f} s")
    print(f"{len(totals.rows) - len(bad)} passed, {failed + len(totals.troubles)} failed")
    return 1 if failed or totals.troubles or not totals.cases else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", help="the translator")
    parser.add_argument("--tier", action="append", choices=list(TIER_ARGS), help="default: all")
    parser.add_argument("--kiln-args", default="", help="further options for kiln")
    parser.add_argument("--self", action="store_true", help="qemu in kiln's place")
    parser.add_argument("--quick", action="store_true", help="one program of each kind (the default)")
    parser.add_argument("--long", type=int, nargs="?", const=10, default=0, metavar="N", help="N large programs of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, help="size of a program; default 1, with --long 4")
    parser.add_argument("--only", choices=[*KINDS, "asm"], help="one kind of program")
    parser.add_argument("--verbose", metavar="UNIT.STATE", help="show one case (with --only insn or faults)")
    parser.add_argument("--shrink", action="store_true", help="with --verbose: leave out what the difference does not need")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent.parent / "build" / "insn")
    parser.add_argument("--show", type=int, default=12, metavar="N", help="how many failures to print in full")
    arguments = parser.parse_args()
    if not arguments.kiln and not arguments.self:
        parser.error("--kiln or --self")
    if arguments.verbose and arguments.only not in KINDS:
        parser.error("--verbose needs --only insn or --only faults")
    if arguments.scale is None:
        arguments.scale = 4 if arguments.long else 1
    if arguments.long:
        arguments.build /= f"long-{os.getpid()}"  # removed as it goes
    return arguments


def runners(arguments):
    """name of the tier: command."""
    if arguments.self:
        return {"qemu": QEMU}
    tiers = arguments.tier or list(TIER_ARGS)
    return {tier: [arguments.kiln, *TIER_ARGS[tier], *shlex.split(arguments.kiln_args)] for tier in tiers}


def main():
    arguments = parse_arguments()
    rows, commands, totals = load_rows(), runners(arguments), Totals()
    if arguments.verbose:
        return show(arguments, rows, commands)
    started, missing = time.time(), set()
    if arguments.only in (None, "asm"):
        run_asm(arguments, commands, totals)
    for seed in range(arguments.seed, arguments.seed + (arguments.long or 1)):
        for kind in KINDS:
            if arguments.only in (None, kind):
                missing |= set(run_units(arguments, rows, commands, totals, seed, kind))
    return report(arguments, rows, totals, missing, time.time() - started, commands)


if __name__ == "__main__":
    sys.exit(main())
