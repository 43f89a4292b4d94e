#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What Kiln says of itself: counters, names for perf, the report.

    tests/insight.py --kiln build/kiln --build build [--keep FOLDER]"""
import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import support

counts = {True: 0, False: 0}
KERNELS = ("sieve", "bytecode", "strings", "fft", "trees")
# Every trace that has run a few times gets its second form, and the program waits for it: all tiers take part.
ALL_TIERS = ["--mode=hybrid-sync", "--second-after=200"]


def check(good, what):
    counts[bool(good)] += 1
    if not good:
        print(f"FAIL {what}")
    return bool(good)


class Kiln:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def program(self, source, flags=("-O2", "-w")):
        target = self.folder / f"{source.stem}.riscv64"
        error = support.compile_c(source, target, "riscv64", list(flags))
        check(not error, error or f"{source.name} builds")
        return target

    def kernel(self, name):
        return self.program(support.ROOT / f"bench/kernels/{name}.c")

    def __call__(self, *words, cwd=None, env=None, timeout=120):
        return support.run([self.path, *words], timeout, cwd=cwd, extra_env=env)


# ---- counters ----------------------------------------------------------------------------------------------------------------

def counters(done):
    """{name: value} of --stats, one a line: name, value, meaning. Reasons are called "reason NAME"."""
    return {name: int(value) for name, value in re.findall(r"^((?:reason )?[\w-]+) +(\d+)  \S", done.errors, re.MULTILINE)}


def check_sums(c, what):
    for total, parts in (("traces_first", ["traces_straight", "traces_o_shaped", "traces_6_shaped"]),
                         ("traces_first", [f"traces_of_{n}" for n in (1, 2, 4, 8, 16, 32, "more")]),
                         ("dispatches", [f"left_{n}" for n in ("direct", "indirect", "counted", "exception", "fault")]),
                         ("requests", ["traces_second", "requests_failed", "requests_waiting"])):
        check(c[total] == sum(c[part] for part in parts), f"{what}: {total} = {' + '.join(parts)}: {c}")
    ends = ("head-repeated", "block-repeated", "backward-branch", "known-loop", "length", "unsteady-branch", "exception", "interrupted", "code-gone")
    check(c["recordings"] == sum(c.get(f"reason {name}", 0) for name in ends), f"{what}: each recording has one reason: {c}")


def test_counters(kiln):
    """Sums agree, and what is counted in the tiers together is exactly what the interpreter counts."""
    second = 0
    for name in KERNELS:
        program = kiln.kernel(name)
        interpreted = counters(kiln("--tier=interp", "--stats", program, "1"))["interp_insns"]
        c = counters(kiln("--tier=interp", "--stats", "--count", program, "1"))
        check(c["insns_all"] == c["insns_interpreted"] == c["interp_insns"] == interpreted, f"{name}: the interpreter's own: {c}, {interpreted}")
        for options in ([], ALL_TIERS, [*ALL_TIERS, "--trace-cache=16K"], ["--mode=none"], ["--hot", "netplus=1", *ALL_TIERS]):
            what = f"{name} {' '.join(options)}"
            plain, counted = (kiln(*more, "--stats", *options, program, "1") for more in ([], ["--count"]))
            check(plain.same == counted.same, f"{what}: counting changes nothing: {counted.describe()}")
            check_sums(counters(plain), what)
            c = counters(counted)
            check_sums(c, what)
            check("insns_all" not in counters(plain), f"{what}: not counted without being asked for")
            tiers = [c[f"insns_{tier}"] for tier in ("interpreted", "blocks", "first", "second")]
            check(sum(tiers) == c["insns_all"] == interpreted, f"{what}: {tiers} are not {interpreted}")
            second += c["insns_second"]
            if "--trace-cache=16K" in options and name == "trees":
                check(c["traces_evicted"] > 0, f"{what}: evictions are counted")
    check(second > 0, "second forms were counted")


def test_trace_limit(kiln):
    """So many forms are made and no more, first and second: the first lines of `-d trace` without a limit, where the program waits."""
    program = kiln.kernel("strings")
    for mode in ("--mode=hybrid-sync", "--mode=hybrid", "--mode=block"):
        words = ["-d", "trace", "--stats", mode, *support.SOON, "--second-after=0" if mode == "--mode=block" else "--second-after=20"]

        def forms(*more):
            done = kiln(*words, *more, program, "1")
            return done, re.findall(r"^trace (\d+) (first|second) +(\S+)", done.errors, re.MULTILINE)

        free, without = forms()
        check(len(without) > 10, f"{mode}: {len(without)} forms without a limit")
        if mode != "--mode=hybrid":
            check({form for _, form, _ in without} == {"first", "second"}, f"{mode}: both forms")
        for limit in (0, 1, 2, 3, 7):
            done, made = forms(f"--trace-limit={limit}")
            c, what = counters(done), f"{mode} --trace-limit={limit}"
            check(done.same == free.same, f"{what}: changes nothing: {done.describe()}")
            check(c["traces_first"] + c["traces_second"] == len(made) <= limit, f"{what}: {made}")
            check(c.get("reason trace-limit", 0) > 0, f"{what}: the reason is counted")
            check_sums(c, what)
            if mode != "--mode=hybrid":
                check(made == without[:limit], f"{what}: {made} are not {without[:limit]}")


def fallbacks(errors):
    """For each process that wrote --stats: ({operation: calls of the evaluator}, their sum as it is printed), in order."""
    found, operations = [], {}
    for name, number in re.findall(r"^(fallback \S+|fallbacks_executed) +(\d+)  ", errors, re.MULTILINE):
        if name == "fallbacks_executed":
            found.append((operations, int(number)))
            operations = {}
        else:
            operations[name.split()[1]] = int(number)
    return found


def test_fallbacks(kiln):
    """A program that adds with a rounding mode of the instruction's own, which no tier has code for, so often: as often the evaluator was
    called, but for the rounds that the interpreter did. A child's calls are its own."""
    program, rounds, of_child = kiln.program(support.ROOT / "tests/prog/fallbacks.c"), 300000, 700
    in_second = 0
    for options in (["--mode=none"], [], ALL_TIERS):
        what = f"fallbacks {' '.join(options)}"
        done = kiln("--stats", "--count", *options, program, rounds)
        c, found = counters(done), fallbacks(done.errors)
        in_second += c["insns_second"]
        if check(len(found) == 1, f"{what}: listed once: {done.describe()}"):
            operations, total = found[0]
            check(operations == {"fadd": total}, f"{what}: {operations}, all {total}")
            check(rounds - c["insns_interpreted"] <= total <= rounds, f"{what}: {total} of {rounds}, interpreted {c['insns_interpreted']}")
    check(in_second > 0, "fallbacks: second forms take part")
    plain = fallbacks(kiln("--stats", "--mode=none", program, rounds).errors)
    check(plain == [({"fadd": rounds}, rounds)], f"fallbacks: counted without --count too: {plain}")
    both = fallbacks(kiln("--stats", "--count", "--mode=none", program, rounds, of_child).errors)
    check(both == [({"fadd": n}, n) for n in (of_child, rounds)], f"fallbacks: a child begins anew: {both}")


