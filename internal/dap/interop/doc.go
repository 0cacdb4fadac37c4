// Package interop serves the test API by which implementations of DAP are run
// against each other (draft-dcook-ppm-dap-interop-test-design, with the changes
// that Janus made since): JSON over POST, under /internal/test/, for a client, an
// aggregator and a collector.
//
//	http.Handle("/", interop.NewClient(v, nil))
//	http.Handle("/", interop.NewCollector(v, nil))
//	a, err := interop.NewAggregator(ctx, v, stores, dir)
//	http.Handle("/", a.Handler())
//
// The program cmd/dap-interop serves them. One process plays one part, and speaks
// one variant of the protocol.
//
// # Departures from the text
//
// As Janus has it: batch_mode in place of query_type, max_measurement in place of
// bits, no max_batch_query_count and max_batch_size; the client and the collector
// get batch_mode, min_batch_size, time_precision and helper, because the task
// configuration is bound into every share. The task's task_info is "task-info".
//
// A task_start and task_end, both or neither and in multiples of the time
// precision, become the task extension task_interval. It is part of the
// configuration, so client and collector must get both values, too: those of Janus
// (4ab28a36) have no such fields, and its aggregators refuse the reports of its own
// client in a task that has an interval.
//
// # Security
//
// None: anyone with access to it adds tasks and uploads reports. It is for tests.
package interop
