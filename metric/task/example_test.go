package task_test

import (
	"crypto/ed25519"
	"fmt"

	"github.com/shoal-project/shoal/metric/task"
)

// An owner signs a task; a server that accepts this owner opens it; a client
// encodes a record of it.
func Example() {
	owner := identity("owner")
	signed, err := task.Sign(sample(), owner)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, id, err := signed.Open([]ed25519.PublicKey{owner.Public()})
	if err != nil {
		fmt.Println(err)
		return
	}
	payload, err := t.Encode(sampleRecord())
	if err != nil {
		fmt.Println(err)
		return
	}
	padded, err := task.Pad(payload, int(t.PayloadSize))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s has %d characters\n%d bytes of payload, %d at most, %d padded\n",
		"the task ID", len(id.String()), len(payload), t.MaxPayload(), len(padded))
	// Output:
	// the task ID has 43 characters
	// 32 bytes of payload, 214 at most, 256 padded
}
