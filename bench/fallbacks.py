# SPDX-License-Identifier: MIT
"""How often generated code calls the evaluator, which does what has no host code: for each program, of a million guest instructions, and
for which operation most. Counts, not times: one run each, in which executions are counted."""
import os
import re
import subprocess

import debian
import kernels as c_kernels
from measure import Figure, Section, cell, table

PERCENT, MOST = 2, 1000


def count(command, environment=None, cwd=None):
    """(guest instructions, calls, name of the operation) or None."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    numbers = dict(re.findall(r"^(insns_all|fallbacks_executed) +(\d+) ", done.stderr, re.MULTILINE))
    operations = re.findall(r"^fallback (\S+) +(\d+) ", done.stderr, re.MULTILINE)
    if done.returncode or len(numbers) != 2:
        return None
    name = max(operations, key=lambda row: int(row[1]))[0] if operations else ""
    return int(numbers["insns_all"]), int(numbers["fallbacks_executed"]), name


def measure(options, ways, kernels):
    kiln = [*ways["kiln"], "--stats", "--count"]
    rows, failures, found = [], [], []
    work = [(kernel.name, c_kernels.command(kernel, "kiln", kiln, PERCENT)[0], None, None) for kernel in kernels]
    try:
        for job in debian.jobs(debian.fetch(), {"native": [], "kiln": kiln}, options.build / "debian", options.percent):
            work.append((job.name, job.commands["kiln"], debian.COMMON, job.cwd))
    except RuntimeError as error:
        failures.append(f"fallbacks: {error}")
    for name, command, environment, cwd in work:
        result = count(command, environment, cwd)
        if not result:
            failures.append(f"fallbacks: {name}")
            continue
        insns, calls, operation = result
        found.append((name, calls * 1e6 / insns))
        rows.append([name, cell(insns / 1e6, 1), cell(found[-1][1], 1), operation or "-"])
    most = max(found, key=lambda row: row[1], default=("nothing", None))
    lines = [f"Kernels at {PERCENT} % of their size.", ""]
    lines += table(["program", "million guest instructions", "fallbacks in a million", "most frequent"], rows)
    return Section("fallbacks", "Fallbacks", lines, {"fallbacks": found}, failures, figures=[
        Figure(f"calls of the evaluator in a million guest instructions, the most ({most[0]})", most[1], most=MOST)])
