# SPDX-License-Identifier: MIT
"""What the test programs of this folder share: running commands under a time limit, building guest programs, counting."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The ways to run a program under kiln: what tells each from the usual. `fast` is the usual one.
SOON = ["--hot=threshold=2"]  # heads become hot at once
WAYS = {
    "fast": [],
    "interp": ["--tier=interp"],
    "none": ["--mode=none"],
    "block": ["--mode=block", "--second-after=200"],
    "sync": ["--mode=hybrid-sync", *SOON, "--second-after=30"],
    "sync-at-once": ["--mode=hybrid-sync", "--hot=threshold=1", "--second-after=0"],  # slow
    "soon": ["--hot=threshold=1", "--second-after=100"],
    "first": ["--hot=threshold=3", "--optimizer=/nonexistent"],
    "strict": ["--mode=hybrid-sync", "--select=net-strict", *SOON, "--second-after=40"],
    "tracetree": ["--mode=hybrid-sync", "--select=tracetree", *SOON, "--second-after=50"],
    "path-alone": ["--mode=hybrid-sync", "--hot=threshold=2,netplus=0", "--second-after=30"],
    "tiny": ["--mode=hybrid-sync", *SOON, "--second-after=60", "--trace-cache=64K"],
    "tiniest": ["--hot=threshold=1", "--second-after=100", "--trace-cache=16K"],
    "stop": ["--mode=hybrid-sync", *SOON, "--second-after=60", "--trace-cache=16K", "--trace-cache-policy=stop"],
    "shared": ["--mode=hybrid-sync", *SOON, "--second-after=30", "--shared-memory"],
    "exact": ["--mode=hybrid-sync", *SOON, "--second-after=30", "--exact"],
    "exact-at-once": ["--mode=hybrid-sync", "--hot=threshold=1", "--second-after=0", "--exact"],  # slow
    "exact-shared": ["--mode=hybrid-sync", *SOON, "--second-after=30", "--exact", "--shared-memory"],
    "no-vectors": ["--mode=hybrid-sync", *SOON, "--second-after=30", "--optimizer-options=no-vectors"],
    "no-passes": ["--mode=hybrid-sync", *SOON, "--second-after=30", "--optimizer-options=no-passes"],
    "slow": ["--hot=threshold=1", "--second-after=100", "--optimizer-delay=15"],
    "old-host": ["--mode=hybrid-sync", *SOON, "--second-after=30", "--no-bmi", "--no-fma", "--no-avx"],
}
TIERS = ("fast", "interp")
# In which of these ways a suite runs in the short form and, by a second entry, in the long one (else in all). Programs that are
# long or change their code all the time are no use in the ways `at-once`, which compile everything that runs twice.
SUITE_WAYS = {
    "insn": (["fast", "interp", "first"], ["fast", "interp", "first", "block", "soon", "sync-at-once", "exact-at-once"]),
    "abi": (["fast", "interp", "soon", "tiniest"], [way for way in WAYS if not way.endswith("at-once")]),
    "traces": (["fast", "interp", "none", "sync", "slow", "path-alone", "tiny", "stop", "shared", "exact-at-once", "exact-shared"],),  # abi/traces_*.c
    "sanitized": (["fast", "soon", "tiniest"],),
    "code": (["fast", "interp", "soon"], ["fast", "interp", "none", "soon", "first", "tiniest"]),
    "kernel": (["fast", "interp", "sync", "tiny", "exact"],),
    "script": (["fast", "interp", "soon"], ["fast", "interp", "none", "soon", "slow", "first", "tiniest", "sync", "shared"]),
    "musl": (["fast", "interp"], ["fast", "interp", "soon", "sync"]),
    "csmith": (["fast", "interp", "sync"], [way for way in WAYS if not way.endswith("at-once")]),
    "debian": (["fast", "interp"], [way for way in WAYS if not way.endswith("at-once")]),
    "runtimes": (["fast", "interp"], ["fast", "interp", "none", "block", "sync", "soon", "slow", "tiny", "tiniest", "exact", "shared"]),
    "flow": ([way for way in WAYS if not way.endswith("at-once")], list(WAYS)),  # in turn, or each program in all
}


def suite_ways(suite, long):
    short, *rest = SUITE_WAYS[suite]
    return (rest[0] if rest else list(WAYS)) if long else short


CLOSING = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)
COMPILERS = {"native": ["gcc", "-march=x86-64-v2"], "riscv64": ["riscv64-linux-gnu-gcc", "-march=rv64gc"]}


class Result:
    """How a command ended. status: exit code, minus the signal that killed it, or 'timeout'."""

    def __init__(self, status, output, errors):
        self.status, self.output, self.errors = status, output, errors

    @property
    def same(self):
        """What must not differ between two ways to run a program."""
        return self.status, self.output

    def describe(self):
        tail = (self.errors or self.output).strip().splitlines()[-3:]
        return f"status {self.status}: " + " / ".join(tail)


def environment():
    """Ours without the variables that would steer kiln or qemu."""
    dropped = ("KILN_", "QEMU_", "MAKE", "MFLAGS")  # what `make check` hands on is not the tests' affair
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)}


def run(command, timeout, stdin=None, cwd=None, extra_env=None):
    """Runs a command in a process group of its own, which is killed when time is up."""
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=cwd,
                               env={**environment(), **(extra_env or {})})
    try:
        output, errors = process.communicate(stdin, timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        status = "timeout"
    return Result(status, output.decode(errors="replace"), errors.decode(errors="replace"))


def closing(text):
    """(passed, failed) of the last closing line, or None."""
    found = CLOSING.findall(text)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def compile_c(source, target, machine, flags, timeout=120):
    """Builds a static program unless it is newer than its source and what that includes from its folder. Returns an error text or ''."""
    included = [source.parent / name for name in re.findall(r'^#include "(.*)"', source.read_text(), re.MULTILINE)]
    if target.exists() and all(target.stat().st_mtime > path.stat().st_mtime for path in (source, *filter(Path.exists, included))):
        return ""
    target.parent.mkdir(parents=True, exist_ok=True)
    done = run([*COMPILERS[machine], "-static", *flags, "-o", target, source, "-lm"], timeout)
    return "" if done.status == 0 else f"cannot build {source.name} for {machine}: {done.describe()}"


def ways(kiln, names=TIERS, options=()):
    """{name: command prefix} of ways to run a riscv64 program under kiln."""
    return {name: [str(kiln), *WAYS[name], *options] for name in names}


# ---- random programs -----------------------------------------------------------------------------------------------------

LEVELS = ["-O0", "-O1", "-O2", "-O3", "-Os"]


class Skipped(Exception):
    """This seed's program is of no use."""


