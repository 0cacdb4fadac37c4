#!/bin/sh
# Measures recovery of a hardened quorum beside that of the crate sta-rs, in alternation, and
# prints the medians of processor time. See README.md.
#
#   ROUNDS=2       how often both sides are measured twice, in the order A B B A
#   CLIENTS="..."  in thousands; the threshold is a thousandth of the number of clients
set -eu
cd "$(dirname "$0")"
rounds=${ROUNDS:-2}
clients=${CLIENTS:-"100 250 500 1000"}
out=results
mkdir -p "$out"
command -v cargo >/dev/null || { echo "run.sh: no cargo: install Rust 1.89 or newer" >&2; exit 2; }
cargo build --release --quiet
go test -c -o "$out/analyzer.test" ../../internal/esa/analyzer
star=${CARGO_TARGET_DIR:-target}/release/shoal-bench-star

ours() {
	GOMAXPROCS=2 "$out/analyzer.test" -test.run '^$' -test.benchtime 1x -test.bench "^BenchmarkHardenedRecovery\$/^clients=${1}000\$" |
		grep ^Benchmark | tee -a "$out/shoal.txt"
}
peer() { "$star" recover "${1}000" "$1" "$out/messages-$1" | tee -a "$out/star.txt"; }

: >"$out/shoal.txt"
: >"$out/star.txt"
for n in $clients; do
	"$star" make "${n}000" "$n" "$out/messages-$n"
	round=1
	while [ "$round" -le "$rounds" ]; do
		ours "$n"
		peer "$n"
		peer "$n"
		ours "$n"
		round=$((round + 1))
	done
done

# median FILE THOUSANDS: of the processor times.
median() {
	sed -n "s|.*/clients=${2}000[-/ ].*[ 	]\([0-9.]*\) cpu-s.*|\1|p" "$1" | sort -n |
		awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}
for n in $clients; do
	a=$(median "$out/shoal.txt" "$n")
	b=$(median "$out/star.txt" "$n")
	echo "$n $a $b" | awk '{ printf "%s,000 clients: Shoal %.2f s of processor time, sta-rs %.2f s, %.1f times\n", $1, $2, $3, $3 / $2 }'
done
