package metric_test

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/metric"
)

// A file that asks for too much is refused, with every problem at its place.
func ExampleRead() {
	src := `version: 1
owner: Example
metrics:
  feedback:
    question: What do people write to us?
    consent: Your feedback is read by us.
    record:
      country: {type: enum, values: [here, there]}
      text: {type: string, max: 500}
    crowd: [country]
    privacy: {threshold: 100, drop: 10, sigma: 4}
    expires: 2027-06-30
`
	_, err := metric.Read("metrics.yaml", []byte(src), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	fmt.Println(err)
	// Output:
	// metrics.yaml:9:7: metric feedback: field "text" is text outside the crowd and would be released as it is, however rare; make it an enum, or add it to the crowd; or accept it: add "free text outside the crowd: because ..." to accept
	// metrics.yaml:11:5: metric feedback: privacy: unsound: with threshold 100, drop 10, sigma 4 a client's presence in a crowd shows with probability 0.008775 (the floor of delta), whatever epsilon is, want at most 1e-05; use threshold: 100, drop: 20, sigma: 4, which keeps it
}
