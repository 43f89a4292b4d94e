#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Language runtimes of Debian's riscv64 port (scripts/fetch-runtimes) under kiln: threads, signals, faults, compilers that make code
while it runs, child processes.

    tests/runtimes/run.py --kiln PATH [--times 3] [--tier WAY] [--mode MODE] [--way kiln|qemu] [--summary FILE] [--list] [NAME...]

A case is a program RUNTIME/NAME.* and RUNTIME/NAME.out, what it must print. Each case runs --times times, as races do not
lose each time. Programs say more of themselves in comments `kiln: WORD...`:

    timeout=SECONDS   its limit (120)
    each=A,B          is several cases: it runs with each of these as its argument
    anew              the compiler makes it anew, from a text that it has not seen, for each run (else once)
    interp            is small enough for the interpreter, and for all ways but the usual one

--summary writes how often each case ran, how often it failed and what it took (`make soak`: 100 times each). --seconds ends a run
early; the summary then shows the smaller numbers."""
import argparse
import os
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402
from support import ROOT  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kiln"


class Runtime:
    """How programs of one language are made and run: {root}, {source}, {folder}, {name} are replaced; commands are the guest's."""

    def __init__(self, suffix, run, make=None, comment="//", **environment):
        self.suffix, self.run, self.make, self.comment, self.environment = suffix, run.split(), make and make.split(), comment, environment


JDK = "{root}/usr/lib/jvm/java-21-openjdk-riscv64/bin"
RUNTIMES = {
    "erlang": Runtime(".erl", "{root}/usr/bin/escript {source}"),
    "go": Runtime(".go", "{folder}/{name}", "{root}/usr/lib/go-1.24/bin/go build -o {folder}/{name} {source}",
                  GOROOT="/usr/lib/go-1.24", GOCACHE=str(CACHE / "go-build"), CGO_ENABLED="0", GOTOOLCHAIN="local", GO111MODULE="off",
                  GOFLAGS="-p=2"),
    "java": Runtime(".java", f"{JDK}/java -cp {{folder}} {{name}}", f"{JDK}/javac -d {{folder}} {{source}}"),
    "luajit": Runtime(".lua", "{root}/usr/bin/luajit {source}"),
    "node": Runtime(".js", "{root}/usr/bin/node {source}"),
    # The limit is for stacks, in words; the default is a gigabyte, which a test that fills it need not touch.
    "ocaml": Runtime(".ml", "{folder}/{name}", "{root}/usr/bin/ocamlopt.opt -I +unix -I +threads unix.cmxa threads.cmxa {source} -o {folder}/{name}",
                     comment="(**) let _ =", OCAMLRUNPARAM="l=256k"),
    "python": Runtime(".py", "{root}/usr/bin/python3 -W ignore {source}"),
    "ruby": Runtime(".rb", "{root}/usr/bin/ruby {source}"),
    "rust": Runtime(".rs", "{folder}/{name}", "{root}/usr/bin/rustc -O -C linker=gcc -o {folder}/{name} {source}"),
    "sbcl": Runtime(".lisp", "{root}/usr/bin/sbcl --noinform --no-sysinit --no-userinit --disable-debugger --load {source}"),
}


class Case:
    def __init__(self, runtime, source, argument=None):
        self.runtime, self.source, self.argument = runtime, source, argument
        self.name = f"{runtime}/{source.stem}" + (f"/{argument}" if argument else "")
        self.words = words_of(source)
        self.timeout = int(next((w.partition("=")[2] for w in self.words if w.startswith("timeout=")), 120))
        self.expected = source.with_suffix(".out").read_text()
        self.lock, self.made = threading.Lock(), None
        self.seconds, self.failures = [], []


def words_of(source):
    return " ".join(re.findall(r"^\W{1,3} kiln: ([^*\n]*)", source.read_text(), re.MULTILINE)).split()


def all_cases():
    for runtime, how in sorted(RUNTIMES.items()):
        for source in sorted((HERE / runtime).glob(f"*{how.suffix}")):
            each = next((w.partition("=")[2].split(",") for w in words_of(source) if w.startswith("each=")), [None])
            yield from (Case(runtime, source, argument) for argument in each)


