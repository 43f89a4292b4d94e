# SPDX-License-Identifier: MIT
"""What the Debian programs of the benchmark read: generated files, the same ones on every machine."""
import json
import random
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = "5"  # a folder of another version is written anew


def words(rng, count):
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    return ["".join(rng.choice(letters[:rng.randrange(5, 27)]) for _ in range(rng.randrange(2, 11))) for _ in range(count)]


def text(rng, size):
    """Lines of words by a skewed distribution, with numbers and compounds in between: it compresses about as prose does."""
    known, lines, length = words(rng, 6000), [], 0
    while length < size:
        line = " ".join(str(rng.randrange(1000)) if rng.random() < 0.05 else
                        known[int(6000 * rng.random() ** 3)] + ("-" + rng.choice(known) if rng.random() < 0.04 else "")
                        for _ in range(rng.randrange(4, 16)))
        lines.append(line + rng.choice([".", ",", "", ""]))
        length += len(line) + 1
    return "\n".join(lines) + "\n"


def table(rng, rows):
    names = words(rng, 400)
    return "".join(f"{i},{rng.choice(names)},{rng.randrange(1, 5000)},{rng.randrange(100) / 4},"
                   f"{rng.choice(names)}{rng.randrange(100)}\n" for i in range(rows))


def records(rng, count):
    names = words(rng, 400)
    return json.dumps([{"id": i, "kind": rng.choice(names[:40]), "name": f"{rng.choice(names)}{rng.randrange(1000)}",
                        "value": rng.randrange(10**6), "tags": [str(rng.randrange(50)) for _ in range(3)]} for i in range(count)])


def source():
    """For the compiler: a few of the kernels' functions would be over in no time, so generated ones."""
    return subprocess.run(["python3", HERE / "generate_cold.py", "30"], check=True, capture_output=True, text=True).stdout.replace(
        "#include <inttypes.h>\n#include <stdint.h>\n#include <stdio.h>\n",
        "typedef unsigned long uint64_t;\ntypedef long int64_t;\n#define PRIx64 \"lx\"\nint printf(const char *, ...);\n")


def generate(folder):
    """Writes the files into `folder` unless they are there; what other versions left is removed."""
    stamp = folder / "version"
    if stamp.exists() and stamp.read_text() == VERSION:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "text").write_text(text(random.Random(1), 6_000_000))
    (folder / "table.csv").write_text(table(random.Random(2), 120_000))
    (folder / "records.json").write_text(records(random.Random(3), 6_000))
    (folder / "source.c").write_text(source())
    whole = (folder / "text").read_bytes()
    (folder / "text-small").write_bytes(whole[:1_500_000])
    (folder / "text-tiny").write_bytes(whole[:300_000])
    stamp.write_text(VERSION)
