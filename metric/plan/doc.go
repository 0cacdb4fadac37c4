// Package plan describes a question before anything is collected: what leaves the
// device, what each party sees, what the releases cost in privacy, and how much of
// the answer will survive noise and thresholds.
//
// [Crowd] and [Aggregate] make the plan of a task. Their texts are for authors, pages
// and programs alike, so that each sentence about privacy is written once.
//
// It has a file for each kind of aggregate, too: how metrics.yaml writes it, its words
// and its error bars. A [Kind] is the plan's side of a [kind.Kind]; [Of] returns it.
// [Read] reads a kind from the keys of a metric through [Settings], so that this
// package does not depend on YAML and servers may import it.
//
// # Limits
//
// Forecasts are averages for a population that is an assumption. Guarantees are those
// of package cost, with its assumptions.
package plan