def random_arguments(parser, count):
    """What tests of random programs have in common."""
    parser.add_argument("--kiln", required=True, help="`qemu-riscv64` checks the test itself")
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where the files of failing seeds go")


def ways_of(kiln, names):
    """{way: command prefix}; of qemu there is one."""
    return {"qemu": [kiln]} if "qemu" in kiln else ways(kiln, names)


def run_seed(seed, args, folder, level, check):
    """check(seed, folder) -> [(way, error text or '')]; None for a seed that was passed over."""
    try:
        outcomes = check(seed, folder)
    except Skipped:
        outcomes = None
    except RuntimeError as error:
        outcomes = [("build", str(error))]
    bad = [(way, text) for way, text in outcomes or [] if text]
    for path in folder.glob(f"{seed}.*"):
        if bad and args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, args.keep)
        path.unlink()
    for way, text in bad:
        print(f"FAIL seed {seed} ({level(seed)}, {way}): {text}", flush=True)
    return outcomes


def run_random_programs(args, level, check):
    """The programs of as many seeds as asked for; prints what ran, and the closing line. Returns the exit code."""
    counts, done, skipped, failed, seed = {}, 0, 0, 0, args.seed
    with tempfile.TemporaryDirectory(prefix="kiln-random-") as name, ThreadPoolExecutor(args.jobs) as pool:
        while done < args.count and skipped <= 3 * args.count + 50:
            batch = range(seed, seed + min(50, args.count - done))
            seed = batch.stop
            for outcomes in pool.map(lambda s: run_seed(s, args, Path(name), level, check), batch):
                done += outcomes is not None
                skipped += outcomes is None
                for way, text in outcomes or []:
                    counts[way] = counts.get(way, 0) + (not text)
                    failed += bool(text)
    if done < args.count:
        print(f"FAIL {skipped} seeds passed over: the generator or the compiler does not work")
        failed += 1
    print(f"{done} programs, {skipped} seeds passed over; " + ", ".join(f"{way} {n} ok" for way, n in counts.items() if n))
    print(f"{sum(counts.values())} passed, {failed} failed")
    return 1 if failed else 0
