// Package growth measures whether what is done for one report, one job, one batch or
// one look costs more as more is stored. It has benchmarks only, which print tables.
//
// BenchmarkLedger: commits to the ledger of an aggregator with up to 100 million report
// IDs and 10,000 tasks. BenchmarkTasks, BenchmarkEpochs and BenchmarkCrowds: the servers
// of the crowd route (start, intake, an idle tick, the closing and the release of a
// batch, pages of the console, the lists of the management API and of SQL) with up to
// 10,000 tasks, 100,000 released batches, and a batch of 1,000,000 crowds. BenchmarkLeader:
// the intake of the aggregate route with up to 3,000 tasks.
//
//	go test -run '^$' -bench Ledger -benchtime 1x -timeout 60m ./bench/growth
//	go test -run '^$' -bench 'Tasks|Epochs|Crowds' -benchtime 1x -timeout 60m ./bench/growth
//	go test -run '^$' -bench Leader -benchtime 1x ./bench/growth
//
// SHOAL_BENCH_IDS, SHOAL_BENCH_TASKS, SHOAL_BENCH_EPOCHS and SHOAL_BENCH_CROWDS lower
// the bounds. The IDs take 2 GB of disk and some minutes to write, the crowds some
// minutes to seal.
package growth
