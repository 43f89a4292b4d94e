# SPDX-License-Identifier: MIT
"""Building and running the guest programs of this folder."""

import contextlib
import fcntl
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
GCC = "riscv64-linux-gnu-gcc"
CFLAGS = ["-march=rv64gc", "-mabi=lp64d", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector",
          "-fno-pic", "-mcmodel=medany", "-nostdlib", "-static", "-Wl,--no-relax", "-Wl,--build-id=none",
          "-Wl,-z,separate-code"]
QEMU = ["qemu-riscv64", "-cpu", "rv64,zba=true,zbb=true,zbc=true,zbs=true"]


@contextlib.contextmanager
def alone(directory):
    """Several runs (of other tiers) may share the directory; one builds at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def newer(made, sources):
    return made.exists() and made.stat().st_mtime >= max(path.stat().st_mtime for path in sources)


def link(executable, sources, blobs=()):
    """Compiles and links what changed; the objects lie beside the executable's folder."""
    executable.parent.mkdir(parents=True, exist_ok=True)
    objects = [compile_source(pathlib.Path(source), executable.parent.parent / "objects") for source in sources]
    if not newer(executable, [*objects, *blobs]):
        made = executable.with_suffix(".new")
        subprocess.run([GCC, *CFLAGS, "-o", made, *objects], check=True)
        made.replace(executable)
    return executable


def compile_source(source, directory):
    if not source.is_relative_to(HERE):
        return source
    directory.mkdir(parents=True, exist_ok=True)
    made = directory / f"{source.parent.name}-{source.name}.o"
    if not newer(made, (source, HERE / "guest.h", HERE / "asm" / "check.h")):
        subprocess.run([GCC, *CFLAGS, "-c", "-o", made, source], check=True)
    return made


def build_units(program, directory):
    """Links the driver with a program's units; returns the executable."""
    directory.mkdir(parents=True, exist_ok=True)
    blobs = program.write(directory)
    return link(directory / "insn", [HERE / "enter.S", HERE / "driver.c", directory / "units.S"], blobs)


def build_asm(source, directory):
    """One of the self-checking programs."""
    asm = HERE / "asm"
    return link(directory / source.stem, [HERE / "enter.S", asm / "head.S", source, asm / "check.c", asm / "tail.S"])


def execute(command, timeout):
    """Output lines and, if the program did not come to its end, what happened."""
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, errors="replace",
                                stdin=subprocess.DEVNULL)
        lines, code, errors = result.stdout.splitlines(), result.returncode, result.stderr
    except subprocess.TimeoutExpired as expired:
        lines, code, errors = (expired.stdout or b"").decode(errors="replace").splitlines(), f"no end in {timeout} s", ""
    if lines and lines[-1] == "end":
        return lines, ""
    return lines, f"{code}: {' '.join(lines[-1:])} {errors.strip()[-300:]}"


class Reference:
    """The cases of a program as qemu runs them; kept beside it, as they do not change with kiln."""

    def __init__(self, executable, timeout):
        cached = executable.with_suffix(".expected")
        if newer(cached, [executable]):
            lines = cached.read_text().splitlines()
        else:
            lines, trouble = execute([*QEMU, executable, "-e"], timeout)
            if trouble:
                sys.exit(f"the reference run failed: {trouble}")
            cached.write_text("\n".join(lines))
        self.cases = cases_of(lines)


def cases_of(lines):
    """case: (row, hash and number of signals)."""
    cases = {}
    for line in lines:
        parts = line.split(" ")
        if len(parts) >= 3 and len(parts[2]) == 16 and "." in parts[1]:
            cases[parts[1]] = (parts[0], parts[2:])
    return cases
