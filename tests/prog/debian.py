#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs of Debian's riscv64 port, dynamically linked, as they come out of their packages.

    tests/prog/debian.py --kiln PATH [--quick|--long] [--tier WAY] [--way kiln|qemu|native] [--list] [NAME...]

Cases stand in tests/prog/debian/*.cases, one after the other:

    === NAME [WORD...]
    a script for bash
    ---
    what it prints (empty lines at the end do not count)

Words: `long` leaves the case to --long; `timeout=SECONDS` limits its time (60); `interp` runs it in the interpreter too, which
is slow; `qemu` or `native` in place of an expected text: what qemu-riscv64 or this machine's own programs print.

The guest's bash runs each script in an empty directory of its own, with -L and PATH=/usr/bin:/bin, so every program the script
starts goes through kiln's execve. Under `--way qemu`, which shows that a case itself is right, the host's bash runs the
script and finds one small script for each guest program, since qemu runs no guest program from another one."""
import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402
from support import ROOT  # noqa: E402


class Case:
    def __init__(self, source, header):
        self.source, (self.name, *self.words) = source, header.split()
        self.script, self.expected = "", None
        self.timeout = next((int(w.partition("=")[2]) for w in self.words if w.startswith("timeout=")), 60)

    @property
    def reference(self):
        return next((word for word in self.words if word in ("qemu", "native")), None)


def read_cases(source):
    cases = []
    for line in source.read_text().splitlines(keepends=True):
        if line.startswith("=== "):
            cases.append(Case(source, line[4:]))
        elif not cases:
            continue  # the file's own comment
        elif line == "---\n":
            cases[-1].expected = ""
        elif cases[-1].expected is None:
            cases[-1].script += line
        else:
            cases[-1].expected += line
    for case in cases:
        case.expected = (case.expected or "").rstrip("\n")
    return cases


def environment(folder, path, sysroot):
    return {"PATH": path, "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC", "CASES": str(HERE / "debian"),
            "GIT_CONFIG_NOSYSTEM": "1", "SYSROOT": str(sysroot)}


def wrappers(folder, sysroot):
    """For qemu: a folder with a script for each program of the guest."""
    folder.mkdir()
    for program in sorted((sysroot / "usr/bin").iterdir()):
        script = folder / program.name
        script.write_text(f'#!/bin/bash\nexec qemu-riscv64 -L {sysroot} -0 {program.name} {program} "$@"\n')
        script.chmod(0o755)
    return folder


def command(case, way, args, sysroot):
    if way == "native":
        return ["/bin/bash", "-c", case.script], "/usr/bin:/bin"
    if way == "qemu":
        return ["/bin/bash", "-c", case.script], f"{args.wrappers}:/usr/bin:/bin"
    return [*support.ways(args.kiln, [args.tier])[args.tier], "-L", sysroot, sysroot / "usr/bin/bash", "-c", case.script], "/usr/bin:/bin"


def run(case, way, args, sysroot):
    argv, path = command(case, way, args, sysroot)
    with tempfile.TemporaryDirectory(prefix="kiln-debian-") as folder:
        return support.run(argv, case.timeout * args.patience, cwd=folder, extra_env=environment(folder, path, sysroot))


def difference(got, wanted):
    for number, (a, b) in enumerate(zip(got.splitlines(), wanted.splitlines())):
        if a != b:
            return f"line {number + 1}: {a!r}, expected {b!r}"
    return f"{len(got.splitlines())} lines, expected {len(wanted.splitlines())}"


def check(case, args, sysroot):
    """'' or what is wrong."""
    result = run(case, args.way, args, sysroot)
    wanted = case.expected
    if case.reference:
        reference = run(case, case.reference, args, sysroot)
        if reference.status != 0:
            return f"{case.reference} itself fails: {reference.describe()}"
        wanted = reference.output.rstrip("\n")
    if result.status != 0:
        return f"{result.describe()}"
    got = result.output.rstrip("\n")
    return "" if got == wanted else f"{difference(got, wanted)}; {result.describe()}"


def chosen(args):
    cases = [case for source in sorted((HERE / "debian").glob("*.cases")) for case in read_cases(source)]
    if args.names:
        unknown = set(args.names) - {case.name for case in cases}
        if unknown:
            sys.exit(f"no such case: {', '.join(sorted(unknown))}")
        return [case for case in cases if case.name in args.names]
    if not args.long:
        cases = [case for case in cases if "long" not in case.words]
    return [case for case in cases if "interp" in case.words] if args.tier == "interp" and not args.long else cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, default=ROOT / "build/kiln")
    parser.add_argument("--tier", choices=support.WAYS, default="fast", help="or another way of support.WAYS")
    parser.add_argument("--way", choices=("kiln", "qemu", "native"), default="kiln")
    parser.add_argument("--jobs", type=int, default=2)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="the default")
    size.add_argument("--long", action="store_true")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    parser.add_argument("--show", action="store_true", help="print what each case prints")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    args.kiln = args.kiln.absolute()
    args.patience = {"fast": 1, "none": 1, "interp": 20}.get(args.tier, 10)
    cases = chosen(args)
    if args.list:
        print(*(f"{case.name} ({case.source.name})" for case in cases), sep="\n")
        return 0
    fetched = support.run([ROOT / "scripts/fetch-debian"], 1200)
    if fetched.status != 0:
        print(f"FAIL debian: the packages cannot be fetched: {fetched.describe()}\n0 passed, 1 failed")
        return 1
    sysroot, passed = Path(fetched.output.strip()), 0
    with tempfile.TemporaryDirectory(prefix="kiln-debian-") as scratch, ThreadPoolExecutor(args.jobs) as pool:
        args.wrappers = wrappers(Path(scratch) / "qemu", sysroot)
        if args.show:
            for case in cases:
                print(f"=== {case.name}", run(case, args.way, args, sysroot).output, sep="\n", end="")
            return 0
        for case, wrong in zip(cases, pool.map(lambda case: check(case, args, sysroot), cases)):
            passed += not wrong
            if wrong:
                print(f"FAIL {case.name}: {wrong}", flush=True)
    print(f"{passed} passed, {len(cases) - passed} failed")
    return 0 if passed == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
