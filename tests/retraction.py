#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Assumptions that end, at each moment that matters, and that it was that moment.

    tests/retraction.py --kiln build/kiln --build build [--only TEXT]

The programs abi/traces_retract_*.c end an assumption at a chosen moment and check what they see from then on. Here each moment runs by
itself, and the report (--report) has to show that it was hit:

    compiling   the answer that was waited for came too late (stale). The optimizer begins when the assumption has ended, no sooner
    unused      the second form was taken out of use (retracted) and had not run once
    inside      it was taken out of use, had run, and was left at a poll
    signal      the same

and in each but one that the loop got another second form afterwards, and ran in it. Whether an answer comes in time is the machine's affair: where the
moment was missed, the program waits for longer and does it again. What a program finds wrong is a failure at once. Of the moment `faulting`, a fault
in the very moment, there is no proof: the program tries several."""
import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import support

HELD = "#!/bin/sh\nwhile [ ! -e {file} ]; do sleep 0.01; done\nexec {real} \"$@\"\n"
OPTIONS = ["--hot=threshold=2", "--second-after=1000"]
PATIENCE_MS = (60, 400, 2000)
# program: (symbol of its loop, moments, ways to end the assumption)
PROGRAMS = {
    "traces_retract_private": ("loop", ["compiling", "unused", "inside"], ["mapping", "segment", "thread", "process", "kernel"]),
    "traces_retract_exact": ("run_loop", ["compiling", "unused", "inside", "signal", "faulting"], ["load", "store", "atomic", "bus"]),
}


def real(items):
    return items[:-1]  # lists of the report end with null


def traces_of(report, symbol):
    """The report's traces whose head lies in that function, oldest first."""
    page = report.read_text(encoding="latin-1")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    return sorted((t for t in real(data["traces"]) if re.match(rf"{symbol}(\+|$)", t["at"])), key=lambda t: t["id"])


def polls(trace):
    return sum(e["taken"] for e in real(trace["exits"]) if e["kind"] == "poll")


def missed(moment, traces):
    """What the report does not show; '' if the moment was hit."""
    seconds = [t for t in traces if t["form"] == 2]
    retracted = [t for t in seconds if t.get("whyEnded") == "retracted"]
    if moment == "compiling":
        hit = not retracted and any(t["form"] == 1 and t.get("refused") == "stale" for t in traces)
    elif moment == "unused":
        hit = len(retracted) == 1 and not retracted[0]["insns"]
    else:
        hit = len(retracted) == 1 and retracted[0]["insns"] and polls(retracted[0])
    if not hit:
        return "the moment was missed"
    again = [t for t in seconds if not t.get("whyEnded") and t["insns"] and all(t["id"] > r["id"] for r in retracted)]
    return "" if again else "there is no second form afterwards"


class Cases:
    def __init__(self, args, folder):
        self.args, self.folder, self.passed, self.failed, self.repeated = args, folder, 0, 0, 0

    def run(self, program, symbol, moment, way):
        file, report, optimizer = (self.folder / name for name in ("ended", "report.html", "kiln-opt"))
        options = [*OPTIONS, "--report", report]
        if moment == "compiling":
            optimizer.write_text(HELD.format(file=file, real=(self.args.kiln.parent / "kiln-opt").resolve()))
            optimizer.chmod(0o755)
            options.append(f"--optimizer={optimizer}")
        for patience in PATIENCE_MS:
            for old in (file, report):
                old.unlink(missing_ok=True)
            done = support.run([self.args.kiln, *options, program, moment, way, patience, file], 60)
            if done.status != 0 or "FAIL" in done.output or (moment != "faulting" and not file.exists()):
                return done.describe()
            if moment == "faulting":
                return ""
            traces = traces_of(report, symbol)
            error = missed(moment, traces)
            if not error:
                return ""
            self.repeated += 1
        seen = [(t["form"], t["insns"], t.get("refused"), t.get("whyEnded"), polls(t)) for t in traces]
        return f"{error}: form, instructions, refused, ended, polls: {seen}"

    def case(self, program, symbol, moment, way):
        error = self.run(program, symbol, moment, way)
        if error:
            self.failed += 1
            print(f"FAIL {program.stem} {moment} {way}: {error}", flush=True)
        else:
            self.passed += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    args = parser.parse_args()
    args.kiln = args.kiln.absolute()
    with tempfile.TemporaryDirectory(prefix="kiln-retraction-") as name:
        cases = Cases(args, Path(name).resolve())
        for source, (symbol, moments, ways) in PROGRAMS.items():
            program = args.build / f"test-programs/retraction/{source}"
            error = support.compile_c(support.ROOT / f"tests/abi/{source}.c", program, "riscv64", ["-O1", "-pthread"])
            if error:
                cases.failed += 1
                print(f"FAIL {error}")
                continue
            for moment in moments:
                for way in ways:
                    if args.only in f"{source} {moment} {way}":
                        cases.case(program, symbol, moment, way)
    print(f"{cases.repeated} times a moment was missed and tried again")
    print(f"{cases.passed} passed, {cases.failed} failed")
    return 1 if cases.failed or not cases.passed else 0


if __name__ == "__main__":
    sys.exit(main())
