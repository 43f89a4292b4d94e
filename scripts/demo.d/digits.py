"""Digits of pi by Machin's formula in big integers, and what they look like."""
import collections
import hashlib
import json
import sys

DIGITS = 20000


def arctan_inverse(x, unity):
    term = total = unity // x
    divisor, sign = 3, -1
    while term:
        term //= x * x
        total += sign * (term // divisor)
        divisor, sign = divisor + 2, -sign
    return total


sys.set_int_max_str_digits(0)
unity = 10 ** (DIGITS + 10)
pi = str(4 * (4 * arctan_inverse(5, unity) - arctan_inverse(239, unity)) // 10 ** 10)
counts = collections.Counter(pi[1:])
print(f"pi = 3.{pi[1:51]}... the last ten of {DIGITS} digits: {pi[-10:]}")
print(json.dumps({digit: counts[digit] for digit in sorted(counts)}))
print("sha256", hashlib.sha256(pi.encode()).hexdigest())
