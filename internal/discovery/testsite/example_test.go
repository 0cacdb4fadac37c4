package testsite_test

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/testsite"
)

func Example() {
	site := testsite.New(testsite.Options{Seed: 1, People: 50})
	start := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	walk := site.Population().Walk(7, 100, start)
	secret := 0
	for _, v := range walk {
		if v.Page != nil && v.Page.Truth() == testsite.Capability {
			secret++
		}
	}
	fmt.Println(len(walk) >= 100, secret > 0, site.Show(walk[0]).Status)
	// Output: true true 200
}
