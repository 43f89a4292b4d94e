# SPDX-License-Identifier: MIT
"""What it costs before a program does anything: a static hello, and thousands of functions that run once each."""
import statistics

from build import COLD_FUNCTIONS
from measure import Job, Section, cell, quotient, run, table


def measure(options, launch, ways, programs):
    def commands(program):
        return {way: [*prefix, program.binary("native" if way == "native" else "riscv64")] for way, prefix in ways.items()}

    hello = Job("static hello", commands(programs["hello"]), count=options.launches)
    cold = Job("translation", commands(programs["cold"]))
    samples = run("start", [hello, cold], list(ways), options.rounds, launch)

    def row(title, job, figures):
        found = {way: statistics.median(figures[job.name][way]) for way in ways if figures[job.name][way]}
        return [title, *(cell(1e3 * found[way] if way in found else None) for way in ways),
                cell(quotient(found.get("qemu"), found.get("kiln"))),
                *(cell(samples.peak_mb(job, way), 1) for way in ways)]

    rows = [row("static hello, CPU a launch", hello, samples.cpu), row("static hello, elapsed a launch", hello, samples.wall),
            row(f"translation ({COLD_FUNCTIONS} functions that run once), CPU", cold, samples.cpu)]
    lines = ["Milliseconds (medians), peak resident memory in MB.", ""]
    lines += table(["work", *(f"{way} ms" for way in ways), "qemu/kiln", *(f"{way} MB" for way in ways)], rows)
    return Section("start", "Start and translation", lines, samples.data(), samples.failures)
