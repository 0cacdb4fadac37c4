package witness_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/shoal-project/shoal/ohttp/witness"
)

// FuzzParsePath: a path that is read is the one that its slot has.
func FuzzParsePath(f *testing.F) {
	s, err := witness.SlotAt(make(ed25519.PublicKey, ed25519.PublicKeySize), "gateway", 24*time.Hour, time.Unix(1<<30, 0))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{s.Path(), "", "/", "//", s.Path() + "/", s.Path() + "0", "/a/gateway/1", "/" + s.Path()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if s, ok := witness.ParsePath(path); ok && s.Path() != path {
			t.Errorf("%q is read as %q", path, s.Path())
		}
	})
}
