# Last digits of the primes below 1,000,000: seven programs and six pipes.
seq 2 1000000 | factor | awk 'NF == 2 { print $2 % 10 }' | sort -n | uniq -c | sort -k1,1nr -k2n |
  sed -E 's/ *([0-9]+) ([0-9]+)/\1 primes end in \2/'
