# SPDX-License-Identifier: MIT
"""Exact mode: what it costs that a program catches SIGSEGV, as its handler must then see every register as it was. The kernels
catch it when they are told to, python3 with `-X faulthandler`; cc1 always does. All of them also run with `--exact`."""
import debian
import kernels as c_kernels
from measure import Figure, Job, Section, cell, geometric_mean, run, table, worst

PERCENT, MOST = 20, 1.3


def jobs(options, ways, kernels):
    kiln, percent, made = ways["kiln"], min(options.percent, PERCENT), []
    for kernel in kernels:
        plain, handler = (c_kernels.command(kernel, "kiln", kiln, percent, *more)[0] for more in ([], ["handler"]))
        made.append(Job(kernel.name, {"kiln": plain, "handler": handler}, kernel.group))
    try:
        for job in debian.jobs(debian.fetch(), {"native": [], "kiln": kiln}, options.build / "debian", options.percent):
            command = job.commands["kiln"]
            if job.name == "python3":
                at = command.index("-B")
                made.append(Job(job.name, {"kiln": command, "handler": [*command[:at], "-X", "faulthandler", *command[at:]]},
                                environments=dict.fromkeys(("kiln", "handler", "exact"), debian.COMMON), cwd=job.cwd))
            if job.name == "cc1 -O2":
                made.append(Job(job.name, {"handler": command}, cwd=job.cwd,
                                environments=dict.fromkeys(("handler", "exact"), debian.COMMON)))
    except RuntimeError as error:
        print(f"left out: {error}", flush=True)
    for job in made:
        whole = job.commands.get("kiln", job.commands["handler"])
        job.commands["exact"] = [*kiln, "--exact", *whole[len(kiln):]]
    return made


def measure(options, launch, ways, kernels):
    selected, names = jobs(options, ways, kernels), ["kiln", "handler", "exact"]
    samples = run("exact", selected, names, options.rounds, launch)
    rows = [[job.name, *(cell(samples.median(job, way)) for way in names), cell(samples.ratio(job, "handler", "kiln"), 3),
             cell(samples.ratio(job, "exact", "kiln"), 3), cell(samples.spread(job, "handler"), 0, " %")]
            for job in selected]
    mean = geometric_mean([samples.ratio(job, "handler", "kiln") for job in selected])
    slowest = worst(selected, lambda job: samples.ratio(job, "handler", "kiln"))
    lines = ["CPU seconds of the process tree (medians). `kiln`: nobody catches SIGSEGV; `handler`: the program does; `exact`: `--exact`.", ""]
    lines += table(["program", *(f"{way} s" for way in names), "handler/kiln", "exact/kiln", "spread"], rows)
    return Section("exact", "Exact mode", lines, samples.data(), samples.failures, figures=[
        Figure("with a SIGSEGV handler, times without, geometric mean", mean, most=MOST),
        Figure(f"with a SIGSEGV handler, times without, the worst ({slowest[1]})", slowest[0], most=MOST)])
