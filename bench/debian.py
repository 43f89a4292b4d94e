# SPDX-License-Identifier: MIT
"""Debian's own programs as benchmark: the same packages of one suite for riscv64 and, as native, for amd64.

Every program does a fixed piece of work on generated files (inputs.py, workloads/) and must print the same in all ways. The amd64
programs run from a folder through the dynamic linker they came with, so this machine's own versions do not matter. The
compiler is the one that makes riscv64 code: native in one sysroot, a cross compiler in the other, with one output."""
import os
import subprocess
from pathlib import Path

import inputs
from measure import Job, Section, cell, geometric_mean, quotient, run, table

HERE = Path(__file__).resolve().parent
SUITE = "trixie"
PACKAGES = ["lua5.4", "python3", "perl", "gawk", "sqlite3", "xz-utils", "zstd", "bzip2", "openssl", "cpp-14-riscv64-linux-gnu",
            "coreutils", "grep", "bash", "jq"]
VERSIONED = ["lua5.4", "python3.13", *PACKAGES[2:], "libc6"]  # what the page names: `python3` is a package without contents
MACHINES = {"native": "amd64", "riscv64": "riscv64"}
WORK = HERE / "workloads"
PRIME = "7" + "F" * 319  # 2^1279 - 1

# Inputs that are made by the native programs: (file, program, arguments).
PACKED = [("text.xz", "usr/bin/xz", ["-T1", "-1", "-c", "text"]), ("text.bz2", "usr/bin/bzip2", ["-c", "text"])]
# (row, program below the sysroot, arguments); words in braces are names of input files. All in one thread.
PROGRAMS = [
    ("lua", "usr/bin/lua5.4", [WORK / "objects.lua", "30000"]),
    ("python3", "usr/bin/python3", ["-B", WORK / "objects.py", "6000"]),
    ("perl", "usr/bin/perl", [WORK / "words.pl", "text-tiny"]),
    ("gawk", "usr/bin/gawk", ["-F,", "-f", WORK / "table.awk", "table.csv"]),
    ("sqlite3", "usr/bin/sqlite3", ["-batch", ":memory:", f".read {WORK / 'queries.sql'}"]),
    ("xz", "usr/bin/xz", ["-T1", "-5", "-c", "text-small"]),
    ("xz -d", "usr/bin/xz", ["-T1", "-dc", "text.xz"]),
    ("zstd", "usr/bin/zstd", ["-q", "--single-thread", "--no-asyncio", "-9", "-c", "text-small"]),
    ("bzip2", "usr/bin/bzip2", ["-c", "text-small"]),
    ("bzip2 -d", "usr/bin/bzip2", ["-dc", "text.bz2"]),
    ("openssl dgst", "usr/bin/openssl", ["dgst", "-sha256", *["text"] * 8]),
    ("openssl prime", "usr/bin/openssl", ["prime", "-hex", PRIME, PRIME]),
    ("cc1 -O2", "cc1", ["-quiet", "-O2", "-march=rv64gc", "-mabi=lp64d", "source.c", "-o", "/dev/stdout"]),
    ("sort", "usr/bin/sort", ["--parallel=1", "-t,", "-k2,2", "-k3,3nr", "table.csv"]),
    ("grep", "usr/bin/grep", ["-Eic", r"([a-z])[a-z]+-\1|[0-9]{3}.*(st|nd|th)[.,]$", "text"]),
    ("bash", "usr/bin/bash", [WORK / "loop.sh", "600"]),
    ("jq", "usr/bin/jq", ["-c", "-f", WORK / "report.jq", "records.json"]),
]


def fetch():
    """{machine: sysroot folder}, unpacked if need be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kiln"
    folders = {}
    for machine, arch in MACHINES.items():
        folder = folders[machine] = cache / f"bench-{arch}"
        stamp, wanted = folder / ".complete", " ".join(PACKAGES)
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([HERE.parent / "scripts/sysroot", arch, SUITE, folder, *PACKAGES], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{arch} packages cannot be fetched: {done.stderr.strip()}")
        for name in ("dev", "proc", "sys", "tmp", "run", "home", "root", "mnt", "media", "srv", "boot", "opt"):
            try:
                (folder / name).rmdir()  # empty, it would hide this machine's
            except OSError:
                pass
        stamp.write_text(wanted)
    return folders


def versions(folder):
    """{package: version} of what is unpacked, without the suffix of a rebuild, which is the architecture's own."""
    pairs = (line.replace("%3a", ":").split("_", 1) for line in (folder / ".unpacked").read_text().split())
    return {name: version.partition("+b")[0].partition("cross")[0] for name, version in pairs}


