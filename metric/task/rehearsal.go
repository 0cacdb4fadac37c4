package task

import "strings"

// RehearsalPrefix begins the names of metrics that only simulated clients answer.
// The name is part of the signed task, so that the mark is in every manifest,
// table name, page and export, and no client counts one against the caps of the
// real metric.
const RehearsalPrefix = "rehearsal."

// RehearsalNote is what is shown beside the results of a rehearsal.
const RehearsalNote = "rehearsal: the answers are invented by shoal simulate and say nothing about people"

// IsRehearsal reports whether the metric of this name is answered by simulated
// clients alone.
func IsRehearsal(metric string) bool { return strings.HasPrefix(metric, RehearsalPrefix) }

// Rehearsed returns the name of the metric that a rehearsal is of, and any other
// name as it is.
func Rehearsed(metric string) string { return strings.TrimPrefix(metric, RehearsalPrefix) }
