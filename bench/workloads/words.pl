# SPDX-License-Identifier: MIT
# Hashes, regular expressions, sort and sprintf over a text: words.pl FILE
use strict;
use warnings;

my (%count, %pairs, $previous);
my ($lines, $long) = (0, 0);
while (my $line = <>) {
    $lines++;
    $long++ if $line =~ /\b(\w)\w*\1\b.*\d{2,}/;
    $line =~ s/(\w+)-(\w+)/$2 $1/g;
    for my $word (split /\W+/, lc $line) {
        next unless length $word;
        $count{$word}++;
        $pairs{"$previous $word"}++ if defined $previous;
        $previous = $word;
    }
}
my @words = sort { $count{$b} <=> $count{$a} or $a cmp $b } keys %count;
my $pair = (sort { $pairs{$b} <=> $pairs{$a} or $a cmp $b } keys %pairs)[0];
print join("|", $lines, $long, scalar @words, map { sprintf "%s:%d", $_, $count{$_} } @words[0 .. 4]), "|$pair\n";
