#!/bin/sh
# SPDX-License-Identifier: MIT
# A day in the life of a shell, for `busybox sh`: every command in here is an applet of the same busybox.
# Prints nothing that depends on machine, time or place, so two runs can be compared byte by byte.
#   demo.sh [SIZE]      of the larger pieces of work
set -eu
size=${1:-3000}
PATH=/nonexistent # nothing but applets
export PATH LC_ALL=C TZ=UTC
work=/tmp/kiln-demo.$$
mkdir "$work"
trap 'cd /; rm -rf "$work"' EXIT
cd "$work"

section() { printf '\n== %s\n' "$1"; }

section "arithmetic and loops"
factorial() { if [ "$1" -le 1 ]; then echo 1; else echo $(($1 * $(factorial $(($1 - 1))))); fi; }
gcd() { a=$1 b=$2; while [ "$b" -ne 0 ]; do t=$((a % b)); a=$b; b=$t; done; echo "$a"; }
i=1
while [ $i -le 10 ]; do printf '%2d! = %-8d gcd(%d,360) = %d\n' $i "$(factorial $i)" $i "$(gcd $i 360)"; i=$((i + 1)); done
n=27 steps=0
until [ $n -eq 1 ]; do if [ $((n & 1)) -eq 1 ]; then n=$((3 * n + 1)); else n=$((n >> 1)); fi; steps=$((steps + 1)); done
echo "collatz 27: $steps steps; mixed: $(((1 << 40) / 7 % 1000)) $((-17 / 5)) $((-17 % 5)) $((0x7f ^ 0125))"

section "primes below 200"
primes=
for c in $(seq 2 199); do
  prime=1
  for p in $primes; do
    [ $((p * p)) -le "$c" ] || break
    if [ $((c % p)) -eq 0 ]; then prime=0; break; fi
  done
  if [ $prime -eq 1 ]; then primes="$primes $c"; fi
done
echo $primes | fold -s -w 60

section "here-documents, quoting, case, test"
greet() {
  case $1 in
    [0-9]*) kind=number ;;
    *.sh | *.awk) kind=script ;;
    '') kind=nothing ;;
    *) kind=word ;;
  esac
  cat <<END
<$1> is a $kind of ${#1} characters; ${1%.*} ${1##*.} ${1:-(empty)}
END
}
for word in 42 demo.sh 'two  words' ''; do greet "$word"; done
[ -d . ] && [ ! -e missing ] && test 10 -gt 9 -a abc != abd && echo "test works"
IFS=: read -r first second rest <<'END'
alpha:beta:gamma:$delta
END
echo "$first|$second|$rest"
set -- one "two three" four
for word; do printf '[%s]' "$word"; done
shift
echo " $# left, last ${2}"

section "a table of words: awk, sort, sed, grep, cut, tr, uniq, join"
awk -v size="$size" 'BEGIN { s = 12345
  for (i = 0; i < size; i++) {
    s = (s * 1103 + 12345) % 65536; w = ""
    for (j = 0; j <= s % 4; j++) w = w substr("aeioubcdfg", (s / (j + 1)) % 10 + 1, 1)
    printf "%s\t%d\t%d.%02d\n", w, s % 97, s % 500, s % 100
  } }' >words
wc words
cut -f1 words | sort | uniq -c | sort -k1,1nr -k2 | head -n 6
awk -F '\t' '{ sum[$1] += $2; n[$1]++; if ($3 > max[$1]) max[$1] = $3 }
  END { for (w in sum) printf "%s %d %.3f %.2f\n", w, n[w], sum[w] / n[w], max[w] }' words | sort | sed -n '1,5p'
grep -c '^a' words
grep -E '^(ab|ba)+' words | head -n 3
sed -e 's/^\(.\)\(.*\)\t/\2\1\t/' -e '/^o/d' -e 'y/aeiou/AEIOU/' words | sort -t "$(printf '\t')" -k2,2n -k1,1 | tail -n 4
tr -s 'a-z' 'n-za-m' <words | rev | head -n 2
sort -k1,1 -u words | cut -f1,2 | tail -n 3
printf 'a 1\nb 2\nc 3\n' >left
printf 'a x\nc y\n' >right
awk 'NR == FNR { second[$1] = $2; next } $1 in second { print $0, second[$1] }' right left

section "floating point in awk"
awk 'BEGIN {
  pi = 0; for (k = 0; k < 400; k++) pi += (k % 2 ? -1 : 1) * 4 / (2 * k + 1)
  x = 1; for (i = 0; i < 30; i++) x = (x + 2 / x) / 2
  e = 1; t = 1; for (i = 1; i < 25; i++) { t /= i; e += t }
  printf "%.6f %.10f %.12f %d %g %g %.3e\n", pi, x, e, int(-7.5), 1e300 * 1e10, 1 / 3, 6.02214076e23 }'

section "compression and back"
seq 1 $((size * 2)) >numbers
cat words words numbers >plain
for tool in gzip bzip2; do
  $tool -c plain >"plain.$tool"
  $tool -dc "plain.$tool" | cmp - plain && echo "$tool: same after $(wc -c <"plain.$tool") bytes"
done
tar -cf all.tar words numbers
tar -tf all.tar
mkdir out
tar -xf all.tar -C out
cmp words out/words && cmp numbers out/numbers && echo "tar: same"
# xz of the text "kiln fires clay\n" forty times, as base64: busybox only unpacks this format
base64 -d >small.xz <<'END'
/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AJ/ABtdADWaSdeMBAnOeqWTnjuleyJGPTrmx1U7WBsAAAAApG6rsHFPcRwAATeABQAAAGijElyxxGf7AgAAAAAEWVo=
END
unxz -c small.xz | uniq -c

section "checksums"
md5sum plain
sha1sum plain
sha256sum plain
sha512sum plain | cut -c1-64
gzip -c plain | tail -c 8 | od -A n -t x4 # CRC-32 and length
base64 numbers | md5sum
od -A d -t x1 plain | sed -n '2p'

section "files, pipes, processes"
for f in b a c; do echo "$f" >"file.$f"; done
ls file.*
for f in $(find . -name 'file.*' | sort); do cat "$f"; done | tr '\n' ' '
ln -s file.a link
readlink link
mkfifo pipe
(seq 1 100 >pipe) &
awk '{ s += $1 } END { print "sum through a pipe:", s }' pipe
wait
(exit 7) || echo "exit code $?"
trap 'echo "caught USR1"' USR1
kill -USR1 $$
sh -c 'kill -TERM $$' || echo "a child ended by a signal: $?"
yes kiln | head -n $((size * 6)) | sort | uniq -c
echo "2 100 ^ 7 / p" | dc
printf '%s\n' 3 1 2 | xargs -n 1 echo item | sort
