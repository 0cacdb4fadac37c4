package x25519_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/shoal-project/shoal/crypto/x25519"
)

// A server multiplies the ephemeral keys of many clients by its own key.
func Example() {
	server, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	var clients []*ecdh.PrivateKey
	var points [][x25519.Size]byte
	for range 10 {
		client, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			log.Fatal(err)
		}
		clients = append(clients, client)
		points = append(points, [x25519.Size]byte(client.PublicKey().Bytes()))
	}
	points = append(points, [x25519.Size]byte{}) // not the key of a client

	scalar, err := x25519.NewScalar(server.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	shared := scalar.Multiply(points)
	agreed := 0
	for i, client := range clients {
		theirs, err := client.ECDH(server.PublicKey())
		ours, ok := shared[i].Secret()
		if err == nil && ok && ours == [x25519.Size]byte(theirs) {
			agreed++
		}
	}
	_, ok := shared[len(clients)].Secret()
	fmt.Println(agreed, "secrets agree; the point 0 has one:", ok)
	// Output:
	// 10 secrets agree; the point 0 has one: false
}
