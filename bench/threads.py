# SPDX-License-Identifier: MIT
"""Threads and signals: how computing scales to a second processor, and what single things cost. Unlike elsewhere it is the time on the
clock that counts, as the question is what several threads bring."""

from measure import Figure, Job, Section, cell, quotient, run, table

# what, count, name, what its figure must be at most: of (kiln, qemu) or (kiln, native)
WORK = (("compute1", 30_000_000, "computing on 1 thread", None),
        ("compute2", 30_000_000, "the same on each of 2 threads", None),
        ("counter", 5_000_000, "2 threads add to one counter", ("qemu", 1.0)),
        ("create", 10_000, "10,000 threads created and joined", ("qemu", 0.5)),
        ("signal", 100_000, "100,000 signals: kill, handler, return", ("qemu", 0.5)),
        ("clock", 3_000_000, "3,000,000 clock_gettime", ("native", 3.0)))
SCALING = 1.1


def measure(options, launch, ways, programs):
    program = programs["threads"]

    def commands(what, count):
        size = max(1, count // 4) if options.quick and what != "create" else count
        return {way: [*ways[way], program.binary("native" if way == "native" else "riscv64").resolve(), what, size] for way in ways}

    selected = [Job(name, commands(what, count)) for what, count, name, _ in WORK]
    samples = run("threads", selected, list(ways), options.rounds, launch)

    def wall(job, way):
        return samples.median(job, way, "wall")

    rows, figures = [], []
    for job, (_, _, name, most) in zip(selected, WORK):
        native, qemu, kiln = (wall(job, way) for way in ("native", "qemu", "kiln"))
        against = f"at most {most[1]} of {most[0]}'s" if most else ""
        if most:
            figures.append(Figure(f"threads: {name}, part of {most[0]}'s time",
                                  quotient(kiln, {"qemu": qemu, "native": native}[most[0]]), most=most[1]))
        rows.append([name, *(cell(1e3 * t if t is not None else None, 1) for t in (native, qemu, kiln)), cell(quotient(kiln, qemu), 3),
                     cell(quotient(kiln, native)), against])
    scaling = {way: quotient(wall(selected[1], way), wall(selected[0], way)) for way in ("native", "qemu", "kiln") if way in ways}
    lines = ["Milliseconds on the clock (medians), start-up included.", ""]
    lines += table(["work", "native ms", "qemu ms", "kiln ms", "kiln/qemu", "kiln/native", "wanted"], rows)
    lines += ["", "Twice the work on two threads takes " + ", ".join(f"{cell(scaling.get(way))} times as long {text}" for way, text in
              (("native", "natively"), ("qemu", "under qemu"), ("kiln", "under kiln"))) +
              f"; kiln/native {cell(quotient(scaling.get('kiln'), scaling.get('native')))}, wanted at most {SCALING}."]
    figures.append(Figure("threads: growth from 1 to 2 threads, times native's", quotient(scaling.get("kiln"), scaling.get("native")),
                          most=SCALING))
    return Section("threads", "Threads and signals", lines, samples.data(), samples.failures, figures=figures)
