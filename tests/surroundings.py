#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What surrounds a program: a sysroot with links, limits, a full disk, hidden descriptors, a root without /proc, the processor.

    tests/surroundings.py --kiln build/kiln --build build

What a program built for this machine does in the same place is what is expected, where that makes sense."""
import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import support

counts = {True: 0, False: 0}
KIB = 1024
LIMITS = {"s": resource.RLIMIT_STACK, "v": resource.RLIMIT_AS, "d": resource.RLIMIT_DATA, "n": resource.RLIMIT_NOFILE}


def check(good, what):
    counts[bool(good)] += 1
    if not good:
        print(f"FAIL {what}")


class Machine:
    """Runs the program: kiln(...) under kiln, native(...) natively. `before` is called in the child before it starts."""

    def __init__(self, kiln, programs):
        self.path, self.programs = kiln, programs

    def run(self, command, before=None, cwd=None):
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, preexec_fn=before, timeout=60,
                              env=support.environment(), cwd=cwd)
        return support.Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def kiln(self, *words, options=(), **how):
        return self.run([self.path, *options, self.programs["riscv64"], *words], **how)

    def native(self, *words, **how):
        return self.run([self.programs["native"], *words], **how)


def limit(name, value):
    return lambda: resource.setrlimit(LIMITS.get(name, name), (value, value))


# ---- the sysroot -------------------------------------------------------------------------------------------------------------

def make_sysroot(folder):
    """Names that exist below the sysroot, on the host, or in both; links of all kinds between them."""
    root, host = folder / "root", folder / "host"
    inside = root / str(host)[1:]  # the same name below the sysroot
    for place in (root / "sub/deep", inside, host, root / "proc"):
        place.mkdir(parents=True)
    for file, text in ((root / "target", "root\n"), (root / "sub/deep/file", "deep\n"), (host / "alone", "host\n"),
                       (host / "both", "host\n"), (inside / "both", "root\n"), (inside / "below", "root\n")):
        file.write_text(text)
    for name, target in (("absolute", "/target"), ("relative", "sub/../target"), ("chain", "absolute"), ("folder", "/sub/deep"),
                         ("sub/up", "../../../../target"), ("to-both", host / "both"), ("to-host", host / "alone"),
                         ("to-below", host / "below"), ("dangling", "/nowhere/x"), ("loop", "loop2"), ("loop2", "loop"),
                         ("kernel", "/proc/self/status"), ("host-folder", host), ("program", "/bin-of-root/program"),
                         ("script", "/bin-of-root/script")):
        (root / name).symlink_to(target)
    (host / "to-root").symlink_to("/target")
    return root, host


def test_sysroot(machine, folder):
    root, host = make_sysroot(folder)
    (root / "bin-of-root").mkdir()
    shutil.copy(machine.programs["riscv64"], root / "bin-of-root/program")
    (root / "bin-of-root/script").write_text("#!/program args\n")
    (root / "bin-of-root/script").chmod(0o755)

    def shows(expected, *words):
        done = machine.kiln(*words, options=["-L", root])
        check(done.output == expected + "\n" and done.status == 0, f"sysroot: {' '.join(map(str, words))}: {done.output!r}, not {expected!r}; "
              f"{done.describe()}")

    for expected, path in (("root", "/absolute"), ("root", "/relative"), ("root", "/chain"), ("deep", "/folder/file"), ("root", "/sub/up"),
                           ("root", "/../../target"), ("root", "/to-both"), ("host", "/to-host"), ("root", "/to-below"),
                           ("ENOENT", "/dangling"), ("ELOOP", "/loop"), ("root", "/folder/../../target"), ("ENOTDIR", "/absolute/"),
                           ("host", host / "alone"), ("root", host / "both"), ("root", "/host-folder/both"), ("host", "/host-folder/alone"),
                           ("ENOENT", host / "to-root"), ("root", "/sub/./deep//../../chain"), ("ENOENT", "/folder/none")):
        shows(expected, "file", path)
    check(machine.kiln("file", "/kernel", options=["-L", root]).output.startswith("Name:"), "sysroot: a link to /proc is this machine's")
    for expected, path in (("/target", "/absolute"), ("absolute", "/chain"), ("EINVAL", "/target"), ("EINVAL", "/folder/file"),
                           (str(host), "/host-folder")):
        shows(expected, "link", path)
    for expected, path in (("link file", "/absolute"), ("link folder", "/folder"), ("folder folder", "/folder/"), ("link ENOENT", "/dangling"),
                           ("file file", "/folder/file"), ("link ELOOP", "/loop")):
        shows(expected, "kind", path)
    shows("made", "make", host / "new")
    check((host / "new").read_text() == "made\n", "sysroot: a new file is this machine's")
    shows("EEXIST", "make", "/absolute")
    shows("deep", "cd", "/sub/deep", "file")  # a folder that only the sysroot has
    shows("host", "cd", host, "both")  # in both: this machine's
    shows("[/program][args][x]", "exec", "/program", "args", "x")
    shows("[/program][args][/script][x]", "exec", "/script", "x")
    for target in ("", "x" * 3000, "/" * 3000, "/a" * 1900, "../" * 1000):
        (folder / "long").unlink(missing_ok=True)
        if target:
            (root / "long").unlink(missing_ok=True)
            (root / "long").symlink_to(target)
        done = machine.kiln("file", "/long", options=["-L", root])
        check(done.status == 0 and done.output, f"sysroot: a link to {len(target)} characters: {done.describe()}")


# ---- what a dynamic program needs -------------------------------------------------------------------------------------------

CROSS = Path("/usr/riscv64-linux-gnu")  # package libc6-riscv64-cross
LINKER = "lib/ld-linux-riscv64-lp64d.so.1"


def test_missing_pieces(machine, folder):
    """A dynamic linker or library that is missing, of another machine, or nonsense: a message, as exit status what a shell would say."""
    program, root = folder / "dynamic", folder / "pieces"
    built = support.run([*support.COMPILERS["riscv64"], "-D_GNU_SOURCE", "-o", program, support.ROOT / "tests/prog/surroundings.c"], 60)
    check(built.status == 0, f"a dynamic program: {built.describe()}")
    (root / "lib").mkdir(parents=True)

    def ends(what, status, text, sysroot=root):
        done = machine.run([machine.path, *(["-L", sysroot] if sysroot else []), program, "args"])
        check(done.status == status and text in done.errors + done.output and done.errors.count("\n") <= 1, f"{what}: {done.describe()}")

    if not Path("/" + LINKER).exists():
        ends("no sysroot", 127, f"its dynamic linker '/{LINKER}' is not there (-L", None)
        ends("no linker in the sysroot", 127, f"is not there, nor under {root}")
    ends("all there", 0, "[args]", CROSS)
    for what, content, text in (("empty", b"", "dynamic linker"), ("text", b"no program\n" * 100, "dynamic linker"),
                                ("of this machine", Path("/bin/true").read_bytes(), "dynamic linker"),
                                ("cut off", (CROSS / LINKER).read_bytes()[:5000], "dynamic linker")):
        (root / LINKER).write_bytes(content)
        (root / LINKER).chmod(0o755)
        ends(f"a linker that is {what}", 126, text)
    shutil.copy(CROSS / LINKER, root / LINKER)
    ends("no library", 127, "libc.so.6")
    library = root / "lib/libc.so.6"
    for what, content in (("of this machine", next(Path("/lib").glob("x86_64*/libc.so.6")).read_bytes()), ("cut off", b"\x7fELF"), ("text", b"x")):
        library.write_bytes(content)
        ends(f"a library that is {what}", 127, "libc.so.6")
    script = folder / "to-dynamic"
    script.write_text(f"#!{program} args\n")
    script.chmod(0o755)
    for chain in ([program], [script]):
        done = machine.kiln("exec", *chain, options=["-L", folder / "root"])
        check(done.output == "ENOENT\n", f"execve of {chain[0].name} without a linker: {done.output!r}")


# ---- limits --------------------------------------------------------------------------------------------------------------------

def test_limits(machine):
    """Whatever the limit, the program works or a message says why not; never nothing. (With still less the host's kernel kills Kiln before
    its first instruction: it has no memory for Kiln's own.)"""
    sweeps = {"s": [32, 40, 48, 64, 100, 128, 256, 512, 1024, 8192],
              "v": [3000, 4000, 6000, 8000, 11000, 14000, 16000, 20000, 25000, 30000, 50000, 100000, 140000, 300000],
              "d": [1000, 1500, 2000, 4000, 8000, 11000, 14000, 16000, 20000, 30000, 50000, 100000, 140000, 300000],
              "n": [0, 1, 2, 3, 4, 5, 8, 20]}
    worked = dict.fromkeys(sweeps, 0)
    for name, values in sweeps.items():
        for value in values:
            done = machine.kiln("args", before=limit(name, value if name == "n" else value * KIB))
            good = done.status == 0 and done.output.endswith("[args]\n")
            told = done.status == 126 and done.errors.startswith("kiln: ") and done.errors.count("\n") == 1
            check(good or told, f"ulimit -{name} {value}: {done.describe()}")
            worked[name] += good
        last = machine.kiln("args", before=limit(name, 64 if name == "n" else 1 << 30))
        check(last.status == 0, f"a large limit {name}: {last.describe()}")
    check(worked["s"] >= 10 and worked["v"] >= 5 and worked["d"] >= 5 and worked["n"] >= 4, f"too few limits suffice: {worked}")


def test_limits_of_the_guest(machine):
    """Limits that the guest sets count for it and for what it executes: by the same rules, and in programs of the host too."""
    guest, native = machine.programs["riscv64"], machine.programs["native"]
    for name in "svd":
        for program in (guest, native):
            chain = ["limit", name, "50000", program]
            check(machine.kiln(*chain, "limits", name).output == f"{name} 50000\n", f"limit {name} after execve of {program.name}")
        chain = ["limit", name, "50000", guest, "limit", name, "40000", guest, "exec", guest, "limits", name]
        check(machine.kiln(*chain).output == f"{name} 40000\n", f"limit {name} after several execve")
    for name in "vd":
        for size, expected in (("20000", "mapped"), ("90000", "ENOMEM")):
            for program in (guest, native):
                done = machine.kiln("limit", name, "60000", program, "allocate", size)
                check(done.output == expected + "\n", f"{size} KiB below ulimit -{name} 60000 in {program.name}: {done.describe()}")
    for size in ("16", "64", "200"):
        done = machine.kiln("limit", "s", size, guest, "exec", guest, "limits", "s")
        check(done.output == f"s {size}\n", f"a stack limit of {size} KiB that the guest set: {done.describe()}")


# ---- a full disk ---------------------------------------------------------------------------------------------------------------

def test_full_disk(machine, folder):
    """A file system of 512 KiB; where none can be mounted /dev/full and the limit on file sizes must do."""
    small = folder / "small"
    small.mkdir()
    mounted = os.geteuid() == 0 and support.run(["mount", "-t", "tmpfs", "-o", "size=512k", "kiln-test", small], 20).status == 0
    try:
        if mounted:
            for mode in ("fill", "map"):
                done, native = machine.kiln(mode, small / "file"), machine.native(mode, small / "file")
                check(done.same == native.same and "E" in done.output, f"{mode} on a full disk: {done.output!r}, natively {native.output!r}")
                (small / "file").unlink()
            logs_on_full_disk(machine, small)
    finally:
        if mounted:
            support.run(["umount", small], 20)
    for how in ([], ["handler"], ["ignored"]):
        before = limit(resource.RLIMIT_FSIZE, 10000)
        done, native = (way("fill", folder / "file", *how, before=before) for way in (machine.kiln, machine.native))
        check(done.same == native.same, f"limit on file sizes {how}: {done.describe()} {done.output!r}, natively {native.output!r}")
    check(machine.kiln("fill", "/dev/full").output == "ENOSPC after 0\n", "/dev/full")
    for log in (["-strace"], ["-d", "in_asm,op,out_asm"]):
        done = machine.kiln("exec", machine.programs["riscv64"], "args", options=[*log, "-D", "/dev/full"])
        check(done.output.endswith("[args]\n") and done.errors.count("the log ends here: No space left") == 2,
              f"{log} to /dev/full: {done.describe()}")
        before = limit(resource.RLIMIT_FSIZE, 500)
        done = machine.kiln("args", options=[*log, "-D", folder / "log"], before=before)
        check(done.status == 0 and "the log ends here: File too large" in done.errors and (folder / "log").stat().st_size == 500,
              f"{log} and the limit on file sizes: {done.describe()}")


def logs_on_full_disk(machine, small):
    done = machine.kiln("args", options=["-d", "in_asm,op,op_opt,out_asm", "-D", small / "log"])
    size = (small / "log").stat().st_size
    check(done.status == 0 and done.errors == "kiln: warning: the log ends here: No space left on device\n" and size > 400 * KIB,
          f"a log on a full disk: {size} bytes, {done.describe()}")
    done = machine.kiln("args", options=["-strace", "-D", small / "log"])
    check(done.status == 0 and not done.errors and "exit_group" in (small / "log").read_text(), f"room again: {done.describe()}")


# ---- descriptors ---------------------------------------------------------------------------------------------------------------

def test_descriptors(machine, folder):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    plain = machine.kiln("fds")
    check(plain.output == "0 1 2 | 0 1 2 \n", f"descriptors of a program: {plain.output!r}")
    for options in (["-strace"], ["-d", "exec"], ["-d", "strace,in_asm"]):
        for limits in {min(limits, hard) for limits in (20, 64, 1024, 100000)}:
            for mode in ("fds", "close"):
                log = folder / "fds.log"
                done = machine.kiln(mode, options=[*options, "-D", log], before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limits, hard)))
                check(done.output == plain.output, f"{mode} with a log {options}, limit {limits}: {done.output!r}")
                check("exit_group(0)" in log.read_text() or "exec" in options, f"the log of {mode} goes on, {options}, limit {limits}")