# ---- names for perf ------------------------------------------------------------------------------------------------------------

NAME = re.compile(r"kiln enter and leave|(count )?([\w.@$*]+(\+0x[0-9a-f]+)?|0x[0-9a-f]+)|trace \S+ \((O|6|straight), \d+ blocks?, (first|second) form\)")


def read_map(text):
    """[(start, size, name)] of a perf map; every line is checked."""
    rows = [re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) (.+)", line) for line in text.splitlines()]
    check(rows and all(rows) and all(NAME.fullmatch(row[3]) for row in rows), f"perf map: {[r and r[0] for r in rows if not r or not NAME.fullmatch(r[3])][:3]}")
    return [(int(row[1], 16), int(row[2], 16), row[3]) for row in rows if row]


def read_dump(data):
    """[(code address, size, name)] of a jitdump, and how many lines of debug information; everything is checked that perf relies on."""
    magic, version, size, machine, _, pid, _, flags = struct.unpack_from("<IIIIIIQQ", data)
    check((magic, version, size, machine, flags) == (0x4A695444, 1, 40, 62, 0), "jitdump: header")
    at, before, last, codes, lines, described = size, 0, -1, [], 0, {}
    while at < len(data):
        kind, size, time = struct.unpack_from("<IIQ", data, at)
        body = data[at + 16:at + size]
        if not check(size >= 16 and at + size <= len(data) and time >= before and kind in (0, 2), f"jitdump: record at {at}: {kind}, {size}"):
            break
        if kind == 0:
            its_pid, _, vma, address, code_size, index = struct.unpack_from("<IIQQQQ", body)
            name, _, code = body[40:].partition(b"\0")
            check(its_pid == pid and vma == address and len(code) == code_size and index > last, f"jitdump: {name}")
            last = index
            check(all(address <= line < address + code_size for line in described.pop(address, [])), f"jitdump: lines of {name} lie in it")
            codes.append((address, code_size, name.decode()))
        else:
            address, count = struct.unpack_from("<QQ", body)
            place, found = 16, []
            for _ in range(count):
                line, number, _ = struct.unpack_from("<Qii", body, place)
                place = body.index(b"\0", place + 16) + 1
                found.append(line)
                lines += number >= 0
            check(place == len(body) and not described, "jitdump: debug information comes before its code")
            described[address] = found
        at, before = at + size, time
    return pid, codes, lines


