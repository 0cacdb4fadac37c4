package outbox_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/metric/task"
)

// A line is a destination that always answers; reversing is used in place of sealing.
type line struct{}

func (line) Seal(_ context.Context, e outbox.Entry) ([]byte, error) {
	sealed := []byte{}
	for _, b := range e.Record {
		sealed = append([]byte{b}, sealed...)
	}
	return sealed, nil
}

func (line) Send(_ context.Context, e outbox.Entry, report []byte) error {
	fmt.Printf("%s gets %q\n", e.Destination, report)
	return nil
}

func Example() {
	box, _, err := outbox.Open("outbox", outbox.Options{FS: durable.Mem()})
	if err != nil {
		log.Fatal(err)
	}
	defer box.Close()
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	midnight := now.Truncate(24 * time.Hour)
	verdicts, err := box.Add(outbox.Contribution{
		Task: task.ID{1}, Owner: "us", Metric: "greetings", Method: task.Crowd, Destination: "https://shuffler.example",
		Start: midnight, End: midnight.Add(24 * time.Hour), PerEpoch: 10, PerCrowd: 1,
		At: now, MaxDelay: time.Hour, SendBy: midnight.Add(36 * time.Hour), NotAfter: midnight.Add(37 * time.Hour),
		Reports: []outbox.Report{{Record: []byte("olleh"), Recorded: "hello"}, {Record: []byte("ih"), Recorded: "hi"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verdicts)
	for {
		pass, err := box.SendDue(context.Background(), now, line{}, line{})
		if err != nil {
			log.Fatal(err)
		}
		if pass.Next.IsZero() {
			return
		}
		now = pass.Next // a program waits until then
	}
	// Output:
	// [accepted the contribution cap is reached]
	// https://shuffler.example gets "hello"
}
