package demo

import (
	"fmt"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery/message"
)

// Of the threshold that a crowd of pages or queries must pass: 20 reports must be
// left after some 12, by drawing, were dropped. A crowd of certain reports
// passes, unless the draw is three standard deviations off.
const (
	threshold = 20
	drop      = 12
	deviation = 2
	certain   = threshold + drop + 3*deviation
)

// webYAML writes the entry of metrics.yaml that collects the messages of a
// schema, with its fields as they are.
func webYAML(name, question string, perEpoch int) (string, error) {
	var b strings.Builder
	for _, s := range message.Schemas() {
		if s.Name != name {
			continue
		}
		fmt.Fprintf(&b, "\n  %s:\n    question: %s\n", name, question)
		fmt.Fprintf(&b, "    consent: >-\n      Your device tells that %s. What few people\n      tell is never shown to anybody.\n    record:\n", s.About)
		for _, f := range s.Fields {
			if err := webField(&b, f); err != nil {
				return "", fmt.Errorf("the message %s: %w", name, err)
			}
		}
		fmt.Fprintf(&b, "    crowd: [%s]\n    privacy: {threshold: %d, drop: %d, sigma: %d}\n", strings.Join(s.Crowd, ", "), threshold, drop, deviation)
		fmt.Fprintf(&b, "    min_batch: 100\n    epoch: 1h\n    max_delay: 1h\n    per_epoch: %d\n    per_crowd: 1\n    expires: %%s\n", perEpoch)
		return b.String(), nil
	}
	return "", fmt.Errorf("there is no message %s", name)
}

// webField writes a field. The envelope of a message (day, country, number
// against duplicates) is not collected: the batch is the day, and the outbox
// sends a report once.
func webField(b *strings.Builder, f message.Field) error {
	switch f.Kind {
	case message.Day, message.Country, message.Nonce:
	case message.URL:
		fmt.Fprintf(b, "      %s: {type: string, max: 1024}\n", f.Name)
	case message.Words:
		fmt.Fprintf(b, "      %s: {type: string, max: 256}\n", f.Name)
	case message.Engine:
		fmt.Fprintf(b, "      %s: {type: string, max: 32}\n", f.Name)
	case message.Bucket:
		bounds := make([]string, len(f.Bounds))
		for i, n := range f.Bounds {
			bounds[i] = fmt.Sprint(n)
		}
		fmt.Fprintf(b, "      %s: {type: int, range: [%s, %s], buckets: [%s]}\n", f.Name, bounds[0], bounds[len(bounds)-1], strings.Join(bounds, ", "))
	default:
		return fmt.Errorf("field %s: kind %s is not collected here", f.Name, f.Kind)
	}
	return nil
}
