package hpke_test

import (
	"bytes"
	"crypto/ecdh"
	stdhpke "crypto/hpke"
	"fmt"

	"github.com/shoal-project/shoal/internal/hpke"
)

// Two clients seal with crypto/hpke; the server opens both messages together.
func Example() {
	private := bytes.Repeat([]byte{7}, hpke.Size)
	std, err := stdhpke.DHKEM(ecdh.X25519()).NewPrivateKey(private)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := hpke.NewKey(private, std.PublicKey().Bytes())
	if err != nil {
		fmt.Println(err)
		return
	}

	info, aad := []byte("example"), []byte("version 1")
	var encapsulated [][hpke.Size]byte
	var sealed [][]byte
	for _, text := range []string{"first", "second"} {
		enc, sender, err := stdhpke.NewSender(std.PublicKey(), stdhpke.HKDFSHA256(), stdhpke.AES128GCM(), info)
		if err != nil {
			fmt.Println(err)
			return
		}
		message, err := sender.Seal(aad, []byte(text))
		if err != nil {
			fmt.Println(err)
			return
		}
		encapsulated, sealed = append(encapsulated, [hpke.Size]byte(enc)), append(sealed, message)
	}

	receiver := key.Receiver(info)
	for i, shared := range key.Agree(encapsulated) {
		plaintext, err := receiver.Open(nil, &shared, &encapsulated[i], aad, sealed[i])
		fmt.Println(string(plaintext), err)
	}
	// Output:
	// first <nil>
	// second <nil>
}
