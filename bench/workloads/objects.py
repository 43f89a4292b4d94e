# SPDX-License-Identifier: MIT
"""Classes, dicts, comprehensions, json, re and a sort: objects.py SIZE"""
import json
import re
import sys

size = int(sys.argv[1])


class Node:
    __slots__ = ("key", "left", "right")

    def __init__(self, key):
        self.key, self.left, self.right = key, None, None

    def insert(self, key):
        node = self
        while True:
            if key < node.key:
                if node.left is None:
                    node.left = Node(key)
                    return
                node = node.left
            else:
                if node.right is None:
                    node.right = Node(key)
                    return
                node = node.right

    def __iter__(self):
        if self.left:
            yield from self.left
        yield self.key
        if self.right:
            yield from self.right


def numbers(count, state=7):
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        yield state >> 33


root = Node(1 << 30)
for key in numbers(size):
    root.insert(key)
ordered = list(root)
assert ordered == sorted(ordered)

records = [{"id": n, "name": f"item{n % 97}", "tags": [n % 3, n % 5], "value": n / 7} for n in ordered]
again = json.loads(json.dumps(records))
groups = {}
for record in again:
    groups.setdefault(record["name"], []).append(record["value"])
text = " ".join(f"{name}={sum(values):.3f}" for name, values in sorted(groups.items()))
found = re.findall(r"item(\d+)=(\d+)\.(\d{3})", text * 20)
print(len(ordered), len(found), sum(int(a) * int(c) for a, b, c in found), pow(3, 10**400, 10**300 + 7) % 10**9)
