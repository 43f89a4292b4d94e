# SPDX-License-Identifier: MIT
"""What hot paths cost where they cannot pay: kiln as it is (`hybrid`) beside kiln without them (`none`), for processes that are over
before anything is hot and for the kernels; and both on one processor, where the optimizer takes its time from the program.

Ratios are of the smallest samples: a difference of three per cent is asked for, and medians vary by more on a machine that is not
quiet."""
from pathlib import Path

import debian
import kernels as c_kernels
import process
from measure import Figure, Job, Section, cell, run, table, worst

WAYS = ("blocks", "kiln")
MOST = 1.03
ONE_CORE = ["taskset", "-c", "0"]
SHORT_PERCENT, ONE_CORE_PERCENT = 2, 20  # of the kernels' full size
PROGRAMS = [("bash -c :", "usr/bin/bash", ["-c", ":"]), ("perl -e 1", "usr/bin/perl", ["-e", "1"]),
            ("python3 -c pass", "usr/bin/python3", ["-S", "-c", "pass"]), ("sqlite3 select", "usr/bin/sqlite3", [":memory:", "select 1"]),
            ("sort of 30 lines", "usr/bin/sort", [debian.WORK / "objects.lua"])]


def both(make):
    return {way: make(way) for way in WAYS}


def short_jobs(options, ways, programs, before):
    """Launches, forks, and Debian's programs with next to nothing to do; those that can be had."""
    def start(way):
        return [*before, *ways[way]]

    hello, dynamic = (programs[name].binary("riscv64").resolve() for name in ("hello", "hello-dynamic"))
    forks, children = str(options.forks), str(options.children)
    made = [Job("static hello", both(lambda way: [*start(way), hello]), count=options.launches),
            Job("dynamic hello", both(lambda way: [*start(way), "-L", process.SYSROOT, dynamic]), count=options.launches),
            Job(f"{children} posix_spawn of a static hello", both(
                lambda way: [*start(way), programs["spawn"].binary("riscv64").resolve(), children, hello]))]
    try:
        shell = process.busybox("riscv64")
        made += [Job(f"{forks} forks in busybox sh", both(lambda way: [*start(way), shell, "sh", "-c", process.FORKS, "sh", forks])),
                 Job(f"{children} launches of true by busybox sh", both(
                     lambda way: [*start(way), shell, "sh", "-c", process.LAUNCHES, "sh", children, shell, "true"]))]
        guest = debian.fetch()["riscv64"]
        environment = dict.fromkeys(WAYS, debian.COMMON)
        made += [Job(name, both(lambda way: [*start(way), "-L", guest, guest / path, *arguments]), environments=environment,
                     count=max(1, options.launches // 5)) for name, path, arguments in PROGRAMS]
    except RuntimeError as error:
        print(f"left out: {error}", flush=True)
    return made


def kernel_jobs(ways, kernels, percent, before):
    return [Job(f"{kernel.name} at {percent} %", both(lambda way: c_kernels.command(kernel, way, [*before, *ways[way]], percent)[0]))
            for kernel in kernels]


def section(name, title, selected, options, launch):
    samples = run(name, selected, WAYS, max(options.rounds, 1), launch)
    rows = []
    for job in selected:
        rows.append([job.name, *(cell(1e3 * v if (v := samples.median(job, way)) is not None else None, 1) for way in WAYS),
                     cell(1e3 * v if (v := samples.median(job, "kiln", "optimizer")) is not None else None, 1),
                     cell(samples.ratio(job, "kiln", "blocks"), 3), cell(samples.least_ratio(job, "kiln", "blocks"), 3),
                     cell(samples.ratio(job, "kiln", "blocks", "wall"), 3), cell(samples.spread(job), 0, " %")])
    above = [job for job in selected if (samples.least_ratio(job, "kiln", "blocks") or 0) > MOST]
    lines = ["CPU milliseconds of the process tree (medians), a launch where one program is started over and over. `none` is "
             "`--mode=none`.", ""]
    lines += table(["work", "none ms", "hybrid ms", "in kiln-opt ms", "hybrid/none", "of the smallest", "wall", "spread"], rows)
    lines += ["", f"{len(above)} of {len(selected)} are more than 3 % slower" +
              (": " + ", ".join(job.name for job in above) if above else "") + "."]
    slowest = worst(selected, lambda job: samples.least_ratio(job, "kiln", "blocks"))
    return Section(name, title, lines, samples.data(), samples.failures,
                   figures=[Figure(f"{title.lower()}: hybrid/none, the worst ({slowest[1]})", slowest[0], most=MOST)])


def measure_short(options, launch, ways, programs, kernels):
    return section("short", "Short processes", short_jobs(options, ways, programs, []) + kernel_jobs(ways, kernels, SHORT_PERCENT, []),
                   options, launch)


def measure_one_core(options, launch, ways, programs, kernels):
    percent = min(options.percent, ONE_CORE_PERCENT)
    return section("onecore", "One processor", short_jobs(options, ways, programs, ONE_CORE) +
                   kernel_jobs(ways, kernels, percent, ONE_CORE), options, launch)
