package segment_test

import (
	"context"
	"fmt"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/segment"
)

func ExampleLog() {
	fsys := durable.Mem() // durable.OS() in earnest
	log, _, err := segment.Open("reports", segment.Options{FS: fsys})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	for _, report := range []string{"one", "two"} {
		if err := log.Append(context.Background(), []byte(report)); err != nil {
			fmt.Println("not acknowledged:", err)
		}
	}
	if err := log.Seal(); err != nil {
		fmt.Println(err)
	}
	for record, err := range log.Records() {
		fmt.Println(string(record), err)
	}
	// Output:
	// one <nil>
	// two <nil>
}
