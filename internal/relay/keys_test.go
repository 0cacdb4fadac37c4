package relay

import (
	"crypto/ecdh"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// TestKeysAreCheckedOnce: other bytes, and a later or an earlier time than the one that
// was checked, are checked again.
func TestKeysAreCheckedOnce(t *testing.T) {
	identity := newKey(t)
	config := func() []byte {
		t.Helper()
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		end := noon.Add(time.Hour)
		signed, err := task.SignKeyConfig(&task.KeyConfig{
			Role: task.Shuffler, Identity: identity.Public(), NotBefore: noon.Unix(), NotAfter: end.Unix(),
			Keys: []task.Key{task.NewKey(task.KEMX25519, k.PublicKey().Bytes(), noon, end)},
		}, identity)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	w := &Way{opened: map[string]opened{}}
	asked := &task.Task{Hops: []task.Party{{Role: task.Shuffler, Identity: identity.Public()}}}
	first, second := task.KeyConfigList{config()}, task.KeyConfigList{config()}
	forged := task.KeyConfigList{slices.Clone(second[0])}
	forged[0][len(forged[0])-1] ^= 1
	var kept *task.KeyConfig
	for i, step := range []struct {
		list  task.KeyConfigList
		after time.Duration
		fails bool
		same  bool // it is what the step before gave
	}{
		{list: first},
		{list: task.KeyConfigList{slices.Clone(first[0])}, after: time.Minute, same: true},
		{list: first, after: -time.Second, fails: true},
		{list: forged, after: time.Minute, fails: true},
		{list: first, after: time.Minute, same: true},
		{list: second, after: time.Minute},
		{list: second, after: 59 * time.Minute, same: true},
		{list: second, after: time.Hour + time.Second, fails: true},
	} {
		got, err := w.open(asked, step.list, noon.Add(step.after))
		if (err != nil) != step.fails {
			t.Errorf("step %d: %v", i, err)
		}
		if err != nil {
			continue
		}
		if (got[0] == kept) != step.same {
			t.Errorf("step %d: the same configuration: %t, want %t", i, got[0] == kept, step.same)
		}
		kept = got[0]
	}
}
