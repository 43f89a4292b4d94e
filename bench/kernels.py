# SPDX-License-Identifier: MIT
"""The C kernels: 30 static programs, each a checksum, built for both machines with -O2. Full size is 2 seconds of native code and more,
so that finding and optimising hot paths is part of what is measured and not all of it."""
from measure import Figure, Job, Section, cell, run, table, worst

# Per cent of the full size that these run at most; their times are scaled up. They translate each block once and for all, which is over
# long before; the interpreter is slow.
MOST_PERCENT = {"qemu": 10, "blocks": 10, "interp": 0.2}
MEMORY_MB = 15  # that finding hot paths may cost the guest's process


def command(kernel, way, prefix, percent, *more):
    """(command line, size that it names)"""
    size = max(1, round(kernel.size * percent / 100))
    machine = way if way in ("native", "novec") else "riscv64"
    return [*prefix, kernel.binary(machine), str(size), *more], size


def jobs(options, kernels, ways):
    made = []
    for kernel in kernels:
        commands, sizes = {}, {}
        for way, prefix in ways.items():
            if way != "novec" or kernel.group == "fp":
                commands[way], sizes[way] = command(kernel, way, prefix, min(options.percent, MOST_PERCENT.get(way, 100)))
        whole = command(kernel, "native", [], options.percent)[1]
        job = Job(kernel.name, commands, kernel.group, scale={way: size / whole for way, size in sizes.items()})
        job.single_loop = kernel.single_loop
        made.append(job)
    return sorted(made, key=lambda job: (job.group != "int", job.name))


def in_groups(selected):
    """(name, jobs) of the groups that get a mean."""
    groups = [("int", [job for job in selected if job.group == "int"]), ("single loop", [job for job in selected if job.single_loop]),
              ("fp", [job for job in selected if job.group == "fp"])]
    return [(name, of_group) for name, of_group in groups if of_group]


def above_blocks(samples, job, field="peak"):
    peaks = [samples.peak_mb(job, way, field) for way in ("kiln", "blocks")]
    return peaks[0] - peaks[1] if all(peaks) else None


def figures(samples, means):
    def mean(group, ratio):
        return means.get(group, {}).get(ratio)

    slowest = worst([job for job in samples.jobs if job.single_loop], lambda job: samples.ratio(job, "kiln", "native"))
    memory = worst(samples.jobs, lambda job: above_blocks(samples, job))
    return [Figure("integer kernels, times as fast as qemu", mean("int", "qemu/kiln"), least=2.4),
            Figure("floating-point kernels, times as fast as qemu", mean("fp", "qemu/kiln"), least=7),
            Figure("integer kernels, times native", mean("int", "kiln/native"), most=2.3),
            Figure("floating-point kernels, times native without vectorisation", mean("fp", "kiln/novec"), most=1.5),
            Figure("single hot integer loops, times native, geometric mean", mean("single loop", "kiln/native"), most=1.25),
            Figure(f"single hot integer loops, times native, the worst ({slowest[1]})", slowest[0], most=1.25),
            Figure(f"kernels: memory of the guest's process above `none`, the most ({memory[1]})", memory[0], most=MEMORY_MB, unit=" MB")]


RATIOS = (("qemu", "kiln", "cpu"), ("qemu", "kiln", "wall"), ("kiln", "native", "cpu"), ("kiln", "novec", "cpu"), ("kiln", "blocks", "cpu"))


def ratio_name(above, below, field):
    return f"{above}/{below}" + (" wall" if field == "wall" else "")


def report(samples, ways, percent):
    """(lines, means)"""
    rows, means = [], {}
    for job in samples.jobs:
        rows.append([job.name, job.group + (", loop" if job.single_loop else ""), *(cell(samples.median(job, way)) for way in ways),
                     cell(samples.median(job, "kiln", "optimizer")), cell(samples.median(job, "kiln", "wall")),
                     *(cell(samples.ratio(job, *ratio)) for ratio in RATIOS), cell(samples.spread(job), 0, " %"),
                     *(cell(samples.peak_mb(job, way), 1) for way in ("qemu", "blocks", "kiln")),
                     cell(samples.peak_mb(job, "kiln", "optimizer_peak"), 0)])
    for group, of_group in in_groups(samples.jobs):
        means[group] = {ratio_name(*ratio): samples.mean_ratio(of_group, *ratio) for ratio in RATIOS}
        rows.append(["**geometric mean**", group, *[""] * (len(ways) + 2), *(f"**{cell(value)}**" for value in means[group].values()),
                     *[""] * 5])
    lines = ["CPU seconds of the process tree (medians), kiln-opt included; peak resident memory in MB. `blocks` is kiln without hot paths "
             "(`--mode=none`), `novec` is native without vectorisation. "
             f"Size: {percent} % of the full one; " + ", ".join(
                 f"{way} at most {most} %" for way, most in MOST_PERCENT.items() if way in ways) + ", scaled up.", ""]
    lines += table(["kernel", "group", *(f"{way} s" for way in ways), "in kiln-opt s", "kiln wall s", *(ratio_name(*r) for r in RATIOS),
                    "spread", "qemu MB", "blocks MB", "kiln MB", "kiln-opt MB"], rows, left=2)
    return lines, means


def measure(options, launch, ways, kernels):
    selected = jobs(options, kernels, ways)
    samples = run("kernels", selected, list(ways), options.rounds, launch, once=("interp", *options.once))
    lines, means = report(samples, ways, options.percent)
    panel = ("Kernels", [(job.name, job.group, samples.ratio(job, "qemu", "kiln") or 0) for job in selected])
    return Section("kernels", "Kernels", lines, {**samples.data(), "geometric_means": means}, samples.failures, panel,
                   figures(samples, means))