def test_perf_files(kiln, folder):
    """The files by themselves, also of children, and after the process has become another program."""
    program = kiln.kernel("sieve")
    variables = [{f"{who}_{name}": "1" for name in ("PERFMAP", "JITDUMP")} for who in ("KILN", "QEMU")]
    for options, env in ((["-perfmap", "-jitdump"], {}), (["--perfmap", "--jitdump"], {}), ([], variables[0]), ([], variables[1])):
        done = kiln(*options, *ALL_TIERS, program, "1", cwd=folder, env=env)
        dumps = list(folder.glob("jit-*.dump"))
        if not check(done.status == 0 and len(dumps) == 1, f"{options}: {done.describe()}, {dumps}"):
            continue
        pid, codes, lines = read_dump(dumps[0].read_bytes())
        path = Path(f"/tmp/perf-{pid}.map")
        rows = read_map(path.read_text())
        check(dumps[0].name == f"jit-{pid}.dump" and sorted(rows) == sorted(codes), "map and dump say the same")
        check(any("main" in name and name.startswith("trace ") and "second form" in name for _, _, name in rows), "the hot loop is named")
        check(lines > 50, f"{lines} lines of debug information")
        path.unlink()
        dumps[0].unlink()
    forks = kiln.program(support.ROOT / "tests/prog/insight.c")
    done = kiln("-perfmap", "-jitdump", forks, "fork", "exec", forks, "work", cwd=folder)
    pids = [int(word) for word in done.output.split()]
    check(done.status == 0 and len(pids) == 4 and len(set(pids)) == 2, f"fork, exec: {done.describe()} {done.output}")
    for pid in set(pids):
        rows, (owner, codes, _) = read_map(Path(f"/tmp/perf-{pid}.map").read_text()), read_dump((folder / f"jit-{pid}.dump").read_bytes())
        check(owner == pid and sorted(rows) == sorted(codes), f"process {pid}: {len(rows)} and {len(codes)} pieces of code")
        check(any(name.startswith("trace work") for _, _, name in rows), f"process {pid} has its own names")
        Path(f"/tmp/perf-{pid}.map").unlink()
        (folder / f"jit-{pid}.dump").unlink()


def test_perf(kiln, folder):
    """perf itself, where it is and may look."""
    program, data = kiln.kernel("sieve"), folder / "perf.data"
    perf = shutil.which("perf")
    if not perf or support.run([perf, "record", "-e", "cpu-clock", "-o", data, "true"], 60).status != 0:
        print("perf is not here, or may not look: its files were read by the test alone")
        return
    for options, clock in (("-perfmap", []), ("-jitdump", ["-k", "1"])):
        done = support.run([perf, "record", "-e", "cpu-clock", "-F", "2000", *clock, "-o", data, kiln.path, options, program, "60"], 120, cwd=folder)
        check(done.status == 0, f"perf record {options}: {done.describe()}")
        shown = data
        if options == "-jitdump":
            shown = folder / "perf.jit.data"
            done = support.run([perf, "inject", "--jit", "-i", data, "-o", shown], 120, cwd=folder)
            check(done.status == 0, f"perf inject: {done.describe()}")
        done = support.run([perf, "report", "--stdio", "--sort", "symbol", "-i", shown], 120, cwd=folder)
        first = [line for line in done.output.splitlines() if line.strip() and not line.startswith("#")][:1]
        check(first and "trace main" in first[0], f"perf report with {options}: {first}; {done.describe()}")
    for path in Path("/tmp").glob("perf-*.map"):
        if path.stat().st_mtime > data.stat().st_mtime - 120 and path.stat().st_uid == os.getuid() and "trace main" in path.read_text():
            path.unlink()


