// Package simulate lets invented people answer somebody's own questions, so that
// the first answers are there before any app asks. Each person is a client of the
// real SDK; all parties run, see package parties, or the servers of a rehearsal
// do. What people answer is drawn from distributions that can be given, see
// [Values]; because it is known, each [Answer] has the truth beside the estimate.
//
// Simulated metrics are rehearsals, see [task.IsRehearsal]: their names show it
// in everything that is released.
package simulate
