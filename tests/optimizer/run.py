#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The optimizer from outside: whatever becomes of it costs a guest nothing but speed, and no guest notices it.

    tests/optimizer/run.py --kiln build/kiln [--build build] [--only TEXT]

Every case runs a case of guest.c, which checks itself, and then looks at the counters and for processes that are left. The
optimizer is started under a name of its own in each case, by which its processes are found."""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

# What stands in the optimizer's place: {real} is the real one. It gets `--serve 3`.
STAND_INS = {
    "exits-at-once": "#!/bin/sh\nexit 0\n",
    "no-program": "this is no program\n",
    "crashes": "#!/bin/sh\nkill -SEGV $$\n",
    "hangs": "#!/bin/sh\nexec 3<&-\nwhile :; do sleep 1; done\n",
    "hangs-connected": "#!/bin/sh\nwhile :; do sleep 1; done\n",
    "slow": '#!/bin/sh\nexec {real} "$@" --delay=150\n',
    "killed": '#!/bin/sh\n{real} "$@" --delay=30 &\nexec 3<&-\nsleep 0.4\nkill -9 $!\nwait\n',
    "killed-early": '#!/bin/sh\n{real} "$@" --delay=1000 &\nexec 3<&-\nsleep 0.2\nkill -9 $!\nwait\n',
    "stopped": '#!/bin/sh\n{real} "$@" --delay=30 &\nexec 3<&-\nsleep 0.3\nkill -STOP $!\nsleep 2\nkill -CONT $!\nwait\n',
    "stuck": '#!/bin/sh\nexec {real} "$@" --stuck\n',
    "garbage": "#!/usr/bin/python3\nexec(open('{here}/garbage.py').read())\n",
}
NEVER_ENDING = {"hangs", "hangs-connected"}
HYBRID = ["--hot=threshold=2000", "--second-after=2000"]
SYNC = ["--mode=hybrid-sync", "--hot=threshold=2000", "--second-after=500"]


def processes_of(name):
    """Those whose command line holds the name."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().split(b"\0")
            state = re.sub(r".*\) ", "", (entry / "stat").read_text())[0]
        except OSError:
            continue
        if name.encode() in b"\0".join(line[:3]) and b"--serve" in line and b"--optimizer" not in b"".join(line[:3]):
            found.append((int(entry.name), state))
    return found


