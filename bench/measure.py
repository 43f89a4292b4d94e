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

TIMEOUT = 900  # seconds for one measurement
FIELDS = ("cpu", "wall", "peak", "optimizer", "optimizer_peak")  # what is kept of each run, see Cost


class Job:
    """Something to measure: `commands` maps the name of a way to its command line."""

    def __init__(self, name, commands, group="", environments=None, cwd=None, stdin=None, count=1, scale=None):
        self.name, self.commands, self.group, self.cwd, self.stdin, self.count = name, commands, group, cwd, stdin, count
        self.environments, self.scale = environments or {}, scale or {}  # scale: ways that did this share of the work alone


class Cost:
    """What `launch` reported for one run of a command: CPU seconds of all its processes and seconds on the clock; the peak in KB of
    its largest process; the part of kiln-opt, which is in `cpu` but not in `peak`. `failure` is '' or says why there is nothing."""

    def __init__(self, launch, count, command, environment=None, cwd=None, stdin=None, timeout=TIMEOUT):
        self.cpu = self.wall = self.peak = self.optimizer = self.optimizer_peak = 0
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
        if not lines[-1].startswith("launch: ") or len(lines[-1].split()) != 8:
            self.failure = lines[-1]
            return
        user, system, wall, self.peak, status, optimizer, self.optimizer_peak = map(int, lines[-1].split()[1:])
        self.cpu, self.wall, self.optimizer = (user + system) / 1e6, wall / 1e6, optimizer / 1e6
        if status:
            self.failure = f"status {status}" + (f": {lines[0]}" if len(lines) > 1 else "")

    def describe(self):
        return f"{self.output[:100]!r} ({len(self.output)} bytes, sha256 {hashlib.sha256(self.output).hexdigest()[:12]})"


class Samples:
    """The figures of all jobs: job -> way -> list over rounds, and what failed."""

    def __init__(self, jobs, ways):
        self.jobs, self.ways, self.failures = jobs, ways, []
        self.figures = {field: {j.name: {w: [] for w in ways} for j in jobs} for field in FIELDS}
        self.cpu, self.wall = self.figures["cpu"], self.figures["wall"]
        self.output = {}  # job -> what the first way printed

    def fail(self, job, way, reason):
        self.failures.append(f"{job.name} under {way}: {reason}")
        print(f"FAIL {self.failures[-1]}", flush=True)
        for figures in self.figures.values():
            figures[job.name][way] = []

    def add(self, job, way, cost):
        scale = job.scale.get(way, 1)
        if cost.failure:
            return self.fail(job, way, cost.failure)
        if scale == 1 and cost.output != self.output.setdefault(job.name, cost.output):
            return self.fail(job, way, f"printed {cost.describe()} and not {self.output[job.name][:100]!r}")
        for field, figures in self.figures.items():
            whole = 1 if field.endswith("peak") else job.count * scale
            figures[job.name][way].append(getattr(cost, field) / whole)

    def values(self, job, way, field="cpu"):
        return self.figures[field][job.name].get(way) or []

    def median(self, job, way, field="cpu"):
        values = self.values(job, way, field)
        return statistics.median(values) if values else None

    def peak_mb(self, job, way, field="peak"):
        values = self.values(job, way, field)
        return max(values) / 1024 if values else None

    def ratio(self, job, above, below, field="cpu"):
        return quotient(self.median(job, above, field), self.median(job, below, field))

    def least_ratio(self, job, above, below):
        """Of the smallest samples: what remains of a difference of a few per cent on a machine that is not quiet."""
        return quotient(min(self.values(job, above), default=None), min(self.values(job, below), default=None))

    def spread(self, job, way="kiln"):
        values = self.values(job, way)
        return (max(values) - min(values)) / max(statistics.median(values), 1e-9) * 100 if values else None

    def mean_ratio(self, jobs, above, below, field="cpu"):
        return geometric_mean([self.ratio(job, above, below, field) for job in jobs])

    def data(self):
        return {**self.figures, "groups": {j.name: j.group for j in self.jobs},
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


class Figure:
    """One of the figures that Kiln is held to: what it says, what was measured (None: nothing) and the bound, with `least` or `most`."""

    def __init__(self, text, measured, most=None, least=None, unit=""):
        self.text, self.measured, self.most, self.least, self.unit = text, measured, most, least, unit

    def row(self):
        asked = f"at most {self.most:g}{self.unit}" if self.most is not None else f"at least {self.least:g}{self.unit}"
        if self.measured is None:
            return [self.text, asked, "-", "not measured"]
        met = self.measured <= self.most if self.most is not None else self.measured >= self.least
        return [self.text, asked, cell(self.measured, 2, self.unit), "yes" if met else "**no**"]


def worst(jobs, measure, largest=True):
    """(value, name) of the job for which `measure` gives most (or least); (None, "nothing") where it gives none."""
    found = [(value, job.name) for job in jobs if (value := measure(job)) is not None]
    return (max if largest else min)(found, default=(None, "nothing"))


class Section:
    """What a section of the bench found: Markdown lines, data for the JSON file, failures, bars for the plot or None, and the figures
    that were asked for."""

    def __init__(self, name, title, lines, data, failures, panel=None, figures=()):
        self.name, self.title, self.lines, self.data, self.failures, self.panel = name, title, lines, data, failures, panel
        self.rows = [figure.row() for figure in figures]


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
