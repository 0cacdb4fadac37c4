// Package plan holds what is known about a question before anything is collected:
// how metrics.yaml writes a kind of aggregate, what one client's value means in
// words, and how far noise and sampling move the result.
//
// It has a file a kind. A [Kind] is the plan's side of a [kind.Kind]; [Of] returns
// it. [Read] reads a kind from the keys of a metric through [Settings], so that this
// package does not depend on YAML.
package plan
