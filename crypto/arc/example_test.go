package arc_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/crypto/arc"
)

// A client gets one credential and reports twice an epoch; a third report in the
// epoch has no nonce left, and a copied one has a spent tag.
func Example() {
	policy := []byte("example.org, period 7")
	key, err := arc.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}

	// Issuance: the client sends request.Bytes(), the issuer response.Bytes().
	secrets, request, err := arc.NewRequest(rand.Reader, policy)
	if err != nil {
		log.Fatal(err)
	}
	response, err := key.Issue(rand.Reader, request)
	if err != nil {
		log.Fatal(err)
	}
	credential, err := secrets.Finalize(key.Public(), request, response)
	if err != nil {
		log.Fatal(err)
	}

	const limit = 2
	epoch, err := arc.NewContext([]byte("epoch 2026-11-30"), limit)
	if err != nil {
		log.Fatal(err)
	}
	verifier := key.Verifier(policy)
	spent := map[arc.Tag]bool{}
	receive := func(report string, encoded []byte) {
		p, err := arc.ParsePresentation(encoded, limit)
		if err != nil {
			log.Fatal(err)
		}
		tag, err := verifier.Verify(epoch, p, []byte(report))
		switch {
		case errors.Is(err, arc.ErrProof):
			fmt.Println(report, "invalid")
		case err != nil:
			log.Fatal(err)
		case spent[tag]:
			fmt.Println(report, "counted before")
		default:
			spent[tag] = true
			fmt.Println(report, "counted")
		}
	}
	var last []byte
	for nonce, report := range []string{"first", "second", "third"} {
		p, err := credential.Present(rand.Reader, epoch, uint32(nonce), []byte(report))
		if errors.Is(err, arc.ErrLimit) {
			fmt.Println(report, "not sent")
			continue
		} else if err != nil {
			log.Fatal(err)
		}
		last = p.Bytes()
		receive(report, last)
	}
	receive("second", last)
	receive("stolen", last)
	// Output:
	// first counted
	// second counted
	// third not sent
	// second counted before
	// stolen invalid
}
