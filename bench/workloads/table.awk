# SPDX-License-Identifier: MIT
# Fields, associative arrays, floating point and gsub over a table: awk -F, -f table.awk FILE
{
    sum[$2] += $3 * $4
    if ($5 ~ /^[a-m]+[0-9]*$/) matched++
    line = $0
    changed += gsub(/[aeiou]/, "#", line)
    if (length(line) > longest) longest = length(line)
}
END {
    n = asorti(sum, names)
    for (i = 1; i <= n; i++) total += sum[names[i]] / i
    printf "%d %d %d %d %d %.4f\n", NR, n, matched, changed, longest, total
}
