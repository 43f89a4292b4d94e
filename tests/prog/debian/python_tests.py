# SPDX-License-Identifier: MIT
"""Runs test modules of Python's own (package libpython3.13-testsuite): python3 python_tests.py MODULE...

Prints a line for each module, with the tests that failed."""
import sys
import unittest

from test import support


def main():
    for module in sys.argv[1:]:
        sys.stdout.flush()
        loaded = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
        result = unittest.TextTestRunner(sys.stderr, verbosity=2).run(loaded)
        bad = [test for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
        print(module, "fine" if result.testsRun and not bad else f"{len(bad)} of {result.testsRun} failed")
        for test in bad:
            print("  ", test.id())


if __name__ == "__main__":  # multiprocessing imports this file again
    support.use_resources = []  # no network, nothing that takes minutes
    main()