# ---- the report ----------------------------------------------------------------------------------------------------------------

CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def data_of(page):
    """What the page is made of."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def real(items):
    return items[:-1]  # lists end with null


def test_report(kiln, folder, keep):
    program, path = kiln.kernel("strings"), folder / "report.html"
    done = kiln("--report", "report.html", *ALL_TIERS, program, "2", cwd=folder)
    check(done.status == 0 and path.exists() and not done.errors, f"--report: {done.describe()}")
    check(done.output == kiln(program, "2").output, "a report changes nothing")
    page = path.read_text(encoding="latin-1")
    check(not re.search(r"""(src|href)=["']?https?:|@import|url\(http""", page), "nothing is loaded from elsewhere")
    d = data_of(page)
    traces, samples = real(d["traces"]), real(d["samples"])
    counted = sum(samples[-1][1:])
    interpreted = counters(kiln("--tier=interp", "--stats", program, "2"))["interp_insns"]
    check(counted == interpreted, f"the report's sum of instructions: {counted}, {interpreted}")
    check(sum(t["insns"] for t in traces if t["form"] == 1) == samples[-1][3], "first forms add up")
    check(sum(t["insns"] for t in traces if t["form"] == 2) == samples[-1][4] > 0, "second forms add up")
    functions, blocks = ([(r["name"], real(r["insns"])) for r in real(d[key])] for key in ("functions", "coldBlocks"))
    for tier in (1, 2, 3):
        check(sum(insns[tier] for _, insns in functions) == samples[-1][tier + 1] or len(functions) == 40, f"tier {tier}: functions add up")
    check(0 < sum(insns[1] for _, insns in blocks) <= samples[-1][2] and blocks[0][1][1] == max(insns[1] for _, insns in blocks), "blocks outside of traces")
    straight = 0
    for trace in traces:  # where each block leads to the next alone, what goes in comes out
        blocks, exits = real(trace["blocks"]), real(trace["exits"])
        if trace["loop"] > 0 or any(real(b["to"]) != [i + 1] for i, b in enumerate(blocks[:-1])):
            continue
        straight += 1
        for i, block in enumerate(blocks[:-1]):
            left = sum(e["taken"] for e in exits if e["block"] == i) + block["indirect"]
            check(block["runs"] == left + blocks[i + 1]["runs"], f"trace {trace['id']}, block {i}: {block['runs']} = {left} + {blocks[i + 1]['runs']}")
    check(straight > 10, f"{straight} traces with one way")
    asked = {t["pc"] for t in traces if t["asked"]}
    check(all(t["pc"] in asked for t in traces if t["form"] == 2), "each second form was asked for at some time")
    hot = max((t for t in traces if t["form"] == 2), key=lambda t: t["insns"])
    check("define" in hot["llvm"] and "preserve_none" in hot["llvmOptimised"] and "kiln_trace" in hot["host"], "the hottest trace has LLVM IR and assembly")
    check(any("insn 0x" in t.get("kir", "") for t in traces) and real(hot["blocks"])[0]["guest"], "KIR and guest code")
    text = kiln("--count", "--stats", *ALL_TIERS, program, "2").errors
    check({r["name"] for r in real(d["reasons"])} <= set(re.findall(r"^reason ([\w-]+)", text, re.MULTILINE)), "reasons as in --stats")
    # One page for each process with %d; else for the first alone, also if it becomes another program.
    several = kiln.program(support.ROOT / "tests/prog/insight.c")
    for name, wanted in (("r-%d.html", 2), ("single.html", 1)):
        done = kiln("--report", name, several, "fork", "exec", several, "work", cwd=folder)
        pids = [int(word) for word in done.output.split()]
        files = [folder / name.replace("%d", str(pid)) for pid in sorted(set(pids))][:wanted]
        check(done.status == 0 and all(f.exists() for f in files), f"--report {name}: {done.describe()}")
        owners = {data_of(f.read_text(encoding="latin-1"))["pid"] for f in files if f.exists()}
        check(owners == (set(pids) if wanted == 2 else {pids[0]}), f"--report {name}: written by {owners} of {pids}")
    done = kiln("--report", "/none/x.html", program, "1")
    check(done.status == 0 and "/none/x.html" in done.errors, "a report that cannot be written is a warning")
    done = kiln("--report", "/dev/full", program, "1")
    check(done.status == 0 and done.errors.count("--report /dev/full: ") == 1, f"a report on a full disk is a warning: {done.describe()}")
    test_report_files(kiln, several, folder / "files")
    look_at(path, d, folder, keep)


