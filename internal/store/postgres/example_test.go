package postgres_test

import (
	"context"
	"fmt"

	"github.com/shoal-project/shoal/internal/store/postgres"
)

func Example() {
	// Each role has a schema of its own; here there is no server to have one.
	_, err := postgres.OpenHelper(context.Background(), "host=/nowhere user=shoal dbname=helper")
	fmt.Println(err != nil)
	// Output:
	// true
}
