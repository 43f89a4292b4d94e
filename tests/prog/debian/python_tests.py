# SPDX-License-Identifier: MIT
"""Runs test modules of Python's own (package libpython3.13-testsuite): python3 python_tests.py MODULE...

Prints a line for each module, with the tests that failed. Left out are tests that start threads."""
import sys
import unittest

from test import support

# Parts of the names of tests that start threads: out until kiln has threads.
NEED_THREADS = (
    "CSignalsTest.test_interrupted", "ForkTests.test_fork_warns", "PySignalsTest.test_interrupted", "TestSendfile",
    "ThreadingTest", "decimal.localcontext", "testThreading", "test_check_connection_thread",
    "test_check_cursor_thread", "test_count_threading", "test_count_with_step_threading", "test_dont_check_same_thread",
    "test_dump_traceback_later", "test_dump_traceback_threads", "test_errno.Test.test_open",
    "test_fatal_error_c_thread", "test_optional_abilities", "test_poll_blocks_with_negative_ms", "test_sigwait_thread",
    "test_slow_close_from_thread", "test_stress_modifying_handlers", "test_tee_concurrent", "test_threaded_hashing",
    "test_threaded_import_lock_fork", "test_threaded_poll", "test_threads_write", "test_unpickle_module_race",
    "test_write_readline_races",
)


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        elif not any(part in test.id() for part in NEED_THREADS):
            yield test


def main():
    for module in sys.argv[1:]:
        sys.stdout.flush()
        loaded = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
        result = unittest.TextTestRunner(sys.stderr, verbosity=2).run(unittest.TestSuite(tests_of(loaded)))
        bad = [test for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
        print(module, "fine" if result.testsRun and not bad else f"{len(bad)} of {result.testsRun} failed")
        for test in bad:
            print("  ", test.id())


if __name__ == "__main__":  # multiprocessing imports this file again
    support.use_resources = []  # no network, nothing that takes minutes
    main()
