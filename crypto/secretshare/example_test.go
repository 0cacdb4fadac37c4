package secretshare_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/crypto/secretshare"
)

// Three clients report the same address, one of them another. With a threshold
// of three, only the first becomes readable.
func Example() {
	binding := secretshare.Binding("the task's ID and the epoch")
	enc, err := secretshare.NewEncoder(secretshare.MessageHash{}, binding, 3)
	if err != nil {
		log.Fatal(err)
	}
	groups := map[string][]secretshare.Share{} // by ciphertext
	for _, message := range []string{"https://example.org/popular", "https://example.org/unlisted/8fa1c22e", "https://example.org/popular", "https://example.org/popular"} {
		e, err := enc.Encode(context.Background(), []byte(message), rand.Reader)
		if err != nil {
			log.Fatal(err)
		}
		groups[string(e.Ciphertext)] = append(groups[string(e.Ciphertext)], e.Share)
	}

	dec, err := secretshare.NewRecoverer(binding, 3)
	if err != nil {
		log.Fatal(err)
	}
	for ciphertext, shares := range groups {
		r, err := dec.Recover([]byte(ciphertext), shares, rand.Reader)
		switch {
		case errors.Is(err, secretshare.ErrTooFew):
			fmt.Printf("%d share: unreadable\n", len(shares))
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("%d shares: %s\n", r.Distinct, r.Message)
		}
	}
	// Unordered output:
	// 3 shares: https://example.org/popular
	// 1 share: unreadable
}
