#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An interactive bash of Debian's riscv64 port on a terminal: line editing, job control, signals from keys, the terminal's size.

    tests/prog/terminal.py --kiln PATH [--way kiln|native]

Each step types something and waits for what must come. `--way native` does the same with this machine's bash."""
import argparse
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402
from support import ROOT  # noqa: E402

PATIENCE, GRACE = 20, 3
PROMPT = "ready> "


class Terminal:
    def __init__(self, command, environment, folder):
        self.screen, self.all = "", ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for key in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):  # a shell's background job ignores them
                signal.signal(key, signal.SIG_DFL)
            os.chdir(folder)
            os.execve(command[0], command, environment)
        self.resize(24, 80)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, pattern):
        """The match in what has come since the last one, or None."""
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.screen, re.S)):
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                return None
            try:
                text = os.read(self.fd, 4096).decode(errors="replace").replace("\r", "")
            except OSError:  # the other side is closed
                return None
            self.screen += text
            self.all += text
        self.screen = self.screen[found.end():]
        return found

    def wait_for_program(self, name):
        """Until the program is in the foreground, as a key's signal goes to who is there; a shell that waits for it stays there itself."""
        end = time.monotonic() + GRACE
        while time.monotonic() < end:
            try:
                if name.encode() in Path(f"/proc/{os.tcgetpgrp(self.fd)}/cmdline").read_bytes():
                    return
            except OSError:  # between two programs
                pass
            time.sleep(0.02)

    def leave(self):
        """The status of the program, which should have ended."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return "still there"


# (what it shows, what is typed, what must come); a prompt comes after each
STEPS = [
    ("a command", "echo $((6 * 7))\n", r"\n42\n"),
    ("it is a terminal", "tty; [ -t 0 ] && echo terminal\n", r"\n/dev/pts/\d+\nterminal\n"),
    ("line editing: backspace", "echo abX\x7fc\n", r"\nabc\n"),
    ("line editing: home, end, kill, yank", "two three\x01echo one \x05 four\x0b\n", r"\none two three four\n"),
    ("history", "\x10\n", r"\none two three four\n"),
    ("completion", "ec\tcompleted\n", r"\ncompleted\n"),
    ("the interrupt key ends a program", "sleep 100; echo not reached\n", None),
    (None, "\x03", r"\^C"),
    ("and its status", "echo status $?\n", r"\nstatus 130\n"),
    ("the quit key", "sleep 100\n", None),
    (None, "\x1c", r"\^\\Quit[^\n]*\n"),
    ("and its status", "echo status $?\n", r"\nstatus 131\n"),
    ("the suspend key", "sleep 100\n", None),
    (None, "\x1a", r"\^Z\n\[1\]\+ +Stopped +sleep 100\n"),
    ("jobs", "jobs\n", r"\n\[1\]\+ +Stopped +sleep 100\n"),
    ("bg", "bg; jobs\n", r"\n\[1\]\+ sleep 100 &\n\[1\]\+ +Running +sleep 100 &\n"),
    ("fg", "fg\n", None),
    (None, "\x03", r"\nsleep 100\n\^C"),
    ("no jobs", "jobs; echo none\n", r"jobs; echo none\nnone\n"),
    ("a background job, killed", "sleep 100 & kill %1; wait %1; echo status $?\n", r"status 143\n"),
    ("a pipeline in the foreground is one group", "sleep 100 | sleep 100 | cat\n", None),
    (None, "\x1a", r"Stopped +sleep 100 \| sleep 100 \| cat\n"),
    ("and goes on", "fg\n", None),
    (None, "\x03", r"\^C"),
    ("a program reads the terminal", "read -r line; echo \"<$line>\"\n", None),
    (None, "typed in\n", r"<typed in>\n"),
    ("end of file", "cat; echo after cat\n", None),
    (None, "line\n\x04", r"line\nline\nafter cat\n"),
    ("background input stops", "cat &\n", r"\n\[1\] \d+\n"),
    ("by SIGTTIN", "while jobs | grep -q Running; do sleep 0.1; done; jobs; kill %1; kill -CONT %1 2>/dev/null; sleep 0.3; jobs\n", r"Stopped +cat\n.*Terminated +cat\n"),
    ("the size of the terminal", "stty size\n", r"\n24 80\n"),
    ("raw mode and back", "stty -echo raw; echo in raw; stty sane; stty -a | grep -c ' echo '\n", r"in raw.*\n1\n"),
    ("a trap for the interrupt key", "trap 'echo trapped' INT; sleep 100 & wait\n", None),
    (None, "\x03", r"\^C\n?trapped\n"),
    ("a shell in the shell", "kill %1; wait; trap - INT; PS1='inner> ' bash --norc -i\n", r"inner> "),
]


def play(terminal, check):
    check("the prompt", terminal.wait_for(PROMPT))
    for number, (title, typed, expected) in enumerate(STEPS):
        if title is None:
            title = STEPS[number - 1][0]
            terminal.wait_for_program("sleep")
        terminal.type(typed)
        if expected:
            good = terminal.wait_for(expected)
            inner = "inner" in expected
            if not check(title, good and (inner or terminal.wait_for(PROMPT))):
                return
    terminal.type("sleep 50\n")
    terminal.wait_for_program("sleep")
    terminal.type("\x1a")
    check("a job of the inner shell", terminal.wait_for(r"Stopped +sleep 50\n.*inner> "))
    # bash's `wait` does not wait for a stopped job, and exit warns while it takes the job for one.
    terminal.type('kill -KILL %1; while [ -n "$(jobs -s)" ]; do sleep 0.05; done; exit\n')
    check("back in the outer shell", terminal.wait_for(PROMPT))
    terminal.type("trap 'echo size $(stty size)' WINCH\n")
    check("a trap for the size", terminal.wait_for(PROMPT))
    terminal.resize(40, 100)
    terminal.type("\n")
    check("a change of size", terminal.wait_for(r"size 40 100\n"))
    terminal.type("exit 7\n")
    check("the shell's status", terminal.leave() == 7)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, default=ROOT / "build/kiln")
    parser.add_argument("--way", choices=("kiln", "native"), default="kiln")
    args = parser.parse_args()
    fetched = support.run([ROOT / "scripts/fetch-debian"], 1200)
    if fetched.status != 0:
        print(f"FAIL terminal: the packages cannot be fetched: {fetched.describe()}\n0 passed, 1 failed")
        return 1
    sysroot, counts = fetched.output.strip(), {True: 0, False: 0}
    command = ["/bin/bash"] if args.way == "native" else [str(args.kiln.absolute()), "-L", sysroot, f"{sysroot}/usr/bin/bash"]
    with tempfile.TemporaryDirectory(prefix="kiln-terminal-") as folder:
        inputrc = Path(folder) / "inputrc"
        inputrc.write_text("set enable-bracketed-paste off\n")
        environment = {"PATH": "/usr/bin:/bin", "HOME": folder, "TERM": "xterm", "PS1": PROMPT, "LC_ALL": "C.UTF-8", "HISTFILE": "",
                       "INPUTRC": str(inputrc)}
        terminal = Terminal([*command, "--norc", "-i"], environment, folder)

        def check(title, good):
            counts[bool(good)] += 1
            if not good:
                print(f"FAIL terminal: {title}; the screen: {terminal.all[-300:]!r}")
            return good

        play(terminal, check)
        try:
            os.killpg(terminal.pid, signal.SIGKILL)
        except OSError:
            pass
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