def test_report_files(kiln, program, folder):
    """A report that cannot be completed leaves an older one as it was, and nothing else; one that can takes its place."""
    folder.mkdir()
    path, other, link, pipe = (folder / name for name in ("page.html", "other.html", "link.html", "pipe"))

    def report(to, *words):
        done = kiln("--report", to, program, *words)
        failed = done.errors.count(f"kiln: warning: --report {to}: ")
        check(done.status == 0 and failed == ("small" in words) == done.errors.count("\n"), f"--report {to} {words}: {done.describe()}")
        return sorted(p.name for p in folder.iterdir())

    check(report(path, "small") == [], "no room for a report: no file is left")
    path.write_text("older")
    path.chmod(0o640)
    check(report(path, "small") == ["page.html"] and path.read_text() == "older", "no room for a report: the older one stays")
    check(report(path) == ["page.html"] and "</html>" in path.read_text(encoding="latin-1"), "a report takes an older one's place")
    check(path.stat().st_mode & 0o777 == 0o640, "and who may read it stays")
    link.symlink_to(other)
    check(report(link) == ["link.html", "other.html", "page.html"] and link.is_symlink() and other.stat().st_size > 10000, "through a link")
    os.link(other, folder / "same.html")
    report(other, "small")
    check((folder / "same.html").stat().st_size == other.stat().st_size == 8192, "a file with two names is written in place")
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    report(pipe)
    check(b"</html>" in reader.communicate(timeout=60)[0] and pipe.is_fifo(), "into a pipe")


def look_at(path, d, folder, keep):
    """The page in a browser: it draws itself, and nothing in it fails."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not check(chromium, "chromium is needed to look at the page"):
        return
    browse = [chromium, *CHROMIUM, f"--user-data-dir={folder / 'profile'}"]
    done = support.run([*browse, "--enable-logging=stderr", "--dump-dom", f"file://{path}"], 120)
    dom = done.output
    check(done.status == 0 and "Uncaught" not in done.errors, f"the page's script: {done.describe()}")
    for what, pattern in {"graph": r'<svg class="trace-graph"', "nodes": r'<g class="node"', "time lines": r'<svg id="times"', "tiers": r'id="tiers"',
                          "hot paths": r'<tr class="pick[ "]', "panes": r'data-key="llvmOptimised"', "reasons": r"head-repeated", "functions": r'id="functions"'}.items():
        check(re.search(pattern, dom), f"the page shows its {what}")
    check(dom.count('<tr class="pick') <= 200 and "NaN" not in dom.split("<main")[1].split("</main>")[0] and "undefined" not in dom.split("<main")[1].split("</main>")[0],
          "every number is one")
    hottest = max(real(d["functions"]), key=lambda f: sum(real(f["insns"])))["name"]
    check(hottest in dom.split("<main")[1], f"{hottest} is shown")
    for theme in ("light", "dark"):
        picture = folder / f"report-{theme}.png"
        done = support.run([*browse, f"--screenshot={picture}", "--window-size=1500,2900", "--hide-scrollbars", f"file://{path}#{theme}"], 120)
        check(picture.exists() and picture.stat().st_size > 50000, f"picture, {theme}: {done.describe()}")
        if keep and picture.exists():
            shutil.copy(picture, keep)
    if keep:
        shutil.copy(path, keep)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="leave the report and its picture here")
    args = parser.parse_args()
    kiln = Kiln(args.kiln.absolute(), args.build.resolve() / "test-programs/insight")
    with tempfile.TemporaryDirectory(prefix="kiln-insight-") as name:
        folder = Path(name).resolve()
        for number, test in enumerate((test_perf_files, test_perf, lambda k, f: test_report(k, f, args.keep))):
            (folder / str(number)).mkdir()
            test(kiln, folder / str(number))
        test_counters(kiln)
        test_trace_limit(kiln)
        test_fallbacks(kiln)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
