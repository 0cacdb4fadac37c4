package demo

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/shoal-project/shoal/cmd/shoal/internal/programs"
)

// TestProtected plays the question with every protection: through the relay, with
// credentials, by a quorum whose values the randomness party makes unguessable. The
// threat it covers: a party that reads or confirms a value by what it receives.
func TestProtected(t *testing.T) {
	var found []programs.Program
	for i := range 40 {
		found = append(found, programs.Program{Name: fmt.Sprintf("a-tool-with-a-long-name-%d", i)})
	}
	in := favourite(found, [32]byte{7}, 200) // about 46 people have the first one
	r, err := Ask(t.Context(), Config{Input: in, Dir: t.TempDir(), Start: time.Date(2027, 3, 1, 10, 20, 0, 0, time.UTC), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent < 180 || len(r.Released) == 0 || r.Accuracy.Invented != 0 || r.Accuracy.WorstErr > 12+float64(200-r.Sent) {
		t.Errorf("%d sent, released %+v, %+v", r.Sent, r.Released, r.Accuracy)
	}
	if len(r.Received) != 4 {
		t.Fatalf("%d parties, want relay, shuffler, randomness and analyzer", len(r.Received))
	}
	for _, v := range r.Received { // what else they must not have fails Ask
		if v.Values+v.Guesses != 0 || v.Bytes == 0 || v.Searched < 20 {
			t.Errorf("%+v", v)
		}
	}
}
