// Package aggregate measures the aggregate route from end to end with the real
// roles over loopback HTTP and SQLite: uploads, one report a request and many; and
// the whole way from the first upload to the collected result, with leader and
// helper on the same machine. Clients run on the same cores. It has benchmarks, and
// a test that the way is right:
//
//	go test -run '^$' -bench . ./bench/aggregate
//	scripts/postgres go test -run '^$' -bench Way/postgres ./bench/aggregate
//	SHOAL_BENCH_REPORTS=1000000 go test -run '^$' -bench Way/histogram -benchtime 1x -timeout 60m ./bench/aggregate
package aggregate