# ---- a root without /proc --------------------------------------------------------------------------------------------------------

def test_no_proc(machine, folder):
    """kiln and a program in a folder that becomes the root: nothing else is there, /proc is not."""
    if os.geteuid() != 0:
        return
    root = folder / "jail"
    root.mkdir()
    shutil.copy(Path(machine.path).resolve(), root / "kiln")
    shutil.copy(machine.programs["riscv64"], root / "program")
    shutil.copy(machine.programs["native"], root / "native")
    (root / "script").write_text("#!/program args\n")
    (root / "script").chmod(0o755)
    other = folder / "jail without kiln"
    other.mkdir()
    for name in ("program", "script"):
        shutil.copy(root / name, other / name)

    program = ["/program", "exec", "/script", "z"]
    for options in ([], ["-strace", "-D", folder / "jail.log"]):
        done = machine.kiln("chroot", other, *program, options=options)
        check(done.output == "[/program][args][/script][z]\n", f"chroot without /proc and kiln, {options}: {done.output!r}; {done.describe()}")
        done = machine.kiln("chroot", other, "/program", "exec", "/program", "fds", options=options)
        check(done.output == "0 1 2 | \n", f"descriptors there, {options}: {done.output!r}; {done.describe()}")

    def enter():
        os.chroot(root)
        os.chdir("/")

    os.environ["PATH"] += ":/"
    for kiln in ("/kiln", "./kiln", "kiln"):
        for chain, expected in ((["exec", "/program", "args", "x"], "[/program][args][x]"), (["exec", "/script", "y"], "[/program][args][/script][y]"),
                                (["exec", "/program", "exec", "./program", "exec", "/program", "args"], "[/program][args]"),
                                (["exec", "/native", "args", "x"], "[/native][args][x]"), (["exec", "/none"], "ENOENT")):
            done = machine.run([kiln, "/program", *chain], before=enter)
            check(done.output == expected + "\n", f"without /proc, {kiln}: {' '.join(chain)}: {done.output!r}; {done.describe()}")


