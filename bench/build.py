# SPDX-License-Identifier: MIT
"""Builds the benchmark programs for the host and for riscv64, into one folder; only what is older than its source."""
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILERS = {
    "native": ["gcc", "-march=x86-64-v2"],
    "novec": ["gcc", "-march=x86-64-v2", "-fno-tree-vectorize", "-fno-tree-slp-vectorize"],  # floating-point kernels alone
    "riscv64": ["riscv64-linux-gnu-gcc", "-march=rv64gc"],
}
COLD_FUNCTIONS = 4000


def header(source, key):
    """The value of a `// key: value` comment line of a kernel, or ''."""
    found = re.search(rf"^// {key}: (.*)$", source.read_text(), re.MULTILINE)
    return found.group(1).strip() if found else ""


class Program:
    """A benchmark program: its source, what its head says, and its binaries below the build folder."""

    def __init__(self, source, folder, optimise="-O2", dynamic=False):
        self.source, self.name, self.folder = source, source.stem + ("-dynamic" if dynamic else ""), folder
        self.group = header(source, "group")
        self.single_loop = header(source, "loop") == "single"
        self.size = int(header(source, "size") or 100)
        self.flags = [optimise, *([] if dynamic else ["-static"]), "-w"] + header(source, "flags").split()

    def machines(self):
        return [machine for machine in COMPILERS if machine != "novec" or self.group == "fp"]

    def binary(self, machine):
        return self.folder / f"{self.name}.{machine}"

    def build(self, machine):
        target = self.binary(machine)
        newest = max(self.source.stat().st_mtime, (HERE / "kernels/kernel.h").stat().st_mtime)
        if target.exists() and target.stat().st_mtime > newest:
            return
        subprocess.run(COMPILERS[machine] + self.flags + ["-o", target, self.source, "-lm"], check=True)


def programs(folder):
    """(kernels, the other programs by name, path of the launcher), all built."""
    folder.mkdir(parents=True, exist_ok=True)
    kernels = [Program(source, folder) for source in sorted((HERE / "kernels").glob("*.c"))]
    cold_source = folder / "cold.c"
    text = subprocess.run(["python3", HERE / "generate_cold.py", str(COLD_FUNCTIONS)], check=True, capture_output=True).stdout
    if not cold_source.exists() or cold_source.read_bytes() != text:
        cold_source.write_bytes(text)
    others = [Program(HERE / "hello.c", folder), Program(HERE / "hello.c", folder, dynamic=True), Program(HERE / "spawn.c", folder),
              Program(HERE / "threads.c", folder),
              Program(cold_source, folder, "-O1")]
    launch, source = folder / "launch", HERE / "launch.c"
    if not launch.exists() or launch.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["gcc", "-O2", "-static", "-o", launch, source], check=True)
    if shutil.which("riscv64-linux-gnu-gcc") is None:
        raise SystemExit("bench: riscv64-linux-gnu-gcc is missing (make deps)")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: job[0].build(job[1]), [(p, m) for p in [*others, *kernels] for m in p.machines()]))
    return kernels, {p.name: p for p in others}, launch
