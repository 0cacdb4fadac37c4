package shuffler

import "context"

// NoteLoss notes a gap, as a loss does that is found anywhere.
func NoteLoss(s *Shuffler, place string) { s.noteGap(foundGap{place: place}) }

// RecordGaps makes the gaps that were found durable.
func RecordGaps(ctx context.Context, s *Shuffler) error { return s.recordGaps(ctx) }
