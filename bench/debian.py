# SPDX-License-Identifier: MIT
"""Debian's own programs as benchmark: the same packages of one suite for riscv64 and, as native, for amd64.

Every program does a fixed piece of work on generated files (inputs.py, workloads/) and must print the same in all ways. The amd64
programs run from a folder through the dynamic linker they came with, so this machine's own versions do not matter. The
compiler is the one that makes riscv64 code: native in one sysroot, a cross compiler in the other, with one output."""
import os
import subprocess
from pathlib import Path

import inputs
import kernels as c_kernels
from measure import Figure, Job, Section, cell, geometric_mean, quotient, run, table, worst

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
COMMON = {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin"}
INTERPRETERS = {"lua", "python3", "perl", "sqlite3"}  # these run for 2 seconds and more natively


def programs(percent):
    """(row, program below the sysroot, arguments); a bare word is an input file's name. All in one thread. `percent` scales the
    interpreters."""
    def times(whole):
        return max(1, round(whole * percent / 100))

    return [
        ("lua", "usr/bin/lua5.4", [WORK / "objects.lua", str(times(540_000))]),
        ("python3", "usr/bin/python3", ["-B", WORK / "objects.py", str(times(250_000))]),
        ("perl", "usr/bin/perl", [WORK / "words.pl", *["text-tiny"] * times(24)]),
        ("gawk", "usr/bin/gawk", ["-F,", "-f", WORK / "table.awk", "table.csv"]),
        ("sqlite3", "usr/bin/sqlite3", ["-batch", ":memory:", *[f".read {WORK / 'queries.sql'}", "DROP TABLE item;"] * times(22)]),
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


def prefixes(sysroots, ways):
    """{way: function of a program's path that gives the beginning of a command line}"""
    native, guest = sysroots["native"], sysroots["riscv64"]
    linker = [native / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", native / "usr/lib/x86_64-linux-gnu"]

    def beginning(way, prefix):
        if way == "native":
            return lambda path: [*linker, "--argv0", Path(path).name, native / path]
        return lambda path: [*prefix, "-L", guest, guest / path]

    return {way: beginning(way, prefix) for way, prefix in ways.items()}


def environments(sysroots, ways):
    root = sysroots["native"] / "usr"
    libraries = [root / "lib/x86_64-linux-gnu/perl-base", root / "lib/x86_64-linux-gnu/perl/5.40", root / "share/perl/5.40"]
    native = {**COMMON, "PERL5LIB": ":".join(map(str, libraries)), "PYTHONHOME": str(root)}
    return {way: native if way == "native" else COMMON for way in ways}


def compiler(sysroot):
    """cc1's place, which differs between the native and the cross compiler."""
    return next((sysroot / "usr/libexec").glob("gcc*/riscv64-linux-gnu/14/cc1")).relative_to(sysroot)


def jobs(sysroots, ways, folder, percent):
    inputs.generate(folder)
    start = prefixes(sysroots, ways)
    for target, path, arguments in PACKED:
        if not (folder / target).exists():
            done = subprocess.run([*start["native"](path), *arguments], cwd=folder, capture_output=True, check=True)
            (folder / target).write_bytes(done.stdout)
    made = []
    for name, path, arguments in programs(percent):
        places = {way: compiler(sysroots["native" if way == "native" else "riscv64"]) if path == "cc1" else path for way in start}
        made.append(Job(name, {way: [*start[way](places[way]), *arguments] for way in start}, cwd=folder,
                        group="interpreter" if name in INTERPRETERS else "", environments=environments(sysroots, start)))
    return made


RATIOS = (("qemu", "kiln", "cpu"), ("qemu", "kiln", "wall"), ("qemu", "blocks", "cpu"), ("kiln", "native", "cpu"),
          ("kiln", "blocks", "cpu"))


def memory_share(samples, job):
    return quotient(samples.peak_mb(job, "kiln"), samples.peak_mb(job, "qemu"))


def means_of(samples, of_group):
    return {**{c_kernels.ratio_name(*ratio): samples.mean_ratio(of_group, *ratio) for ratio in RATIOS},
            "memory kiln/qemu": geometric_mean([memory_share(samples, job) for job in of_group])}


def report(samples, ways, packages):
    rows = []
    for job in samples.jobs:
        rows.append([job.name, *(cell(samples.median(job, way)) for way in ways), cell(samples.median(job, "kiln", "optimizer")),
                     cell(samples.median(job, "kiln", "wall")), *(cell(samples.ratio(job, *ratio)) for ratio in RATIOS),
                     cell(samples.spread(job), 0, " %"), *(cell(samples.peak_mb(job, way), 1) for way in ways),
                     cell(samples.peak_mb(job, "kiln", "optimizer_peak"), 0), cell(memory_share(samples, job))])
    groups = {"all": samples.jobs, "interpreters": [job for job in samples.jobs if job.group == "interpreter"]}
    means = {name: means_of(samples, of_group) for name, of_group in groups.items()}
    for name, of_group in means.items():
        bold = [f"**{cell(value)}**" for value in of_group.values()]
        rows.append([f"**geometric mean, {name}**", *[""] * (len(ways) + 2), *bold[:-1], *[""] * (len(ways) + 2), bold[-1]])
    lines = ["CPU seconds of the process tree (medians), kiln-opt included; peak resident memory of the largest process in MB. `blocks` is "
             "kiln without hot paths (`--mode=none`).", ""]
    lines += table(["program", *(f"{way} s" for way in ways), "in kiln-opt s", "kiln wall s", *(c_kernels.ratio_name(*r) for r in RATIOS),
                    "spread", *(f"{way} MB" for way in ways), "kiln-opt MB", "memory kiln/qemu"], rows)
    lines += ["", f"Debian {SUITE}, in one thread each: " + ", ".join(f"{name} {packages[name]}" for name in VERSIONED) + ".",
              "The amd64 packages bring assembly and vector code that the riscv64 ones have no counterpart of (openssl and zstd above "
              "all), so kiln/native compares more than the translation there."]
    return lines, means


def figures(samples, means):
    blocks = worst(samples.jobs, lambda job: samples.ratio(job, "qemu", "blocks"), largest=False)
    memory = worst(samples.jobs, lambda job: c_kernels.above_blocks(samples, job))
    share = worst(samples.jobs, lambda job: memory_share(samples, job))
    return [Figure("interpreters, times native", means["interpreters"]["kiln/native"], most=4.5),
            Figure("Debian's programs without hot paths, times as fast as qemu", means["all"]["qemu/blocks"], least=1.6),
            Figure(f"Debian's programs without hot paths, times as fast as qemu, the worst ({blocks[1]})", blocks[0], least=1.2),
            Figure(f"Debian's programs: memory of the guest's process above `none`, the most ({memory[1]})", memory[0],
                   most=c_kernels.MEMORY_MB, unit=" MB"),
            Figure(f"Debian's programs: peak memory kiln/qemu, the most ({share[1]})", share[0], most=1)]


def measure(options, launch, ways):
    sysroots = fetch()
    packages, native = versions(sysroots["riscv64"]), versions(sysroots["native"])
    failures = [f"{name} is {packages[name]} for riscv64 and {native[name]} for amd64"
                for name in sorted(packages.keys() & native.keys()) if packages[name] != native[name]]
    selected = [job for job in jobs(sysroots, ways, options.build / "debian", options.percent)
                if not options.programs or job.name in options.programs.split(",")]
    samples = run("debian", selected, list(ways), options.rounds, launch, once=options.once)
    lines, means = report(samples, ways, packages)
    panel = ("Debian's programs", [(job.name, "debian", samples.ratio(job, "qemu", "kiln") or 0) for job in selected])
    return Section("debian", "Debian's programs", lines, {**samples.data(), "geometric_means": means, "packages": packages},
                   failures + samples.failures, panel, figures(samples, means))
