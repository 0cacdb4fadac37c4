// Package collector is DAP's collector (draft-ietf-ppm-dap, section "Collecting
// Results"): it asks the leader for the aggregates of tasks, when they are due,
// opens what leader and helper have sealed to it, and releases the results as
// tables.
//
// A [Collector] is built by [New] from a [Config] and given its questions by [Collector.Serve]:
//
//	c, err := collector.New(ctx, collector.Config{Store: store, FS: durable.OS(), Dir: dir, Keys: keys})
//	err = c.Serve(ctx, collector.Question{Task: dapTask, Shoal: shoalTask, Leader: token})
//	err = c.Run(ctx, nil)          // asks what is due, whenever it is due
//	err = c.Collect(ctx, id, from, until) // or asks for an interval by hand
//
// [Tables] reads what has been released.
//
// # Schedules
//
// A question with a Shoal task is asked for every epoch, after its end and the
// time that reports may be late ([task.Task.Closes]): never earlier, because a
// batch is collected once. The first one is that in which the collector was given
// the question. In the leader-selected mode the next batch is asked for as soon as
// the one before it is there. Which asks were made is durable before the first
// request is sent, and a request for the same batch has the same bytes, so that the
// leader takes a repetition for what it is. A crash at any moment, or the loss of
// an answer, neither loses a batch nor collects one twice.
//
// # Results
//
// A batch becomes one table, "results", with a row an item: the number of reports,
// the value that the question asks for as package kind reads it, the standard
// deviation of the aggregators' noise in it, and the ends of an interval that holds
// the exact value in 95 cases of 100. Noise can make a count negative; estimates are
// kept as they are, because what is cut off at zero is too large on average. The
// manifest beside the table names the noise, "none" included.
//
// # Security properties
//
// The collector is the only party that sees an aggregate, and sees nothing else:
// with noise not even the exact sum. It holds the HPKE key to which aggregate
// shares are sealed; an attacker with that key and one aggregator's database has no
// more than the collector. A leader can withhold a batch, or with the helper's help
// make one up; a collector cannot detect it. Answers are opened only for the request
// that was sent: the shares are bound to it.
//
// # Limits
//
// An aggregate whose elements do not fit in 64 bits cannot be shown. The intervals
// cover the noise, and nothing else: not what clients failed to send, nor what
// they made up.
package collector
