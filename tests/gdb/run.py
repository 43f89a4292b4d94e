#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`kiln -g` with gdb-multiarch in batch mode, and with packets of our own where gdb has no command for it.

    tests/gdb/run.py --kiln build/kiln --build build

A session of gdb is a list of commands and what its output must show, in this order (regular expressions)."""
import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import support  # noqa: E402

counts = {True: 0, False: 0}
LIMIT = 60


def check(good, what):
    counts[bool(good)] += 1
    if not good:
        print(f"FAIL {what}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


class Debugged:
    """A guest that waits for its debugger at a unix socket, or where `place` says."""

    def __init__(self, setup, *guest, place=None, options=(), env=None):
        self.place = place or str(setup.folder / "socket")
        where = [] if env else ["-g", self.place]
        self.process = subprocess.Popen([setup.kiln, f"--tier={setup.tier}", *options, *where, setup.program, *guest],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**support.environment(), **(env or {})})
        deadline = time.monotonic() + 10
        while not self.listens() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def listens(self):
        if not self.place.startswith("/"):
            inode = f":{int(self.place.rpartition(':')[2]):04X} "
            return any(inode in line and " 0A " in line for line in Path("/proc/net/tcp").read_text().splitlines())
        return Path(self.place).exists()

    def finish(self):
        """(status, output) when the guest is done."""
        try:
            output, errors = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, errors = self.process.communicate()
            return "timeout", output + errors
        return self.process.returncode, output + errors

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(self.place)
        return Client(client)


class Client:
    """The protocol by hand."""

    def __init__(self, connection):
        self.connection, self.rest = connection, b""

    def receive(self):
        while not (found := re.match(rb"[+]*\$([^#]*)#(..)", self.rest)):
            data = self.connection.recv(65536)
            if not data:
                return None
            self.rest += data
        self.rest = self.rest[found.end():]
        self.connection.sendall(b"+")
        text = found.group(1)
        return "bad checksum" if sum(text) % 256 != int(found.group(2), 16) else text.decode("latin-1")

    def send(self, packet, data=b""):
        text = packet.encode() + data
        self.connection.sendall(b"$" + text + b"#%02x" % (sum(text) % 256))

    def ask(self, packet, data=b""):
        self.send(packet, data)
        return self.receive()

    def interrupt(self):
        self.connection.sendall(b"\x03")


class Setup:
    def __init__(self, kiln, tier, program, folder):
        self.kiln, self.tier, self.program, self.folder = str(kiln), tier, str(program), folder

    def gdb(self, name, guest, commands, expected, status, output="", **more):
        debugged = Debugged(self, *guest, **more)
        place = debugged.place if debugged.place.startswith("/") else "127.0.0.1:" + debugged.place.rpartition(":")[2]
        lines = ["set pagination off", "set confirm off", "set height 0", "set width 0", f"target remote {place}", *commands]
        done = support.run(["gdb-multiarch", "-nx", "-batch", *(word for line in lines for word in ("-ex", line)),
                            self.program], LIMIT)
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.output + done.errors)
        at = 0
        for pattern in expected:
            found = re.compile(pattern, re.MULTILINE).search(shown, at)
            check(found, f"{self.tier} {name}: gdb shows {pattern!r}\n{shown if not found else ''}")
            at = found.end() if found else at
        ended, text = debugged.finish()
        check(ended == status, f"{self.tier} {name}: ends with {status}, not {ended}: {text}")
        check(output in text, f"{self.tier} {name}: prints {output!r}, not {text!r}")


def test_calls(setup):
    setup.gdb("calls", [], ["p $pc", "break main", "continue", "break sum", "continue", "backtrace", "p v[2]", "finish",
                            "continue"],
              [r"_start", r"Breakpoint 1, main", r"Breakpoint 2, sum \(v=0x[0-9a-f]+, n=5\)", r"#0 +sum", r"#1 .* in calls",
               r"#2 .* in main", r"= 3", r"Value returned is \$\d+ = 30", r"exited with code 036"], 30, "total 30 scaled 3 shared 22")
    setup.gdb("steps", [], ["break sum", "continue", "next", "step", "p n", "stepi", "stepi", "p $pc - (long)&twice < 64",
                            "up", "p s", "finish", "delete", "continue"],
              [r"Breakpoint 1, sum", r"for \(", r"twice \(n=1\)", r"= 1", r"= 1", r"in sum", r"= 0", r"exited with code 036"],
              30, "total 30")
    setup.gdb("conditions", [], ["break twice if n == 4", "continue", "info registers a0", "p $a0", "set var n = 50",
                                 "delete", "continue"],
              [r"Breakpoint 1, twice \(n=4\)", r"a0 +0x4\b", r"= 4", r"exited with code 0172"], 122, "total 122 scaled 3 shared 68")


def test_registers(setup):
    setup.gdb("registers", [], ["break *scale", "continue", "p $fa0", "set var $fa0.double = 10", "p $fa0", "p $fcsr",
                                "set var $frm = 1", "p/x $fcsr",
                                "set var $frm = 0", "p $x10 == $a0", "set var $t3 = 0x123456789abcdef0", "p/x $x28", "p $zero",
                                "info registers fa1", "delete", "continue"],
              [r"Breakpoint 1", r"double = 2\b|= 2\b", r"= 10\b|double = 10\b", r"= 0", r"= 0x20", r"= 1",
               r"0x123456789abcdef0", r"= 0", r"fa1",
               r"exited with code 036"], 30, "scaled 15")
    setup.gdb("change a register", [], ["break twice", "continue", "set var $a0 = 100", "set var n = 100", "delete", "continue"],
              [r"twice \(n=1\)", r"exited"], (30 + 198) & 255, "total 228")
    setup.gdb("return", [], ["break twice", "continue", "delete", "return 5", "continue"], [r"twice", r"exited"], 33, "total 33")


def test_memory(setup):
    setup.gdb("memory", [], ["break main", "continue", "p shared", "set var shared = 1000", "p text_in_file",
                             "set var text_in_file[0] = 'R'",
                             "p text_in_file", "x/2i $pc", "p *(int*)16", "info auxv", "continue"],
              [r"= 7", r'"read-only"', r'"Read-only"', r"=> 0x", r"AT_ENTRY", r"exited",
               r"Cannot access memory"], 30, "shared 1015")
    setup.gdb("code", [], ["break calls", "continue", "set var *(unsigned*)&scale = 0x02a57553",
                           "set var *(unsigned*)((long)&scale+4) = 0x00008067",
                           "continue"], [r"calls", r"exited"], 30, "scaled 4")


def test_signals(setup):
    setup.gdb("signal", ["signal"], ["continue", "p caught", "continue"], [r"SIGUSR1", r"= 0", r"exited with code 050"], 40)
    setup.gdb("signal to a handler", ["signal"], ["break on_signal", "handle SIGUSR1 nostop", "continue", "backtrace",
                                                  "p number", "continue"],
              [r"on_signal \(number=10\)", r"signal handler called", r"= 10", r"exited with code 050"], 40)
    setup.gdb("signal kept from the guest", ["signal"], ["continue", "signal 0"], [r"SIGUSR1", r"exited with code 051"], 41)
    setup.gdb("signal of gdb's", [], ["break main", "continue", "signal SIGTERM"], [r"main",
                                                                                    r"terminated with signal SIGTERM"], -15)
    setup.gdb("fault", ["fault"], ["continue", "p $_exitcode", "p what", "continue"], [r"SIGSEGV", r"void", r"fault",
                                                                                       r"terminated with signal SIGSEGV"], -11)
    setup.gdb("deadly signal", ["die"], ["handle SIGUSR1 nostop noprint", "continue", "continue"], [r"SIGTERM",
                                                                                                    r"terminated with signal SIGTERM"], -15)


def test_threads(setup):
    setup.gdb("threads", ["threads"], ["break meet", "continue", "info threads", "thread apply all backtrace 2",
                                       "p shared == shared", "next", "next", "stepi",
                                       "p number", "info threads", "delete", "continue"],
              [r"meet \(number=1\)", r"4 +Thread", r"work \(", r"work \(", r"work \(", r"= 1", r"meet \(number=2\)", r"= 2",
               r"4 +Thread",
               r"exited with code 03"], 3)
    setup.gdb("one thread alone", ["threads"], ["break meet", "continue", "set scheduler-locking on",
                                                "set var $before = shared", "next", "next", "next",
                                                "p shared - $before", "set scheduler-locking off", "delete", "continue"],
              [r"meet \(number=1\)", r"= 0", r"exited with code 03"], 3)


def test_ends(setup):
    setup.gdb("kill", ["loop"], ["break main", "continue", "kill"], [r"main", r"killed"], -9)
    setup.gdb("detach", [], ["break twice", "continue", "detach"], [r"twice", r"[Dd]etach"], 30, "total 30")
    setup.gdb("child", ["child"], ["break twice", "continue"], [r"exited with code 06"], 6)
    setup.gdb("vfork", ["spawn"], ["break main", "continue", "stepi", "break execve", "continue"], [r"main",
                                                                                                    r"exited with code 05"], 5)
    setup.gdb("tcp", [], ["continue"], [r"exited"], 30, place=free_port())
    setup.gdb("variable", [], ["continue"], [r"exited"], 30, place=str(setup.folder / "other"),
              env={"QEMU_GDB": str(setup.folder / "other")})
    setup.gdb("variable of ours first", [], ["continue"], [r"exited"], 30, place=str(setup.folder / "ours"),
              env={"QEMU_GDB": "/nonexistent/x", "KILN_GDB": str(setup.folder / "ours")})
    bad = support.run([setup.kiln, "-g", "/nonexistent/socket", setup.program], 10)
    check(bad.status == 1 and "kiln: -g" in bad.errors, "-g where no socket can be")


def test_packets(setup):
    debugged = Debugged(setup, "loop")
    client = debugged.connect()
    supported = client.ask("qSupported:swbreak+;xmlRegisters=riscv")
    check("qXfer:features:read+" in supported and "PacketSize=" in supported, "qSupported")
    stop = client.ask("?")
    check(re.fullmatch(r"T05thread:[0-9a-f]+;", stop), f"?: {stop}")
    thread = stop[10:-1]
    check(client.ask("qC") == "QC" + thread and client.ask("qfThreadInfo") == "m" + thread and client.ask("qsThreadInfo") == "l", "threads")
    check(client.ask("T" + thread) == "OK" and client.ask("T7ffffff0") == "E03", "T")
    check(client.ask("Hg" + thread) == "OK" and client.ask("Hc-1") == "OK" and client.ask("Hg0") == "OK", "H")
    registers = client.ask("g")
    check(len(registers) == 16 * 65 + 8 * 3, f"g: {len(registers)}")
    check(client.ask("G" + registers) == "OK" and client.ask("g") == registers, "G")
    check(client.ask("p20") == registers[16 * 32:16 * 33] and client.ask("p44") == "E01", "p")
    check(client.ask("Pa=efcdab8967452301") == "OK" and client.ask("pa") == "efcdab8967452301" and client.ask("Pa=zz") == "E01", "P")
    stack = int.from_bytes(bytes.fromhex(client.ask("p2")), "little") - 64
    check(client.ask(f"M{stack:x},4:01020304") == "OK" and client.ask(f"m{stack:x},4") == "01020304", "M, m")
    check(client.ask(f"X{stack:x},3:", b"a}\x03b") == "OK" and client.ask(f"m{stack:x},3") == "612362", "X")
    check(client.ask("m0,8") == "E14" and client.ask("M8,1:00") == "E14", "memory that is not there")
    check(client.ask("vCont?") == "vCont;c;C;s;S", "vCont?")
    check(client.ask("vMustReplyEmpty") == "" and client.ask("!") == "" and client.ask("qNonsense") == "", "unknown packets")
    check(client.ask("Z2,1000,4") == "", "no watchpoints")
    xml = client.ask("qXfer:features:read:target.xml:0,ffff")
    check(xml[0] == "l" and "org.gnu.gdb.riscv.fpu" in xml and xml.endswith("</target>\n"), "target.xml")
    part = client.ask("qXfer:features:read:target.xml:5,10")
    check(part == "m" + xml[6:22], f"target.xml in parts: {part}")
    check(client.ask("qXfer:exec-file:read::0,fff") == "l" + os.path.realpath(setup.program), "exec-file")
    check(client.ask("qXfer:features:read:nothing:0,10") == "E00", "another description")
    pc = int.from_bytes(bytes.fromhex(client.ask("p20")), "little")
    check(client.ask("s").startswith("T05"), "s")
    check(client.ask("vCont;s:" + thread).startswith("T05"), "vCont;s")
    check(client.ask("p20") != f"{pc:016x}", "a step goes on")
    for _ in range(3):
        client.send("c")
        time.sleep(0.2)
        client.interrupt()
        check(client.receive().startswith("T02"), "^C in a loop")
    check(client.ask("QStartNoAckMode") == "OK" and client.ask("?").startswith("T02"), "no acknowledgements")
    client.send("k")
    check(debugged.finish()[0] == -9, "k")

    debugged = Debugged(setup, "wait")
    client = debugged.connect()
    client.send("vCont;c")
    time.sleep(0.3)
    client.interrupt()
    check((client.receive() or "").startswith("T02"), "^C in a system call")
    client.send("c")
    time.sleep(0.2)
    client.interrupt()
    check((client.receive() or "").startswith("T02"), "^C again: the call went on")
    client.send("c")
    time.sleep(0.2)
    client.connection.close()
    time.sleep(0.5)
    check(debugged.process.poll() is None, "the connection ends, the program goes on")
    debugged.process.kill()
    debugged.finish()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True)
    args = parser.parse_args()
    program = args.build.resolve() / "test-programs/gdb.riscv64"
    error = support.compile_c(Path(__file__).parent / "program.c", program, "riscv64", ["-O0", "-g", "-pthread"])
    check(not error, error or "program.c builds")
    check(shutil.which("gdb-multiarch"), "gdb-multiarch is there")
    with tempfile.TemporaryDirectory(prefix="kiln-gdb-") as folder:
        for tier in support.TIERS:
            setup = Setup(args.kiln.absolute(), tier, program, Path(folder))
            for test in (test_calls, test_registers, test_memory, test_signals, test_threads, test_ends, test_packets):
                test(setup)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


sys.exit(main())