def prefixes(sysroots, qemu, kiln):
    """{way: function of a program's path and its name that gives the beginning of a command line}"""
    native, guest = sysroots["native"], sysroots["riscv64"]
    linker = [native / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", native / "usr/lib/x86_64-linux-gnu"]
    ways = {"native": lambda path: [*linker, "--argv0", Path(path).name, native / path],
            "qemu": lambda path: [qemu, "-L", guest, guest / path]}
    if kiln:
        ways["kiln"] = lambda path: [kiln, "-L", guest, guest / path]
    return ways


def environments(sysroots, ways):
    common = {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin"}
    root = sysroots["native"] / "usr"
    libraries = [root / "lib/x86_64-linux-gnu/perl-base", root / "lib/x86_64-linux-gnu/perl/5.40", root / "share/perl/5.40"]
    native = {**common, "PERL5LIB": ":".join(map(str, libraries)), "PYTHONHOME": str(root)}
    return {way: native if way == "native" else common for way in ways}


def compiler(sysroot):
    """cc1's place, which differs between the native and the cross compiler."""
    return next((sysroot / "usr/libexec").glob("gcc*/riscv64-linux-gnu/14/cc1")).relative_to(sysroot)


def jobs(sysroots, ways, folder):
    inputs.generate(folder)
    start = prefixes(sysroots, "qemu-riscv64", ways.get("kiln"))
    for target, path, arguments in PACKED:
        if not (folder / target).exists():
            done = subprocess.run([*start["native"](path), *arguments], cwd=folder, capture_output=True, check=True)
            (folder / target).write_bytes(done.stdout)
    made = []
    for name, path, arguments in PROGRAMS:
        places = {way: compiler(sysroots["native" if way == "native" else "riscv64"]) if path == "cc1" else path for way in start}
        made.append(Job(name, {way: [*start[way](places[way]), *arguments] for way in start}, cwd=folder,
                        environments=environments(sysroots, start)))
    return made


def report(samples, packages):
    rows, gains, distances, memory = [], [], [], []
    for job in samples.jobs:
        gain, distance = samples.ratio(job, "qemu", "kiln"), samples.ratio(job, "kiln", "native")
        peaks = [samples.peak_mb(job, way) for way in ("native", "qemu", "kiln")]
        share = quotient(peaks[2], peaks[1])
        gains.append(gain), distances.append(distance), memory.append(share)
        rows.append([job.name, *(cell(samples.median(job, way)) for way in ("native", "qemu", "kiln")), cell(gain),
                     cell(distance), cell(samples.spread(job), 0, " %"), *(cell(peak, 1) for peak in peaks), cell(share)])
    means = {"qemu/kiln": geometric_mean(gains), "kiln/native": geometric_mean(distances),
             "memory kiln/qemu": geometric_mean(memory)}
    bold = [f"**{cell(value)}**" for value in means.values()]
    rows.append(["**geometric mean**", "", "", "", *bold[:2], "", "", "", "", bold[2]])
    lines = ["CPU seconds of the process tree (medians), peak resident memory of the largest process in MB.", ""]
    lines += table(["program", "native s", "qemu s", "kiln s", "qemu/kiln", "kiln/native", "spread", "native MB", "qemu MB",
                    "kiln MB", "memory kiln/qemu"], rows)
    lines += ["", f"Debian {SUITE}, in one thread each: " + ", ".join(f"{name} {packages[name]}" for name in VERSIONED) + ".",
              "The amd64 packages bring assembly and vector code that the riscv64 ones have no counterpart of (openssl and zstd above "
              "all), so kiln/native compares more than the translation there."]
    return lines, means


def measure(options, launch, ways):
    sysroots = fetch()
    packages, native = versions(sysroots["riscv64"]), versions(sysroots["native"])
    failures = [f"{name} is {packages[name]} for riscv64 and {native[name]} for amd64"
                for name in sorted(packages.keys() & native.keys()) if packages[name] != native[name]]
    selected = [job for job in jobs(sysroots, ways, options.build / "debian")
                if not options.programs or job.name in options.programs.split(",")]
    samples = run("debian", selected, [way for way in ("native", "qemu", "kiln") if way in ways], options.rounds, launch)
    lines, means = report(samples, packages)
    panel = ("Debian's programs", [(job.name, "debian", samples.ratio(job, "qemu", "kiln") or 0) for job in selected])
    return Section("debian", "Debian's programs", lines, {**samples.data(), "geometric_means": means, "packages": packages},
                   failures + samples.failures, panel)
