# SPDX-License-Identifier: MIT
# Arithmetic, arrays, string expansion, functions and a few forks in the shell itself: loop.sh SIZE
collatz() {
  local n=$1 steps=0
  while ((n != 1)); do
    if ((n % 2)); then n=$((3 * n + 1)); else n=$((n / 2)); fi
    ((++steps))
  done
  result=$steps
}
declare -A seen
longest=0 text=
for ((i = 1; i <= $1; i++)); do
  collatz $i
  ((seen[$result] += 1))
  [[ $result -gt $longest ]] && longest=$result
  case $i in *7) text+=${i/7/x}, ;; *[13]) text=${text%,}; text+=:${#text}, ;; esac
done
forked=0
for ((i = 0; i < 20; i++)); do ((forked += $(echo ${#seen[@]}))); done
echo "$longest ${#seen[@]} ${#text} ${text:100:40} $forked"
