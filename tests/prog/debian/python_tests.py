# SPDX-License-Identifier: MIT
"""Runs test modules of Python's own (package libpython3.13-testsuite): python3 python_tests.py MODULE...

Prints a line for each module, with the tests that failed. Left out are tests that cannot pass here whatever runs them."""
import os
import sys
import unittest

# Part of a test's name: why it is left out.
LEFT_OUT = {
}


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        elif not any(part in test.id() for part in LEFT_OUT):
            yield test


def main():
    for module in sys.argv[1:]:
        sys.stdout.flush()
        loaded = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
        with open(os.devnull if "-v" not in os.environ.get("SHOW", "") else "/dev/stderr", "w") as stream:
            result = unittest.TextTestRunner(stream, verbosity=2).run(unittest.TestSuite(tests_of(loaded)))
        bad = [test for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
        print(module, "fine" if result.testsRun and not bad else f"{len(bad)} of {result.testsRun} failed")
        for test in bad:
            print("  ", test.id())
        for _, text in result.failures + result.errors:
            print(text, file=sys.stderr)


main()
