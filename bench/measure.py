# SPDX-License-Identifier: MIT
"""What the sections of the benchmark share: running a job in every way in turn, failures by name, medians, tables.

A job that fails in one way (a status, a time limit, another output than the rest) is counted as a failure, leaves that
way's figures empty, and does not stop the bench."""
import hashlib
import math
import os
import signal
import statistics
import subprocess
import sys

TIMEOUT = 180  # seconds for one measurement


class Job:
    """Something to measure: `commands` maps the name of a way to its command line."""

    def __init__(self, name, commands, group="", environments=None, cwd=None, stdin=None, count=1, scale=None):
        self.name, self.commands, self.group, self.cwd, self.stdin, self.count = name, commands, group, cwd, stdin, count
        self.environments, self.scale = environments or {}, scale or {}  # scale: ways that did this share of the work alone


class Cost:
    """What `launch` reported for one run of a command; `failure` is '' or says why there is nothing."""

    def __init__(self, launch, count, command, environment=None, cwd=None, stdin=None, timeout=TIMEOUT):
        self.cpu = self.wall = self.peak = 0
        self.output, self.failure = b"", ""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("KILN_", "QEMU_"))}
        with open(stdin or os.devnull, "rb") as source:
            process = subprocess.Popen([str(launch), str(count), *map(str, command)], stdin=source, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, cwd=cwd, env={**clean, **(environment or {})}, start_new_session=True)
            try:
                self.output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                self.failure = f"not done after {timeout} s"
                return
        lines = errors.decode(errors="replace").strip().splitlines() or [""]
        if not lines[-1].startswith("launch: ") or len(lines[-1].split()) != 6:
            self.failure = lines[-1]
            return
        user, system, wall, self.peak, status = map(int, lines[-1].split()[1:])
        self.cpu, self.wall = (user + system) / 1e6, wall / 1e6
        if status:
            self.failure = f"status {status}" + (f": {lines[0]}" if len(lines) > 1 else "")

    def describe(self):
        return f"{self.output[:100]!r} ({len(self.output)} bytes, sha256 {hashlib.sha256(self.output).hexdigest()[:12]})"


class Samples:
    """The figures of all jobs: job -> way -> list over rounds, and what failed."""

    def __init__(self, jobs, ways):
        self.jobs, self.ways, self.failures = jobs, ways, []
        self.cpu, self.wall, self.peak = ({j.name: {w: [] for w in ways} for j in jobs} for _ in range(3))
        self.output = {}  # job -> what the first way printed

    def fail(self, job, way, reason):
        self.failures.append(f"{job.name} under {way}: {reason}")
        print(f"FAIL {self.failures[-1]}", flush=True)
        for figures in (self.cpu, self.wall, self.peak):
            figures[job.name][way] = []

    def add(self, job, way, cost):
        scale = job.scale.get(way, 1)
        if cost.failure:
            return self.fail(job, way, cost.failure)
        if scale == 1 and cost.output != self.output.setdefault(job.name, cost.output):
            return self.fail(job, way, f"printed {cost.describe()} and not {self.output[job.name][:100]!r}")
        self.cpu[job.name][way].append(cost.cpu / job.count / scale)
        self.wall[job.name][way].append(cost.wall / job.count / scale)
        self.peak[job.name][way].append(cost.peak)

    def median(self, job, way):
        values = self.cpu[job.name].get(way)
        return statistics.median(values) if values else None

    def peak_mb(self, job, way):
        values = self.peak[job.name].get(way)
        return max(values) / 1024 if values else None

    def ratio(self, job, above, below):
        return quotient(self.median(job, above), self.median(job, below))

    def spread(self, job, way="kiln"):
        values = self.cpu[job.name].get(way)
        return (max(values) - min(values)) / max(statistics.median(values), 1e-9) * 100 if values else None

    def data(self):
        return {"cpu": self.cpu, "wall": self.wall, "peak_kb": self.peak, "groups": {j.name: j.group for j in self.jobs},
                "failures": self.failures}


def run(title, jobs, ways, rounds, launch, once=()):
    """Measures all jobs; `once` names ways that the first round alone runs. A way that failed a job is not tried again."""
    samples, failed = Samples(jobs, ways), set()
    for number in range(rounds):
        for job in jobs:
            for way in ways:
                if (job.name, way) in failed or way not in job.commands or number and way in once:
                    continue
                before = len(samples.failures)
                samples.add(job, way, Cost(launch, job.count, job.commands[way], job.environments.get(way), job.cwd, job.stdin))
                if len(samples.failures) > before:
                    failed.add((job.name, way))
        print(f"{title}: round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return samples


class Section:
    """What a section of the bench found: Markdown lines, data for the JSON file, failures, and bars for the plot or None."""

    def __init__(self, name, title, lines, data, failures, panel=None):
        self.name, self.title, self.lines, self.data, self.failures, self.panel = name, title, lines, data, failures, panel


def quotient(a, b):
    return a / b if a and b else None


def geometric_mean(values):
    values = [v for v in values if v]
    return math.exp(statistics.fmean(math.log(v) for v in values)) if values else None


def cell(value, digits=2, unit=""):
    return f"{value:.{digits}f}{unit}" if value is not None else "-"


def table(head, rows, left=1):
    """A Markdown table; the first `left` columns are text."""
    return ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left),
            *("| " + " | ".join(row) + " |" for row in rows)]
