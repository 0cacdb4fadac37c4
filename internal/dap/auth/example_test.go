package auth_test

import (
	"crypto/rand"
	"fmt"
	"log"
	"net/http"

	"github.com/shoal-project/shoal/internal/dap/auth"
)

func Example() {
	former, err := auth.NewToken(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	token, err := auth.NewToken(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	// The receiver keeps hashes: of both tokens, while the sender changes over.
	hashes := []auth.Hash{former.Hash(), token.Hash()}

	h := make(http.Header)
	token.SetBearer(h)
	fmt.Println(auth.Allowed(h, hashes), auth.Allowed(h, hashes[:1]))
	fmt.Println(token)
	// Output:
	// true false
	// auth.Token(redacted)
}
