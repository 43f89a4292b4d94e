#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kiln as a command: what it prints, how it ends, what the guest sees of arguments and environment.

    tests/options.py --kiln build/kiln --build build"""
import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import support

counts = {True: 0, False: 0}


def check(good, what):
    counts[bool(good)] += 1
    if not good:
        print(f"FAIL {what}")


class Kiln:
    def __init__(self, kiln, program):
        self.kiln, self.program = kiln, program

    def __call__(self, *options, guest=(), env=None, cwd=None):
        return support.run([self.kiln, *options, *([self.program, *guest] if guest is not None else [])], 30, extra_env=env, cwd=cwd)


def test_information(kiln):
    for option in ("--help", "-h", "-help"):
        done = kiln(option, guest=None)
        check(done.status == 0 and "--sysroot" in done.output and not done.errors, f"{option}: {done.describe()}")
    for option in ("--version", "-version"):
        check(kiln(option, guest=None).output.startswith("kiln "), option)
    for option in ("--man", "-man"):
        man = kiln(option, guest=None)
        check(man.status == 0 and man.output.startswith(".TH KILN 1") and "\\-\\-tier" in man.output, option)
    for option in ("--list-syscalls", "-list-syscalls"):
        done = kiln(option, guest=None)
        check(done.status == 0 and " 64 write " in done.output, option)
    for option, item in (("-cpu", "rva22"), ("--cpu", "rva22"), ("-d", "in_asm"), ("--log", "nochain"), ("--disable-pass", "fold")):
        for words in ([option, "help"], [f"{option}=help"]):
            done = kiln(*words, guest=None)
            check(done.status == 0 and item in done.output, f"{words}: {done.describe()}")
    check("in_asm" in kiln(guest=None, env={"QEMU_LOG": "help"}).output, "QEMU_LOG=help")


def shown_options(kiln):
    """The names in --help."""
    return re.findall(r"(?<![\w-])--?[a-zA-Z0-9][\w-]*", "\n".join(re.findall(r"^  (-[^ ].*?)(?:  |$)", kiln("--help",
                                                                                                             guest=None).output, re.M)))


def test_completion(kiln, folder):
    names = shown_options(kiln)
    check(len(names) > 40, f"--help shows {len(names)} names")
    for words in (["--completion", "bash"], ["-completion=bash"]):
        check(kiln(*words, guest=None).output.startswith("# bash"), f"{words}")
    script = folder / "kiln.bash"
    script.write_text(kiln("--completion", "bash", guest=None).output)
    (folder / "a-program").touch()

    def completed(*words):
        command = (f"source {script}; cd {folder}; COMP_WORDS=(kiln {' '.join(map(repr, words))}); COMP_CWORD={len(words)}; _kiln; "
                   'printf "%s\\n" "${COMPREPLY[@]}"')
        return support.run(["bash", "--norc", "-c", command], 10).output.split()

    check(sorted(completed("-")) == sorted(set(names)), f"bash: all options: {sorted(set(names) ^ set(completed('-')))}")
    check(completed("--sys") == ["--sysroot"], "bash: one option")
    check(completed("--tier", "f") == ["fast"] and completed("--tier", "=", "i") == ["interp"], "bash: a value")
    check(completed("-d", "exec,in") == ["exec,in_asm"], "bash: an item of a list")
    check("rva22" in completed("-cpu", ""), "bash: cpu models")
    check(completed("-strace", "-L", "/", "a-p") == ["a-program"], "bash: the program")
    check(completed("-L", "/", "prog", "a-p") == ["a-program"], "bash: the program's arguments")
    zsh = kiln("--completion", "zsh", guest=None).output
    check(zsh.startswith("#compdef kiln kiln-riscv64") and all(f"){name}" in zsh for name in names), "zsh: all options")
    if shutil.which("zsh"):
        (folder / "kiln.zsh").write_text(zsh)
        check(support.run(["zsh", "-n", folder / "kiln.zsh"], 10).status == 0, "zsh: reads it")


# ---- every option in every form ------------------------------------------------------------------------------------------

class Row:
    """An option with an argument. `first` and `second`: values, and what the program then shows; `look`: what of it counts."""

    def __init__(self, names, variable, guest, first, second, look=lambda done: done.output, more=(), qemu=True):
        self.names, self.variable, self.guest, self.more, self.qemu = names, variable, guest, more, qemu
        self.first, self.second, self.look = first, second, look


def swapped(name):
    """With the other number of dashes."""
    return name[1:] if name.startswith("--") else "-" + name


def forms(names, value):
    for name in names:
        for form in (name, swapped(name)):
            yield [form, value]
            yield [f"{form}={value}"]


def test_row(kiln, row):
    (first, expected), (second, other) = row.first, row.second

    def shows(words, env, wanted, what):
        done = kiln(*row.more, *words, guest=row.guest, env=env)
        check(row.look(done) == wanted, f"{what}: {row.look(done)!r}, expected {wanted!r}; {done.describe()}")

    for value, wanted in (row.first, row.second):
        for words in forms(row.names, value):
            shows(words, {}, wanted, " ".join(words))
    ours, theirs = f"KILN_{row.variable}", f"QEMU_{row.variable}"
    shows([], {ours: first}, expected, ours)
    shows([row.names[0], second], {ours: first}, other, f"{ours} and the command line")
    shows([row.names[0], first, row.names[-1], second], {}, other, f"{row.names[0]} twice")
    if row.qemu:
        shows([], {theirs: second}, other, theirs)
        shows([], {theirs: second, ours: first}, expected, f"{ours} and {theirs}")
        shows([row.names[0], first], {theirs: second}, expected, f"{theirs} and the command line")


def test_values(kiln, folder):
    for name in "AB":
        (folder / name).mkdir()
        (folder / name / "marker-of-kiln").write_text(name + "\n")
    program, file = kiln.program, ["file", "/marker-of-kiln"]
    rows = [
        Row(["-L", "--sysroot"], "LD_PREFIX", file, (str(folder / "A"), "A\n"), (str(folder / "B"), "B\n")),
        Row(["-0", "--argv0"], "ARGV0", ["args"], ("one", "[one][args]\n"), ("two", "[two][args]\n")),
        Row(["-r", "--uname-release"], "UNAME", ["uname"], ("9.8.7", "9.8.7 riscv64\n"), ("6.5.4", "6.5.4 riscv64\n")),
        Row(["-s", "--stack-size"], "STACK_SIZE", ["stack", "40"], ("16M", -signal.SIGSEGV), ("65536k", 0), lambda d: d.status),
        Row(["-cpu", "--cpu"], "CPU", ["auxv"], ("rva22,zbb=off", 0), ("sifive-e51", -signal.SIGILL), lambda d: d.status),
        Row(["-E", "--env"], "SET_ENV", ["env", "K", "J"], ("K=1,J=x", "K=1\nJ=x\n"), ("K=2,J=y,z", "K=2\nJ=y,z\n")),
        Row(["-d", "--log"], "LOG", ["args"], ("in_asm", (True, False)), ("op", (False, True)),
            lambda d: ("IN: 0x" in d.errors, "OP: 0x" in d.errors)),
        Row(["-dfilter", "--log-filter"], "DFILTER", ["args"], ("0..0xffffffffffff", True), ("0+16,0x40-2", False),
            lambda d: "IN: 0x" in d.errors, ["-d", "in_asm"]),
        Row(["--tier"], "TIER", ["exit", "0"], ("interp", False), ("fast", True),
            lambda d: bool(re.search(r"^interp_blocks +0 ", d.errors, re.M)), ["--stats"], qemu=False),
        Row(["--mode"], "MODE", ["args"], ("none", 0), ("none", 0), lambda d: d.status, qemu=False),
    ]
    for row in rows:
        test_row(kiln, row)
    for names, variable, matters, same in ((["-B", "--guest-base"], "GUEST_BASE", "0x1000", "0"),
                                           (["-R", "--reserved-va"], "RESERVED_VA", "4G", "0"),
                                           (["-p", "--page-size"], "PAGESIZE", "65536", "4096")):
        for value, warns in ((matters, 1), (same, 0)):
            ways = [(words, {}) for words in forms(names, value)] + [([], {f"{who}_{variable}": value}) for who in ("KILN", "QEMU")]
            for words, env in ways:
                done = kiln(*words, guest=["args"], env=env)
                check(done.output == f"[{program}][args]\n" and done.errors.count("\n") == warns,
                      f"{words} {env}: {done.describe()}")
    for option in (["-plugin", "x.so"], ["--plugin=x.so"], ["-trace", "x"], ["--trace", "x"], ["-d", "int"], ["-d", "trace:x"]):
        done = kiln(*option, guest=["args"])
        check(done.status == 0 and "no effect" in done.errors and done.output == f"[{program}][args]\n", f"{option} is accepted")
    for variable, value in (("QEMU_PLUGIN", "x"), ("KILN_PLUGIN", "x"), ("QEMU_TRACE", "x"), ("KILN_TRACE", "x")):
        check("no effect" in kiln(guest=["args"], env={variable: value}).errors, variable)
    done = kiln("-L", folder / "none", guest=["args"])
    check(done.status == 0 and "no such directory" in done.errors, "-L of nothing is a warning")


def test_flags(kiln):
    blocks = lambda d: int((re.findall(r"^blocks_translated +(\d+)", d.errors, re.M) or [0])[0])  # noqa: E731
    plain = blocks(kiln("--stats", guest=["args"]))
    flags = [
        (["-strace", "--strace"], ["KILN_STRACE", "QEMU_STRACE"], [], lambda d: "write(" in d.errors),
        (["--count"], ["KILN_COUNT"], ["--stats"], lambda d: re.search(r"^insns_all +[1-9]", d.errors, re.M)),
        (["--stats"], ["KILN_STATS"], [], lambda d: blocks(d) > 0),
        (["-one-insn-per-tb", "-singlestep"], ["KILN_ONE_INSN_PER_TB", "QEMU_SINGLESTEP"], ["--stats"], lambda d: blocks(d) > 2 * plain),
        (["--no-link"], ["KILN_NO_LINK"], ["--stats"], lambda d: re.search(r"^links_patched +0 ", d.errors, re.M)),
        (["--no-bmi"], ["KILN_NO_BMI"], [], lambda d: True),
        (["--no-fma"], ["KILN_NO_FMA"], [], lambda d: True),
        (["--no-avx"], ["KILN_NO_AVX"], [], lambda d: True),
        (["--eval-all"], ["KILN_EVAL_ALL"], [], lambda d: True),
    ]
    for names, variables, more, works in flags:
        for name in (form for name in names for form in (name, swapped(name))):
            done = kiln(*more, name, guest=["args"])
            check(done.status == 0 and works(done), f"{name}: {done.describe()}")
            check(kiln(*more, f"{name}=1", guest=["args"]).status == 1, f"{name} takes no argument")
        for variable in variables:
            check(works(kiln(*more, guest=["args"], env={variable: ""})), variable)
    for words, env in ((["--disable-pass", "fold"], {}), (["--disable-pass=fold"], {}), ([], {"KILN_DISABLE_PASS": "fold"})):
        check(kiln(*words, guest=["args"], env=env).status == 0, f"--disable-pass: {words}")
    for words, env in ((["-U", "C"], {}), (["--unset-env=C"], {}), (["-unset-env", "C"], {}), ([], {"QEMU_UNSET_ENV": "C"}),
                       ([], {"KILN_UNSET_ENV": "B,C"})):
        check(kiln(*words, guest=["env", "C"], env={"C": "3", **env}).output == "C=(none)\n", f"-U: {words}")
    check(kiln("-E", "C=2", guest=["env", "C"], env={"C": "3", "QEMU_UNSET_ENV": "C"}).output == "C=2\n",
          "-E after a variable's -U")


def test_seed(kiln):
    def random(*words, env=None):
        return kiln(*words, guest=["random"], env=env).output

    one, two = random("-seed", "1"), random("-seed", "2")
    check(len(one) == 33 and one != two and random() != random(), "AT_RANDOM is random without -seed")
    for words in forms(["-seed", "--seed"], "1"):
        check(random(*words) == one, f"{words}")
    check(random(env={"KILN_RAND_SEED": "1", "QEMU_RAND_SEED": "2"}) == one, "KILN_RAND_SEED")
    check(random(env={"QEMU_RAND_SEED": "2"}) == two and random("-seed", "1", env={"QEMU_RAND_SEED": "2"}) == one, "QEMU_RAND_SEED")
    check(kiln("-seed", "1", guest=["exec", "random"]).output == one, "-seed goes on to the next program")


def test_next_program(kiln, folder):
    program = kiln.program
    check(kiln("-r", "9.8.7", guest=["exec", "uname"]).output == "9.8.7 riscv64\n", "options go on to the next program")
    check(kiln("-0", "other", guest=["exec", "args"]).output == "[other][args]\n", "argv[0] is the guest's to hand on")
    check(kiln("-E", "A=1", guest=["exec", "env", "A"]).output == "A=1\n", "the environment goes on")
    log = folder / "exec.log"
    kiln("-strace", "-D", log, guest=["exec", "args"])
    text = log.read_text()
    check("execve(" in text and text.count("exit_group(") == 1 and "write(1" in text, "the next program goes on with the log")
    for words, env in ((["-B", "0x1000"], {}), ([], {"QEMU_GUEST_BASE": "0x1000"})):
        check(kiln(*words, guest=["exec", "args"], env=env).errors.count("no effect") == 1, "a warning comes once")
    kiln("-strace", "-D", log, guest=["args"])
    check("execve(" not in log.read_text(), "a new run empties the log")
    check(kiln("-r", "1.2.3", guest=["exec", "exec", "args"]).output == f"[{program}][args]\n", "twice")


def test_privileged(kiln, folder):
    """A setuid program ignores the variables."""
    if os.geteuid() != 0:
        return
    place = folder / "privileged"
    place.mkdir(mode=0o755)
    folder.chmod(0o755)
    copy, program = shutil.copy(Path(kiln.kiln).resolve(), place / "kiln"), shutil.copy(kiln.program, place / "program")
    os.chmod(program, 0o755)
    os.chown(copy, 65534, 65534)
    os.chmod(copy, 0o4755)
    done = support.run([copy, program, "auxv"], 30, extra_env={"KILN_STRACE": "1", "QEMU_CPU": "sifive-e51", "KILN_NONSENSE": "1"})
    if "secure 0" in done.output:
        return  # set-user-ID has no effect on this file system
    check(done.output == "hwcap 112d secure 1\n" and not done.errors, f"variables are ignored under AT_SECURE: {done.describe()}")
    check("secure 1" in support.run([copy, "-strace", program, "auxv"], 30).output, "the command line is not")


def test_refusals(kiln, folder):
    for options in (["--nonsense"], ["-L"], [], ["--tier=warp"], ["-s", "x"], ["--stats=1"], ["-p", "3"], ["-seed", "x"],
                    ["-dfilter", "x"],
                    ["-d", "nonsense"], ["-B", "x"], ["-R", "x"], ["--completion", "fish"]):
        done = kiln(*options, guest=None)
        check(done.status == 1 and done.errors.startswith("kiln: ") and done.errors.count("\n") == 1,
              f"usage error of {options}: {done.describe()}")
    for words, env in ((["--report="], {}), (["--opt-requests", ""], {}), (["--annotate="], {}), ([], {"KILN_REPORT": ""})):
        done, name = kiln(*words, guest=["args"], env=env), (words or list(env))[0]
        check(done.status == 1 and not done.output and done.errors == f"kiln: {name}: '' is not the name of a file or folder\n",
              f"an empty name: {words} {env}: {done.describe()}")
    for size in ("0", "1", "16383", "65M", "1G", "1T", "16k1", "x", ""):
        done = kiln(f"--trace-cache={size}", guest=["args"])
        check(done.status == 1 and not done.output and re.fullmatch(rf"kiln: --trace-cache={size}: '{size}' is not a size from 16k to 64M.*k, M or G.*\n", done.errors),
              f"--trace-cache={size}: {done.describe()}")
    for size in ("16k", "16384", "20001", "0x5000", "64M", "65536K"):
        check(kiln("--trace-cache", size, guest=["args"]).status == 0, f"--trace-cache {size}")
    file = folder / "a-file"
    file.write_text("")
    closed = folder / "closed"
    closed.mkdir(mode=0o555)
    for requests, why in ((folder / "missing", "No such file or directory"), (file, "Not a directory"), ("/dev/null", "Not a directory"),
                          *([] if os.access(closed, os.W_OK) else [(closed, "Permission denied")])):
        for words in forms(["--opt-requests"], requests):
            done = kiln(*words, guest=["args"])
            check(done.status == 1 and not done.output and done.errors == f"kiln: --opt-requests {requests}: {why}\n", f"{words}: {done.describe()}")
    done = kiln("--opt-requests", folder.name, guest=["exec", "args"], cwd=folder.parent)
    check(done.status == 0 and not done.errors, f"--opt-requests of a folder: {done.describe()}")
    check(kiln("-cpu", "vax").status == 1, "unknown cpu model")
    check(kiln(folder / "missing", guest=None).status == 127, "missing program: 127")
    plain = folder / "plain"
    plain.write_bytes(b"\x7fELF" + b"\0" * 10)
    check(kiln(plain, guest=None).status == 126, "no permission: 126")
    plain.chmod(0o755)
    check(kiln(plain, guest=None).status == 126, "cut-off ELF file: 126")
    check(kiln("/bin/ls", guest=None).status == 126, "another architecture: 126")
    check(kiln("/", guest=None).status == 126, "a folder: 126")


def test_ends(kiln):
    for code in (0, 1, 77, 255):
        check(kiln(guest=["exit", str(code)]).status == code, f"exit code {code}")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV):
        check(kiln(guest=["kill", str(int(number))]).status == -number, f"killed by {number.name}")
    check(kiln(guest=["fault"]).status == -signal.SIGSEGV, "killed by a wild store")


def test_guest_view(kiln):
    program = kiln.program
    check(kiln(guest=["args", "-L", "--help", ""]).output == f"[{program}][args][-L][--help][]\n", "arguments belong to the guest")
    check(kiln("-0", "other", guest=["args"]).output == "[other][args]\n", "-0")
    check(kiln("-E", "A=1,2,B=x", "-U", "C", guest=["env", "A", "B", "C"],
               env={"C": "3"}).output == "A=1,2\nB=x\nC=(none)\n", "-E, -U")
    check(kiln("-s", "16M", guest=["stack"]).output == "stack works 1\n", "-s")


def test_logs(kiln, folder):
    for number, words in enumerate(forms(["-D", "--log-file"], "{}")):
        place = folder / f"form{number}"
        done = kiln("-strace", *(word.format(place) for word in words), guest=["args"])
        check(not done.errors and "write(" in place.read_text(), f"{words}")
    first, second = folder / "first", folder / "second"
    kiln("-strace", guest=["args"], env={"QEMU_LOG_FILENAME": first})
    check(first.exists(), "QEMU_LOG_FILENAME")
    first.unlink()
    kiln("-strace", guest=["args"], env={"QEMU_LOG_FILENAME": first, "KILN_LOG_FILENAME": second})
    check(second.exists() and not first.exists(), "KILN_LOG_FILENAME counts more")
    second.unlink()
    kiln("-strace", "-D", first, guest=["args"], env={"KILN_LOG_FILENAME": second})
    check(first.exists() and not second.exists(), "-D counts more")
    check(kiln("-D", folder / "none/x", guest=["args"]).status == 1, "-D where no file can be")
    done = kiln("-d", "in_asm,op,op_opt,out_asm,exec,cpu", "-D", folder / "log.%d", guest=["args"])
    logs = list(folder.glob("log.*"))
    check(done.status == 0 and not done.errors and len(logs) == 1 and logs[0].stat().st_size > 1000,
          f"-d to a file: {done.describe()}")


def test_items(kiln):
    def log(item, *guest, more=()):
        return kiln("-d", item, *more, guest=guest).errors

    check("<main" in log("in_asm", "args") and "<printf>" in log("in_asm", "uname").replace("_IO_printf", "printf"),
          "in_asm with names")
    check(re.search(r"OP: 0x\w+ <main\+", log("op", "args")), "op with names")
    check(re.search(r"OP after optimisation: 0x\w+ <main\+", log("op_opt", "args")), "op_opt with names")
    check(re.search(r"OUT: 0x\w+ <main\+", log("out_asm", "args")), "out_asm with names")
    few, all_of_them = log("exec", "args"), log("exec,nochain", "args")
    check(re.search(r"^Trace 0x\w+ <main\+0x0>$", few, re.M) and len(all_of_them) > len(few), "exec, nochain")
    check(" x2/sp " in log("cpu", "args") and " f0/ft0 " in log("cpu,fpu", "args"), "cpu")
    page = log("page", "map")
    check("start " in page and re.search(r"^mmap +0x\w+-0x\w+ rw-p$", page,
                                         re.M) and re.search(r"^munmap +0x\w+-0x\w+ none$", page, re.M), "page")
    check("write(" in log("strace", "args"), "strace")
    check("system call 5000 (unknown) is not there" in log("unimp", "absent"), "unimp: a system call")
    check(re.search(r"illegal instruction at 0x\w+ <main\+", log("unimp", "illegal")), "unimp: an instruction")
    check("start " in log("all", "args") and "IN: " in log("all", "args"), "all")
    main = re.search(r"^Trace (0x\w+) <main\+0x0>$", few, re.M).group(1)
    for item, word in (("in_asm", "IN: "), ("op", "OP: "), ("op_opt", "OP after optimisation: "), ("out_asm", "OUT: "),
                       ("exec", "Trace ")):
        heads = re.findall(f"^{word}(0x\\w+)", log(item, "args", more=["-dfilter", f"{main}+1"]), re.M)
        check(set(heads) == {main}, f"-dfilter and {item}: {heads}")
    cpu = log("cpu", "args", more=["-dfilter", f"{main}+1"])
    check(cpu.count(" pc ") == 1, "-dfilter and cpu")
    check("IN: " not in log("in_asm,cpu", "args", more=["-d", "strace"]), "the last -d counts")


def test_unknown_symbols(kiln, folder):
    file = folder / "heads"
    file.write_text("main+4\n# of no file\nnobody+0x10  # here\nmain\nnobody2\n")

    def warnings(*guest, options=()):
        return re.findall(r"^kiln: warning: --annotate (.*), line (\d+): .* '(.*)'$", kiln(f"--annotate={file}", *options, guest=guest).errors, re.M)

    unknown = [(str(file), "3", "nobody"), (str(file), "5", "nobody2")]
    for options in ([], ["--mode=none"], ["--tier=interp"], ["--stats"]):
        found = warnings("args", options=options)
        check(found == unknown, f"--annotate {options}: unknown symbols are named: {found}")
    for guest in (["fork"], ["exec"], ["fault"]):
        found = warnings(*guest)
        check(found == ([] if guest[0] == "exec" else unknown), f"--annotate and {guest}: {found}")
    file.write_text("main\nmain+0x4\n")
    done = kiln(f"--annotate={file}", guest=["args"])
    check(done.status == 0 and not done.errors, f"--annotate: known symbols: {done.describe()}")


def test_names(kiln, folder):
    link = folder / "kiln-riscv64"
    link.symlink_to(Path(kiln.kiln).resolve())
    check(support.run([link, kiln.program, "args"], 30).status == 0, "kiln-riscv64 runs riscv64")
    other = folder / "kiln-vax"
    other.symlink_to(Path(kiln.kiln).resolve())
    check(support.run([other, kiln.program, "args"], 30).status in (1, 126, 127), "kiln-vax does not")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kiln", required=True)
    parser.add_argument("--build", type=Path, required=True)
    args = parser.parse_args()
    program = args.build.resolve() / "test-programs/args.riscv64"
    error = support.compile_c(support.ROOT / "tests/prog/args.c", program, "riscv64", ["-O1"])
    check(not error, error or "args.c builds")
    kiln = Kiln(args.kiln, program)
    with tempfile.TemporaryDirectory(prefix="kiln-options-") as name:
        test_information(kiln)
        test_completion(kiln, Path(name))
        test_values(kiln, Path(name))
        test_flags(kiln)
        test_seed(kiln)
        test_next_program(kiln, Path(name))
        test_privileged(kiln, Path(name))
        test_refusals(kiln, Path(name))
        test_ends(kiln)
        test_guest_view(kiln)
        test_logs(kiln, Path(name))
        test_items(kiln)
        test_unknown_symbols(kiln, Path(name))
        test_names(kiln, Path(name))
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


sys.exit(main())