class Runner:
    def __init__(self, args, scratch):
        self.args, self.scratch, self.roots, self.lock, self.count = args, Path(scratch), {}, threading.Lock(), 0

    def root(self, runtime):
        """(path, '') or (None, error)."""
        with self.lock:
            if runtime not in self.roots:
                done = support.run([ROOT / "scripts/fetch-runtimes", runtime], 1800)
                failed = f"its packages cannot be fetched: {done.describe()}"
                self.roots[runtime] = (Path(done.output.strip()), "") if done.status == 0 else (None, failed)
            return self.roots[runtime]

    def folder(self):
        with self.lock:
            self.count += 1
            folder = self.scratch / str(self.count)
        folder.mkdir()
        return folder

    def guest(self, case, tier, command, root, source, folder, work, timeout):
        """Runs a command of the guest in the folder `work`."""
        places = {"root": root, "source": source, "folder": folder, "name": case.source.stem}
        words = [word.format(**places) for word in command]
        prefix = ["qemu-riscv64"] if self.args.way == "qemu" else support.ways(self.args.kiln, [tier], self.args.mode)[tier]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(work), "TMPDIR": str(work), "LC_ALL": "C.UTF-8", "TZ": "UTC",
                       **RUNTIMES[case.runtime].environment}
        return support.run([*prefix, "-L", root, *words], timeout, cwd=work, extra_env=environment)

    def make(self, case, root, anew):
        """(folder of the program, '') or (None, error)."""
        how, folder = RUNTIMES[case.runtime], self.folder()
        source = folder / case.source.name
        text = case.source.read_text()
        source.write_text(f"{text}\n{how.comment} {self.count}\n" if anew else text)
        done = self.guest(case, "fast", how.make, root, source, folder, folder, 300)  # compilers are too much for the interpreter
        return (folder, "") if done.status == 0 else (None, f"compiler: {done.describe()}")

    def program(self, case, root):
        if not RUNTIMES[case.runtime].make:
            return None, ""
        if "anew" in case.words:
            return self.make(case, root, True)
        with case.lock:
            case.made = case.made or self.make(case, root, False)
            return case.made

    def once(self, case):
        """'' or what is wrong."""
        root, error = self.root(case.runtime)
        if error:
            return error
        folder, error = self.program(case, root)
        if error:
            return error
        command = RUNTIMES[case.runtime].run + ([case.argument] if case.argument else [])
        with tempfile.TemporaryDirectory(dir=self.scratch, ignore_cleanup_errors=True) as work:
            start = time.monotonic()
            done = self.guest(case, self.args.tier, command, root, case.source, folder, work, case.timeout * self.args.patience)
            case.seconds.append(time.monotonic() - start)
        if done.status == 0 and done.output == case.expected:
            return ""
        for number, (got, wanted) in enumerate(zip(done.output.splitlines(), case.expected.splitlines())):
            if got != wanted:
                return f"line {number + 1}: {got!r}, expected {wanted!r}; {done.describe()}"
        return f"{len(done.output.splitlines())} of {len(case.expected.splitlines())} lines; {done.describe()}"

    def repetition(self, case):
        if self.args.seconds and time.monotonic() > self.args.end:
            return None
        try:
            wrong = self.once(case)
        except Exception as error:  # what goes wrong here must not end the run
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            case.failures.append(wrong)
            print(f"FAIL {case.name}: {wrong}", flush=True)
        return not wrong


def summary(args, cases, passed, failed):
    lines = ["# Language runtimes, many times", "",
             "Written by `make soak` (`tests/runtimes/run.py --summary`): programs of `tests/runtimes` on Debian trixie's riscv64 packages under",
             f"kiln at {args.revision}, {args.jobs} at a time on {os.cpu_count()} processors. **{passed} runs without a failure, {failed} with one.**",
             "", "| case | runs | failures | median seconds | longest |", "|---|---:|---:|---:|---:|"]
    for case in cases:
        middle, most = (statistics.median(case.seconds), max(case.seconds)) if case.seconds else (0, 0)
        lines.append(f"| {case.name} | {case.passed + len(case.failures)} | {len(case.failures)} | {middle:.1f} | {most:.1f} |")
    failures = [f"- {case.name}: {text}" for case in cases for text in case.failures]
    if failures:
        lines += ["", "What failed:", "", *failures]
    args.summary.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, default=ROOT / "build/kiln")
    parser.add_argument("--tier", choices=support.WAYS, default="fast", help="or another way of support.WAYS")
    parser.add_argument("--mode", type=lambda mode: [f"--mode={mode}"], default=[], help="of kiln; its default else")
    parser.add_argument("--way", choices=("kiln", "qemu"), default="kiln")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seconds", type=int, help="start no run after this time")
    parser.add_argument("--summary", type=Path)
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases, or runtimes")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and Python's own tests would inherit that
    args.kiln = args.kiln.absolute()
    args.patience = 1 if args.tier == "fast" else 10
    args.end = time.monotonic() + (args.seconds or 0)
    args.revision = support.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], 20).output.strip() or "an unknown revision"
    cases = [case for case in all_cases() if not args.names or any((case.name + "/").startswith(name + "/") for name in args.names)]
    if args.tier != "fast":
        cases = [case for case in cases if "interp" in case.words]
    if args.list:
        print(*(case.name for case in cases), sep="\n")
        return 0
    for case in cases:
        case.passed = 0
    with tempfile.TemporaryDirectory(prefix="kiln-runtimes-", ignore_cleanup_errors=True) as scratch, ThreadPoolExecutor(args.jobs) as pool:
        runner = Runner(args, scratch)
        rounds = [case for _ in range(args.times) for case in cases]
        for case, good in zip(rounds, pool.map(runner.repetition, rounds)):
            case.passed += bool(good)
    passed, failed = sum(case.passed for case in cases), sum(len(case.failures) for case in cases)
    if args.summary:
        summary(args, cases, passed, failed)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