# ---- the processor ---------------------------------------------------------------------------------------------------------------

HWPROBE = {"zba": 3, "zbb": 4, "zbs": 5, "zbc": 7, "zicond": 35}  # bits of RISCV_HWPROBE_KEY_IMA_EXT_0; F and D are 0, C is 1


def test_processor(machine):
    """AT_HWCAP, riscv_hwprobe and /proc/cpuinfo agree with each other and with -cpu."""
    changes = {"": set(HWPROBE), "rv64gc": set(), "rva22": {"zba", "zbb", "zbs"}, "max": set(HWPROBE), "sifive-u54": set(), "rv64": set(HWPROBE)}
    models = [(model, extensions) for model, extensions in changes.items()]
    models += [(f"max,{name}=off", set(HWPROBE) - {name}) for name in HWPROBE] + [(f"rv64gc,{name}=on", {name}) for name in HWPROBE]
    for model, extensions in models:
        done = machine.kiln("cpu", options=["-cpu", model] if model else [])
        found = re.fullmatch(r"(\w+) (\w+) rv64(\w*?)((?:_\w+?)*)\n", done.output)
        if not found:
            check(False, f"-cpu {model}: {done.describe()}")
            continue
        hwcap, probed, letters, names = int(found[1], 16), int(found[2], 16), found[3].partition("_")[0], done.output.strip().split("_")[1:]
        check(hwcap == sum(1 << ord(letter) - ord("a") for letter in letters), f"-cpu {model}: hwcap and {letters}")
        check(probed == (3 | sum(1 << HWPROBE[name] for name in extensions)), f"-cpu {model}: hwprobe {probed:x}")
        check({name for name in names if name in HWPROBE} == extensions, f"-cpu {model}: cpuinfo {names}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True)
    args = parser.parse_args()
    source, programs = support.ROOT / "tests/prog/surroundings.c", {}
    for machine in support.COMPILERS:
        programs[machine] = args.build.resolve() / f"test-programs/surroundings.{machine}"
        error = support.compile_c(source, programs[machine], machine, ["-O1", "-D_GNU_SOURCE"])
        if error:
            print(f"FAIL {error}\n0 passed, 1 failed")
            return 1
    machine = Machine(args.kiln.absolute(), programs)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and a program would inherit that
    with tempfile.TemporaryDirectory(prefix="kiln-surroundings-") as name:
        folder = Path(name).resolve()
        test_sysroot(machine, folder)
        test_missing_pieces(machine, folder)
        test_limits(machine)
        test_limits_of_the_guest(machine)
        test_full_disk(machine, folder)
        test_descriptors(machine, folder)
        test_no_proc(machine, folder)
        test_processor(machine)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
