#!/bin/sh
# Measures recovery of a hardened quorum beside that of the crate sta-rs, in alternation. See
# README.md.
#
#   ROUNDS=3       how often everything is measured
#   CLIENTS="..."  in thousands; the threshold is a thousandth of the number of clients
set -eu
cd "$(dirname "$0")"
rounds=${ROUNDS:-3}
clients=${CLIENTS:-"100 250 500 1000"}
out=results
mkdir -p "$out"
command -v cargo >/dev/null || { echo "run.sh: no cargo: install Rust 1.89 or newer" >&2; exit 2; }
cargo build --release --quiet
go test -c -o "$out/analyzer.test" ../../internal/esa/analyzer

ours() {
	GOMAXPROCS=2 "$out/analyzer.test" -test.run '^$' -test.benchtime 1x -test.bench "^BenchmarkHardenedRecovery\$/^clients=$1\$" |
		grep ^Benchmark | tee -a "$out/shoal.txt"
}
peer() { target/release/shoal-bench-star "$1" "$2" "$out/messages" | tee -a "$out/star.txt"; }

: >"$out/shoal.txt"
: >"$out/star.txt"
round=1
while [ "$round" -le "$rounds" ]; do
	for n in $clients; do
		if [ $((round % 2)) = 1 ]; then
			echo "shoal:"; ours "${n}000"
			echo "sta-rs:"; peer "${n}000" "$n"
		else
			echo "sta-rs:"; peer "${n}000" "$n"
			echo "shoal:"; ours "${n}000"
		fi
	done
	round=$((round + 1))
done
