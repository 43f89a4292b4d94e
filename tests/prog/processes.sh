#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs that start programs: applets run by name through /proc/self/exe, scripts by their first line, exec, deep pipes,
# job control without a terminal, signals between processes.
#   processes.sh [SIZE]      of the larger pieces of work
set -u
size=${1:-3000}
PATH=/nonexistent
export PATH LC_ALL=C TZ=UTC
work=/tmp/kiln-processes.$$
mkdir "$work" && cd "$work" || exit 1
trap 'cd /; rm -rf "$work"' EXIT

echo "-- exec through applets"
for f in c a b; do echo "content of $f" >"$f.txt"; done
find . -name '*.txt' -exec cat {} + | sort
find . -name '*.txt' | sort | xargs -n 2 wc -c | sed 's/^ *//'
env -i A=1 B='two words' sh -c 'echo "$A,$B"'
nice -n 0 true 2>/dev/null; echo "after nice"
timeout 20 sh -c 'exit 9'; echo "timeout passes $?"
timeout 1 sleep 30; echo "timeout ends $?"

echo "-- exec in place"
(exec cat a.txt)
(exec sh -c 'echo "parameters: $0 $*"' zero one 'two three')
exec 3>descriptor
echo "through descriptor 3" >&3
exec 3>&-
cat descriptor

echo "-- statuses"
sh -c 'exit 200'; echo $?
sh -c 'kill -KILL $$' 2>/dev/null; echo $?
false || true && echo "chain"
! false; echo "not: $?"

echo "-- pipes"
seq 1 "$size" | while read -r n; do [ $((n % 7)) -eq 0 ] && echo "$n"; done | tail -n 1
seq 1 $((size * 20)) | head -n 3
yes | head -n $((size * 20)) | wc -l
cat /dev/zero | head -c $((size * 1000)) | md5sum
seq 1 300 | sort -r | sort -n | uniq | tac | sed 's/$/./' | grep -v 1 | tr -d '.' | awk '{ s += $1 } END { print s }'

echo "-- many processes"
i=0
while [ $i -lt 40 ]; do (echo "$i" >"out.$i") & i=$((i + 1)); done
wait
cat out.* | sort -n | awk '{ s += $1 } END { print NR, s }'
rm out.*
result=$(echo "$(echo "$(echo "$(echo inner)")")")
echo "$result"

echo "-- signals"
trap 'echo "USR1 arrived"' USR1
(sleep 0; kill -USR1 $$)
trap '' USR2
kill -USR2 $$ && echo "USR2 ignored"
sh -c 'trap "echo child got TERM; exit 3" TERM; kill -TERM $$; sleep 5'; echo "status $?"
sleep 30 &
kill -TERM $!
wait $! 2>/dev/null; echo "background: $?"

echo "-- files"
ln -s a.txt link && readlink -f link | sed 's,.*/,,'
chmod 640 a.txt && stat -c '%a %s %F' a.txt
touch -d '2001-02-03 04:05:06' b.txt && date -r b.txt '+%Y-%m-%d %H:%M:%S %j'
mv c.txt d.txt && ls
dd if=/dev/zero of=sparse bs=1024 seek=1023 count=1 2>/dev/null && stat -c %s sparse
cp a.txt copy && cmp a.txt copy && echo "copied"
tar -c a.txt b.txt | tar -t
