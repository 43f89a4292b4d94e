# SPDX-License-Identifier: MIT
"""The C kernels: 30 static programs, each a checksum, built for both machines with -O2."""
from measure import Job, Section, cell, geometric_mean, run, table

INTERP_PERCENT = 4  # the interpreter is slow: it runs this share and is scaled up


def jobs(options, kernels, ways):
    made = []
    for kernel in kernels:
        share = {"interp": max(1, options.percent * INTERP_PERCENT // 100) / options.percent}
        commands = {way: [*prefix, kernel.binary("native" if way == "native" else "riscv64"),
                          str(max(1, round(options.percent * share.get(way, 1))))] for way, prefix in ways.items()}
        made.append(Job(kernel.name, commands, kernel.group, scale=share))
    return sorted(made, key=lambda job: (job.group != "int", job.name))


def measure(options, launch, ways, kernels):
    selected = jobs(options, kernels, ways)
    samples = run("kernels", selected, list(ways), options.rounds, launch, once=("interp",))
    rows, means = [], {}
    for job in selected:
        rows.append([job.name, job.group, *(cell(samples.median(job, way)) for way in ways),
                     cell(samples.ratio(job, "qemu", "kiln")), cell(samples.ratio(job, "kiln", "native")),
                     cell(samples.spread(job), 0, " %"),
                     *(cell(samples.peak_mb(job, way), 1) for way in ("qemu", "kiln"))])
    for group in sorted({job.group for job in selected}, key=lambda group: group != "int"):
        of_group = [job for job in selected if job.group == group]
        means[group] = {"qemu/kiln": geometric_mean([samples.ratio(job, "qemu", "kiln") for job in of_group]),
                        "kiln/native": geometric_mean([samples.ratio(job, "kiln", "native") for job in of_group])}
        rows.append(["**geometric mean**", group, *[""] * len(ways), f"**{cell(means[group]['qemu/kiln'])}**",
                     f"**{cell(means[group]['kiln/native'])}**", "", "", ""])
    lines = ["CPU seconds (medians), peak resident memory in MB.", ""]
    lines += table(["kernel", "group", *(f"{way} s" for way in ways), "qemu/kiln", "kiln/native", "spread", "qemu MB", "kiln MB"],
                   rows, left=2)
    panel = ("Kernels", [(job.name, job.group, samples.ratio(job, "qemu", "kiln") or 0) for job in selected])
    return Section("kernels", "Kernels", lines, {**samples.data(), "geometric_means": means}, samples.failures, panel)
