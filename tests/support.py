# SPDX-License-Identifier: MIT
"""What the test programs of this folder share: running commands under a time limit, building guest programs, counting."""
import os
import re
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIERS = ("fast", "interp")
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)
COMPILERS = {"native": ["gcc", "-march=x86-64-v2"], "riscv64": ["riscv64-linux-gnu-gcc", "-march=rv64gc"]}


class Result:
    """How a command ended. status: exit code, minus the signal that killed it, or 'timeout'."""

    def __init__(self, status, output, errors):
        self.status, self.output, self.errors = status, output, errors

    @property
    def same(self):
        """What must not differ between two ways to run a program."""
        return self.status, self.output

    def describe(self):
        tail = (self.errors or self.output).strip().splitlines()[-3:]
        return f"status {self.status}: " + " / ".join(tail)


def environment():
    """Ours without the variables that would steer kiln or qemu."""
    dropped = ("KILN_", "QEMU_", "MAKE", "MFLAGS")  # what `make check` hands on is not the tests' affair
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)}


def run(command, timeout, stdin=None, cwd=None, extra_env=None):
    """Runs a command in a process group of its own, which is killed when time is up."""
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=cwd,
                               env={**environment(), **(extra_env or {})})
    try:
        output, errors = process.communicate(stdin, timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        status = "timeout"
    return Result(status, output.decode(errors="replace"), errors.decode(errors="replace"))


def closing(text):
    """(passed, failed) of the last closing line, or None."""
    found = CLOSING.findall(text)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def compile_c(source, target, machine, flags, timeout=120):
    """Builds a static program unless it is newer than its source. Returns an error text or ''."""
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return ""
    target.parent.mkdir(parents=True, exist_ok=True)
    done = run([*COMPILERS[machine], "-static", *flags, "-o", target, source, "-lm"], timeout)
    return "" if done.status == 0 else f"cannot build {source.name} for {machine}: {done.describe()}"


def ways(kiln, tiers=TIERS, options=()):
    """{name: command prefix} of the ways to run a riscv64 program under kiln."""
    return {tier: [str(kiln), f"--tier={tier}", *options] for tier in tiers}
