package local_test

import (
	"context"
	"fmt"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/enginetest"
	"github.com/shoal-project/shoal/internal/engine/local"
)

func Example() {
	ctx := context.Background()
	e, err := local.New("work", local.Options{FS: durable.Mem()}) // no FS in earnest
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	w, err := e.Create(ctx, "reports", []engine.Column{{Name: "crowd", Width: 3}, {Name: "row", Width: 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Abort()
	if err := w.Write([]byte("vim1ed_2vim3vim4")); err != nil {
		fmt.Println(err)
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}
	if err := e.CountByKey(ctx, "reports", "crowd", "counts"); err != nil {
		fmt.Println(err)
	}
	counts, err := enginetest.Get(ctx, e, "counts")
	if err != nil {
		fmt.Println(err)
	}
	for _, row := range counts.Rows {
		fmt.Printf("%s %d\n", row[:3], engine.Count(row))
	}
	// Output:
	// ed_ 1
	// vim 3
}