def until_none_is_left(name, seconds=10):
    end = time.monotonic() + seconds
    while (left := processes_of(name)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


class Watch(threading.Thread):
    """The greatest number of optimizers at one time."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.name_of, self.most, self.over = name, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            self.most = max(self.most, len(processes_of(self.name_of)))


def reasons(text):
    return {name: int(count) for name, count in re.findall(r"^reason (\S+) +(\d+)", text, re.MULTILINE)}


def counter(text, name):
    found = re.search(rf"^{name} +(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


class Cases:
    def __init__(self, args, folder):
        self.args, self.folder, self.passed, self.failed = args, folder, 0, 0
        self.program = args.build / "test-programs/optimizer/guest"
        self.real = (args.kiln.parent / "kiln-opt").resolve()

    def check(self, good, name, text):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL {name}: {text}", flush=True)

    def stand_in(self, kind, name):
        """The file to be started as the optimizer."""
        path = self.folder / name
        if kind == "good":
            path.symlink_to(self.real)
        elif kind in STAND_INS:
            real = self.folder / f"{name}-real"  # the name is what its processes are found by
            real.symlink_to(self.real)
            path.write_text(STAND_INS[kind].format(real=real, here=HERE))
            path.chmod(0o755)
        return path  # else it is missing

    def case(self, kind, what, options, judge=None, most=None):
        """judge(reasons, requests, second forms) -> an error text or ''."""
        title = f"{kind} {what} {'sync' if options is SYNC else 'beside'}"
        if self.args.only and self.args.only not in title:
            return
        name = f"kiln-opt-{os.getpid()}-{self.passed + self.failed}"
        watch = Watch(name)
        watch.start()
        command = [self.args.kiln, f"--optimizer={self.stand_in(kind, name)}", "--stats", *options, self.program, what]
        result = support.run(command, 150)  # ends only when nobody holds its pipes any more
        watch.over.set()
        watch.join()
        told = [line for line in result.output.splitlines() if line.startswith(("FAIL", "# a family"))]
        failed = any(line.startswith("FAIL") for line in told)
        self.check(result.status == 0 and not failed and "ok " in result.output, title, "; ".join(told[:3]) or result.describe())
        if judge:
            second = counter(result.errors, "traces_second")
            error = judge(reasons(result.errors), counter(result.errors, "requests"), second)
            self.check(not error, title, error)
        if most:
            self.check(1 <= watch.most <= most, title, f"{watch.most} optimizers at one time, not 1 to {most}")
        left = processes_of(name) if kind in NEVER_ENDING else until_none_is_left(name)
        self.check(not [state for _, state in left if state == "Z"], title, f"zombies: {left}")
        if kind not in NEVER_ENDING:
            self.check(not left, title, f"still there: {left}")
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)

    def replays(self):
        """Requests that were written to files, done again; files that are none; folders that cannot be written to."""
        if self.args.only and self.args.only not in "replays":
            return
        folder = self.folder / "requests"
        folder.mkdir()
        run = [self.args.kiln, "--stats", *SYNC]
        result = support.run([*run, f"--opt-requests={folder.name}", self.program, "plain"], 150, cwd=self.folder)
        files = sorted(folder.iterdir())
        wanted = counter(result.errors, "requests")
        self.check(result.status == 0 and wanted and len(files) == wanted, "replays", f"{len(files)} files, {wanted} requests: {result.describe()}")
        for file in files:
            done = support.run([self.real, "--request", file, "--text"], 60)
            self.check(done.status == 0 and "; done: object of" in done.output and "define " in done.output, "replays", done.describe())
        for text, size in (("cut", files[0].stat().st_size // 2), ("empty", 0)):
            (folder / text).write_bytes(files[0].read_bytes()[:size])
            done = support.run([self.real, "--request", folder / text], 60)
            self.check(done.status == 126 and "is not a request" in done.errors, "replays", f"{text}: {done.describe()}")
        wrong = ((["--request"], "needs the name"), (["--request", folder / "missing"], "cannot open"), (["--threads=0"], "0 threads"),
                 (["--request", folder], "Is a directory"), (["--serve", "99"], "--serve 99: Bad file descriptor"),
                 (["--serve", "0"], "--serve 0: Socket operation on non-socket"), (["--threads=2", "--serve", "0"], "non-socket"))
        for words, said in wrong:
            done = support.run([self.real, *words], 60)
            self.check(done.status == 126 and said in done.errors, "replays", f"{words}: {done.describe()}")
        for unwritable in ("/proc", "/dev/null", folder / "missing"):
            result = support.run([*run, f"--opt-requests={unwritable}", self.program, "plain"], 150)
            if unwritable == "/proc" and os.access("/proc", os.W_OK):  # root may, it seems at the start
                told, second = result.errors.count("cannot write the request"), counter(result.errors, "traces_second")
                self.check(result.status == 0 and told == 1 and second, "replays", f"{unwritable}: {result.describe()}")
            else:
                told = result.errors.startswith(f"kiln: --opt-requests {unwritable}: ") and result.errors.count("\n") == 1
                self.check(result.status == 1 and told and not result.output, "replays", f"{unwritable}: {result.describe()}")

    def limited(self):
        """Started under a limit that lets no process come into being: first forms alone, and the reason. Without the limit: second forms."""
        if self.args.only and self.args.only not in "limited":
            return
        kiln, optimizer, program = (shutil.copy(file, self.folder) for file in (self.args.kiln, self.real, self.program))
        user = ["setpriv", f"--reuid={20000 + os.getpid() % 40000}", "--clear-groups"] if os.getuid() == 0 else []  # of root no limit is asked
        for options in (HYBRID, SYNC):
            for limit, judge in (([], optimised), (["prlimit", "--nproc=1"], has("no-optimizer"))):
                result = support.run([*user, *limit, kiln, f"--optimizer={optimizer}", "--stats", *options, program, "plain"], 150)
                second, warned = counter(result.errors, "traces_second"), "kiln: " in result.errors
                error = judge(reasons(result.errors), counter(result.errors, "requests"), second)
                good = result.status == 0 and "ok " in result.output and "FAIL" not in result.output and not warned
                self.check(good and not error and (not limit or not second), "limited", f"{limit}: {error} {result.describe()}")


def has(*names):
    return lambda why, requests, second: "" if any(why.get(name) for name in names) else f"none of {names}: {why}"


def asked(why, requests, second):
    return "" if requests and not second else f"{requests} requests, {second} second forms: {why}"


def optimised(why, requests, second):
    return "" if second else f"no second forms: {why}"


def connected(why, requests, second):
    return "" if second and not why.get("optimizer-died") and not why.get("no-optimizer") else f"lost, or no second forms: {why}"


def everything(cases):
    for options in (HYBRID, SYNC):
        cases.case("good", "plain", options, optimised, most=1)
        cases.case("missing", "plain", options, has("no-optimizer"))
        cases.case("no-program", "plain", options, has("no-optimizer"))
        for kind in ("exits-at-once", "crashes"):
            cases.case(kind, "plain", options, has("optimizer-died", "no-optimizer"))
        cases.case("killed", "plain", options)
        cases.case("killed-early", "plain", options, has("optimizer-died") if options is SYNC else None)
        cases.case("garbage", "plain", options, has("bad-result") if options is SYNC else None)
    cases.case("hangs-connected", "plain", HYBRID, asked)
    cases.case("hangs", "plain", HYBRID, has("optimizer-died", "no-optimizer"))
    for what in ("descriptors", "few-descriptors", "waiting", "subreaper", "ignored-children", "session", "other-user", "namespaces", "vforks"):
        cases.case("good", what, HYBRID)
        cases.case("slow", what, HYBRID)
    cases.case("good", "descriptors", SYNC)
    cases.case("hangs-connected", "waiting", HYBRID)
    cases.case("missing", "descriptors", HYBRID)
    cases.case("good", "forks", HYBRID, most=1)
    cases.case("slow", "forks", HYBRID, most=1)
    cases.case("killed", "forks", HYBRID)
    for what in ("claiming-child", "claiming-thread"):
        cases.case("good", what, SYNC, connected, most=1)
    for options in (HYBRID, SYNC):
        cases.case("good", "cold-parent", options, most=1)
        cases.case("missing", "cold-parent", options)
        for what in ("landlock", "new-root", "new-user", "closed-stderr"):
            cases.case("good", what, options, optimised, most=1)
    cases.case("slow", "cold-parent", HYBRID, most=1)
    cases.case("killed", "cold-parent", HYBRID)
    cases.case("stuck", "plain", HYBRID, asked)
    for what in ("plain", "forks", "cold-parent"):
        cases.case("stopped", what, HYBRID)
    cases.replays()
    cases.limited()
    for kind in ("good", "slow", "killed", "missing"):
        for what in ("other-threads-wait", "reaper", "first-process", "claiming-child", "claiming-thread"):
            cases.case(kind, what, HYBRID)
    for options in (HYBRID, SYNC):
        for kind in ("good", "killed"):
            cases.case(kind, "cold-parent", [*options, "--opt-threads=4"])
        cases.case("good", "shared-descriptors", options)
        cases.case("good", "small-files", options, has("request-too-large"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, default=support.ROOT / "build/kiln")
    parser.add_argument("--build", type=Path, default=support.ROOT / "build")
    parser.add_argument("--only", help="cases whose title holds this text")
    args = parser.parse_args()
    args.kiln = args.kiln.absolute()
    with tempfile.TemporaryDirectory(prefix="kiln-optimizer-") as folder:
        os.chmod(folder, 0o755)
        cases = Cases(args, Path(folder))
        error = support.compile_c(HERE / "guest.c", cases.program, "riscv64", ["-O1"])
        if error or not cases.real.exists():
            print(f"FAIL {error or 'there is no kiln-opt'}\n0 passed, 1 failed")
            return 1
        everything(cases)
    print(f"{cases.passed} passed, {cases.failed} failed")
    return 1 if cases.failed or not cases.passed else 0


if __name__ == "__main__":
    sys.exit(main())
