// Package crowd measures the crowd route from end to end with the real servers:
// intake over HTTP, and the way of a closed batch from sealed segments to the
// released tables. It has benchmarks only:
//
//	go test -run '^$' -bench . ./bench/crowd
//	go test -run '^$' -bench 'Relay|Bytes' ./bench/crowd # through a relay, with credentials
//	SHOAL_BENCH_REPORTS=1000000 go test -run '^$' -bench Batch -benchtime 1x -timeout 60m ./bench/crowd
package crowd
