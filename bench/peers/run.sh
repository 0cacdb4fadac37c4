#!/bin/sh
# Measures Shoal's vdaf package and the prio crate (libprio-rs) in alternation,
# each on one thread, and prints a table of ratios. See README.md.
#
#   ROUNDS=5       how often everything is measured
#   BENCHTIME=0.5  seconds for one measurement
#   VDAFS="..."    which of the five, by the names of their benchmarks
#   NATIVE=1       compile both for this machine's processor
set -eu
cd "$(dirname "$0")"
rounds=${ROUNDS:-5}
benchtime=${BENCHTIME:-0.5}
groups=${VDAFS:-"prio3count prio3sum prio3sumvec prio3histogram prio3multihotcountvec"}
out=results
mkdir -p "$out"

command -v cargo >/dev/null || { echo "run.sh: no cargo: install Rust 1.89 or newer" >&2; exit 2; }
if [ "${NATIVE:-0}" = 1 ]; then
	RUSTFLAGS="${RUSTFLAGS:-} -C target-cpu=native"
	GOAMD64=${GOAMD64:-v3}
	export RUSTFLAGS GOAMD64
fi
cargo build --release --quiet
go test -c -o "$out/vdaf.test" ../../vdaf
go build -o "$out/ratio" ./ratio

# One thread for Go as well: its garbage collector then takes its share of the
# time that is measured.
ours() {
	GOMAXPROCS=1 "$out/vdaf.test" -test.run '^$' -test.benchtime "${benchtime}s" \
		-test.bench "^Benchmark(Shard|VerifyInit|BatchVerifyInit)\$/^$1_" >>"$out/shoal.txt"
}
peer() { target/release/shoal-bench-peers -bench "/$1_" -benchtime "$benchtime" >>"$out/libprio.txt"; }

: >"$out/shoal.txt"
: >"$out/libprio.txt"
round=1
while [ "$round" -le "$rounds" ]; do
	for group in $groups; do
		echo "round $round of $rounds: $group" >&2
		if [ $((round % 2)) = 1 ]; then
			ours "$group"
			peer "$group"
		else
			peer "$group"
			ours "$group"
		fi
	done
	round=$((round + 1))
done
"$out/ratio" "$out/shoal.txt" "$out/libprio.txt"
