# SPDX-License-Identifier: MIT
"""The cost of processes: a dynamic program's start, forks in a shell, a shell and a C program that start others.

qemu 7.2 has no way of its own to execute a guest program from another one: that needs a registration with the kernel
(binfmt_misc), which belongs to the whole machine. So where a program starts others, its qemu form starts `qemu-riscv64 PROGRAM`,
which is what the kernel would do with the registration. kiln is given the guest program itself."""
import subprocess
from pathlib import Path
from shutil import which

from measure import Figure, Job, Section, cell, quotient, run, table, worst

HERE = Path(__file__).resolve().parent
SYSROOT = "/usr/riscv64-linux-gnu"  # of the cross compiler
FORKS = 'i=0; while [ $i -lt "$1" ]; do ( : ); i=$((i+1)); done; echo $i'
LAUNCHES = 'n=$1; shift; i=0; while [ $i -lt "$n" ]; do "$@" || exit 1; i=$((i+1)); done; echo $i'
NOTE = ("Where a program starts others, qemu's form names `qemu-riscv64 PROGRAM` as the command: without a registration in the "
        "kernel (binfmt_misc) qemu 7.2 starts no guest program from another one. kiln starts the guest program by itself.")


def busybox(arch):
    done = subprocess.run([HERE.parent / "scripts/fetch-busybox", arch], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"busybox for {arch} cannot be fetched: {done.stderr.strip()}")
    return done.stdout.strip()


def jobs(options, programs, ways):
    shells = {way: busybox("amd64" if way == "native" else "riscv64") for way in ways}
    start = {**ways, "qemu": [which("qemu-riscv64")]}
    # What a program under each way names as the command that is to be started.
    inner = {"native": [], "qemu": start["qemu"], "kiln": []}
    forks, launches = str(options.forks), str(options.children)

    def commands(of):
        return {way: of(way) for way in ways}

    def binary(name, way):
        return programs[name].binary("native" if way == "native" else "riscv64").resolve()

    sysroot = {way: [] if way == "native" else ["-L", SYSROOT] for way in ways}
    return [
        Job("dynamic hello", commands(lambda way: [*start[way], *sysroot[way], binary("hello-dynamic", way)]),
            count=options.launches),
        Job(f"{forks} forks in busybox sh", commands(lambda way: [*start[way], shells[way], "sh", "-c", FORKS, "sh", forks])),
        Job(f"{launches} launches of true by busybox sh", commands(
            lambda way: [*start[way], shells[way], "sh", "-c", LAUNCHES, "sh", launches, *inner[way], shells[way], "true"])),
        Job(f"{launches} posix_spawn of a static hello", commands(
            lambda way: [*start[way], binary("spawn", way), launches, *inner[way], binary("hello", way)])),
        Job(f"{launches} launches of a dynamic hello by busybox sh", commands(
            lambda way: [*start[way], *sysroot[way], shells[way], "sh", "-c", LAUNCHES, "sh", launches, *inner[way],
                         *(sysroot[way] if inner[way] else []), binary("hello-dynamic", way)])),
    ]


def measure(options, launch, ways, programs):
    selected = jobs(options, programs, ways)
    samples = run("process", selected, list(ways), options.rounds, launch)
    rows = []
    for job in selected:
        name = job.name + (" (a launch)" if job.count > 1 else "")
        native, qemu, kiln = (samples.median(job, way) for way in ("native", "qemu", "kiln"))
        rows.append([name, *(cell(1e3 * m if m is not None else None) for m in (native, qemu, kiln)),
                     cell(quotient(qemu, kiln)), cell(quotient(kiln, qemu), 3),
                     cell(samples.ratio(job, "kiln", "native")), cell(samples.spread(job), 0, " %"),
                     *(cell(samples.peak_mb(job, way), 1) for way in ("qemu", "kiln"))])
    lines = ["CPU milliseconds of the process tree (medians), peak resident memory of the largest process in MB.", ""]
    lines += table(["work", "native ms", "qemu ms", "kiln ms", "qemu/kiln", "kiln/qemu", "kiln/native", "spread", "qemu MB",
                    "kiln MB"], rows)
    lines += ["", NOTE]
    panel = ("Processes", [(job.name, "process", samples.ratio(job, "qemu", "kiln") or 0) for job in selected])
    slowest = worst(selected[1:], lambda job: samples.ratio(job, "kiln", "qemu"))
    share = worst(selected, lambda job: quotient(samples.peak_mb(job, "kiln"), samples.peak_mb(job, "qemu")))
    return Section("process", "Processes", lines, samples.data(), samples.failures, panel, [
        Figure("dynamic hello, part of qemu's time", samples.ratio(selected[0], "kiln", "qemu"), most=0.3),
        Figure(f"forks and launches, part of qemu's time, the worst ({slowest[1]})", slowest[0], most=0.35),
        Figure(f"processes: peak memory kiln/qemu, the most ({share[1]})", share[0], most=1)])
