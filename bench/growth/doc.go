// Package growth measures whether what is done for one job costs more as more is
// stored: commits to the ledger with up to 100 million report IDs and 10,000 tasks.
// It has benchmarks only, which print a table:
//
//	go test -run '^$' -bench Ledger -benchtime 1x -timeout 60m ./bench/growth
//	SHOAL_BENCH_IDS=10000000 go test -run '^$' -bench Ledger -benchtime 1x ./bench/growth
//
// SHOAL_BENCH_IDS bounds the IDs, by default 100 million, which take 2 GB of disk and
// some minutes to write.
package growth
