# SPDX-License-Identifier: MIT
# Groups, sorts and rewrites an array of records.
[ .[] | select(.value % 3 != 0) | .name |= ascii_upcase | .sum = (.tags | map(tonumber) | add) ]
| group_by(.kind)
| map({ kind: .[0].kind, count: length, sum: (map(.sum) | add), first: (sort_by(.value, .name) | .[0].name),
        match: (map(select(.name | test("^[A-F].*[0-9]{2}$"))) | length) })
| sort_by(-.count, .kind) | .[:5][]
