package shuffler_test

import (
	"bytes"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
)

// FuzzSpentFile: a file of spent tags that is read is the one form of its marks; any other
// is damaged, and no tag of it is taken for the whole.
func FuzzSpentFile(f *testing.F) {
	f.Add([]byte("shoal spent tags v1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := durable.Mem()
		if err := durable.WriteFile(fsys, "file", b, 0o600); err != nil {
			t.Fatal(err)
		}
		marks, err := shuffler.ReadSpent(fsys, "file")
		if err != nil {
			return
		}
		name, err := shuffler.WriteSpent(fsys, ".", func(yield func([]byte, error) bool) {
			for _, mark := range marks {
				if !yield(mark, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := durable.ReadFile(fsys, name); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%d marks are read from %d bytes and written as %d: %v", len(marks), len(b), len(again), err)
		}
	})
}
