package atrest_test

import (
	"crypto/rand"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/internal/dap/atrest"
)

func Example() {
	old, err := atrest.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := atrest.New(old)
	if err != nil {
		log.Fatal(err)
	}
	sealed := keys.Seal([]byte("a token"), "token", []byte("row 1"))

	current, err := atrest.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	if keys, err = atrest.New(current, old); err != nil {
		log.Fatal(err)
	}
	secret, err := keys.Open(sealed, "token", []byte("row 1"))
	fmt.Println(string(secret), err, keys.Current(sealed))
	_, err = keys.Open(sealed, "token", []byte("row 2"))
	fmt.Println(err)
	fmt.Println(current)
	// Output:
	// a token <nil> false
	// opening token: sealed bytes do not open: damaged, or of another place
	// atrest.Key(redacted)
}
