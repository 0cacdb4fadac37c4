package dp_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/dp"
)

// A shuffler thresholds the crowds of a batch. The seed is stored with the
// batch, so that a restart repeats the decisions rather than rolling again.
func Example() {
	threshold, err := dp.NewNoisyDrop(20, 12, 2000) // T, D, sigma in thousandths
	if err != nil {
		log.Fatal(err)
	}
	seed, err := dp.NewSeed(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	for tag, n := range map[string]uint64{"rare": 3, "common": 500} {
		kept := threshold.Keep(n, dp.NewStream(seed, "threshold", []byte(tag)))
		if kept == 0 {
			fmt.Println("suppressed:", tag)
		}
	}
	// Output: suppressed: rare
}

// What a setting costs, before any data is collected.
func ExampleThreshold() {
	for _, drop := range []uint32{10, 12} {
		threshold, err := dp.NewNoisyDrop(20, drop, 2000)
		if err != nil {
			log.Fatal(err)
		}
		eps, err := threshold.Epsilon(1e-6)
		switch {
		case errors.Is(err, dp.ErrUnattainable):
			fmt.Printf("%s: delta is never below %.3g\n", threshold, threshold.Floor())
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("%s: epsilon %.3f; a crowd of 32 survives with probability %.2f\n", threshold, eps, threshold.Survival(32))
		}
	}
	// Output:
	// noisy drop T=20 D=10 sigma=2: delta is never below 1.02e-06
	// noisy drop T=20 D=12 sigma=2: epsilon 2.254; a crowd of 32 survives with probability 0.60
}

// A client that sends one report to each of up to ten crowds.
func ExampleCrowds() {
	threshold, err := dp.NewNoisyDrop(20, 14, 2000)
	if err != nil {
		log.Fatal(err)
	}
	curve, err := dp.Crowds(threshold, 10, 1)
	if err != nil {
		log.Fatal(err)
	}
	exact, err := curve.Epsilon(1e-6)
	if err != nil {
		log.Fatal(err)
	}
	one, err := threshold.Epsilon(1e-7)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("exact %.1f, basic composition %.1f\n", exact, dp.Guarantee{Epsilon: one, Delta: 1e-7}.Times(10).Epsilon)
	// Output: exact 8.2, basic composition 24.9
}

func ExampleDiscreteLaplace() {
	noise, err := dp.NewDiscreteLaplace(4, 9) // scale 4/9: epsilon 2.25 for a count
	if err != nil {
		log.Fatal(err)
	}
	sum := int64(0)
	stream := dp.NewStream(dp.Seed{}, "example", nil)
	for range 10_000 {
		x, err := noise.Sample(stream)
		if err != nil {
			log.Fatal(err)
		}
		sum += x
	}
	fmt.Println(sum > -300, sum < 300)
	// Output: true true
}

func ExampleLocalEpsilonFlip() {
	fmt.Printf("a bit flipped once in ten thousand: %.2f\n", dp.LocalEpsilonFlip(1e-4))
	// Output: a bit flipped once in ten thousand: 9.21
}

// What noise on a sum costs in accuracy and gives in privacy.
func ExampleNoise() {
	noise, err := dp.NewLaplaceNoise(1, 2, 100) // epsilon 1/2 for sums of values up to 100
	if err != nil {
		log.Fatal(err)
	}
	draws := make([]int64, 3) // one for each element of a share
	if err := noise.Draw(rand.Reader, draws); err != nil {
		log.Fatal(err)
	}
	fmt.Println(noise)
	fmt.Printf("results of two aggregators are off by %d or less in 95 cases of 100\n", noise.Within95())
	fmt.Printf("one client: epsilon %.2f\n", noise.Guarantee(100, 100, 1e-6).Epsilon)
	// Output:
	// discrete Laplace, epsilon 0.5 for sensitivity 100
	// results of two aggregators are off by 823 or less in 95 cases of 100
	// one client: epsilon 0.50
}
