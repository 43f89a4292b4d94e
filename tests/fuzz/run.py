#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the libFuzzer targets of this folder with clang, AddressSanitizer and UBSan, and runs each for a while.

    tests/fuzz/run.py [--seconds 20] [--build build-fuzz] [--jobs 2] [TARGET...]

The seeds are made anew each time: small ELF files, random instruction words of every row of the decode tables, the KIR of the unit
tests. What a run finds new stays in BUILD/corpus and is where the next one starts. A crash prints the input's path and its bytes
(BUILD/tests/fuzz/TARGET FILE runs it again). Closes with `N passed, N failed`, one a target."""
import argparse
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
TABLES = [ROOT / "src/guest/riscv64" / name for name in ("insn32.decode", "insn16.decode")]
MAX_LENGTH = {"fuzz_elf": 8192, "fuzz_kir": 4096, "fuzz_riscv64": 520}
RISCV64_HEADER = 8   # bytes of settings in fuzz_riscv64.c
SHOWN_BYTES = 1024


# ---- seeds ---------------------------------------------------------------------------------------------------------------

def seeds_riscv64(rng):
    listed = subprocess.run([sys.executable, ROOT / "scripts/decode.py", "--list", *TABLES], check=True, capture_output=True, text=True)
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    rows = [(int(mask, 0), int(value, 0), int(size)) for _, mask, value, size, *_ in rows]

    def word(row):
        mask, value, size = row
        return (rng.getrandbits(8 * size) & ~mask | value).to_bytes(size, "little")

    def settings():
        roomy = rng.random() < 0.8  # most with all the room there is
        return bytes(0 if roomy and place in (5, 6) else rng.getrandbits(8) for place in range(RISCV64_HEADER))

    for row in rows:
        yield settings() + word(row)
        yield settings() + b"".join(word(row) for _ in range(8))
    for _ in range(300):
        yield settings() + b"".join(word(rng.choice(rows)) for _ in range(rng.randint(2, 64)))


def seeds_kir(rng):
    for file in sorted((ROOT / "tests/unit/ir").glob("*.kir")):
        for text in re.split(r"^===.*\n", file.read_text(), flags=re.MULTILINE):
            data = text.encode()
            yield b"T" + data
            for count in (0, 1, 4):
                edits = b"".join(rng.randrange(600).to_bytes(2, "little") + rng.randbytes(1) for _ in range(count))
                yield b"M" + bytes([count]) + edits + data


def seeds_elf(rng):
    source = "void _start(void) { for (;;); } int data = 1; int zero[5000];"
    kinds = {"static": ["-static"], "static-pie": ["-static-pie"], "shared": ["-shared", "-fPIC"], "object": ["-c"],
             "dynamic": ["-pie", "-Wl,--dynamic-linker=/lib/ld.so"], "stack": ["-static", "-Wl,-z,execstack"]}
    with tempfile.TemporaryDirectory() as folder:
        for compiler, (kind, flags) in itertools.product(("riscv64-linux-gnu-gcc", "gcc"), kinds.items()):
            made = Path(folder, f"{compiler}-{kind}")
            command = [compiler, "-x", "c", "-", "-nostdlib", "-Os", "-s", "-Wl,-z,noseparate-code", "-Wl,--build-id=none", *flags]
            if subprocess.run([*command, "-o", made], input=source, text=True, capture_output=True).returncode == 0:
                data = made.read_bytes()
                yield data
                yield data[:rng.randrange(len(data))]
    yield Path(sys.executable).read_bytes()[:4096]


SEEDS = {"fuzz_elf": seeds_elf, "fuzz_kir": seeds_kir, "fuzz_riscv64": seeds_riscv64}


def write_seeds(target, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    count = 0
    for data in SEEDS[target](random.Random(1)):
        (folder / f"{count:05}").write_bytes(data[:MAX_LENGTH[target]])
        count += 1
    return count


# ---- building and running ------------------------------------------------------------------------------------------------

def build(folder, jobs):
    if not (folder / "build.ninja").exists():
        subprocess.run(["meson", "setup", folder, "-Dfuzz=true", "-Ddebug_checks=true", "-Db_sanitize=address,undefined",
                        "-Db_lundef=false", "-Dbuildtype=debugoptimized", "-Dwerror=true"], check=True, cwd=ROOT, env={**os.environ, "CC": "clang"},
                       stdout=subprocess.DEVNULL)
    done = subprocess.run(["ninja", "-C", folder, "-j", str(jobs), "fuzz-programs"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nthe targets do not build")


def describe_crash(target, output):
    """The input's path and bytes, and the lines that say what happened."""
    lines = [line for line in output.splitlines() if re.search(r"ERROR|does not hold|runtime error|internal error|SUMMARY|^    #[0-9] ", line)]
    print(f"FAIL {target}")
    print("\n".join("    " + line for line in lines[:14]))
    for artifact in re.findall(r"Test unit written to (\S+)", output):
        data = Path(artifact).read_bytes()
        print(f"    input: {artifact}\n    bytes: {data[:SHOWN_BYTES].hex()}{'...' if len(data) > SHOWN_BYTES else ''}")


def fuzz(target, folder, seconds):
    corpus, seeds, crashes = folder / "corpus" / target, folder / "seeds" / target, folder / "crashes"
    count = write_seeds(target, seeds)
    for each in (corpus, crashes):
        each.mkdir(parents=True, exist_ok=True)
    prefix = f"{crashes}/{target}-"
    command = [folder / "tests/fuzz" / target, f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH[target]}", f"-artifact_prefix={prefix}",
               "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=3000", corpus, seeds]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 120)
    except subprocess.TimeoutExpired:
        return target, None, f"FAIL {target}: still running long after its time"
    return target, (done.returncode, count), done.stdout.decode(errors="replace")


def report(target, result, output):
    if result is None:
        print(output)
        return False
    status, seeds = result
    executions = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    coverage = re.findall(r"cov: (\d+)", output)
    if status or not executions:
        describe_crash(target, output)
        return False
    print(f"{target}: {executions[1]} executions from {seeds} seeds, coverage {coverage[-1] if coverage else '?'}")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--build", type=Path, default=ROOT / "build-fuzz")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(SEEDS))
    args = parser.parse_args()
    args.build = args.build.resolve()
    unknown = set(args.targets) - set(SEEDS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    build(args.build, args.jobs)
    targets = args.targets or list(SEEDS)
    with ThreadPoolExecutor(args.jobs) as pool:
        results = [report(*done) for done in pool.map(lambda target: fuzz(target, args.build, args.seconds), targets)]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


sys.exit(main())
