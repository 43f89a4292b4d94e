# SPDX-License-Identifier: MIT
# A module of Python's own tests: signals, threads, mapped memory, processes. How many tests ran is not printed, as it depends on the
# machine; what failed is.
# kiln: timeout=300 each=test_signal,test_threading,test_thread,test_threadsignals,test_mmap,test_multiprocessing_fork.test_misc
import sys
import unittest
from test import support


def main():
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{sys.argv[1]}")
    result = unittest.TextTestRunner(sys.stderr, verbosity=2).run(suite)
    bad = [test for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
    print("fine" if result.testsRun and not bad else f"{len(bad)} of {result.testsRun} failed", *(test.id() for test in bad), flush=True)


if __name__ == "__main__":
    support.use_resources, support.verbose = ["cpu"], False
    main()
