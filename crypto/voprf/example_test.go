package voprf_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/crypto/voprf"
)

// Two clients ask a server about the same value and get the same output. The
// server sees a request of four points from each.
func Example() {
	key, err := voprf.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	client := func(inputs ...string) [][]byte {
		var list [][]byte
		for _, input := range inputs {
			list = append(list, []byte(input))
		}
		pending, request, err := voprf.NewRequest(rand.Reader, list, 4)
		if err != nil {
			log.Fatal(err)
		}
		// The client sends request.Bytes(), the server response.Bytes().
		response, err := key.Evaluate(rand.Reader, request)
		if err != nil {
			log.Fatal(err)
		}
		outputs, err := pending.Finalize(key.Public(), request, response)
		if err != nil {
			log.Fatal(err)
		}
		return outputs
	}
	first := client("https://example.org/popular", "https://example.org/rare")
	second := client("https://example.org/popular")
	fmt.Println("same value, same output:", bytes.Equal(first[0], second[0]))
	fmt.Println("other value, same output:", bytes.Equal(first[1], second[0]))
	// Output:
	// same value, same output: true
	// other value, same output: false
}
