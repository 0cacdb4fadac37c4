package encoder

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// newQuorum returns a task whose texts are readable once five agree.
func newQuorum(t testing.TB) (*Encoder, *task.Task) {
	return newTask(t, task.Schema{{Name: "url", Kind: task.String, Max: 40}}, func(x *task.Task) {
		x.Encoding = task.Encoding{Kind: task.Quorum, Shares: 5}
	})
}

// opened seals a record for an epoch and returns what the analyzer finds in it.
func opened(t *testing.T, e *Encoder, x *task.Task, epoch task.Epoch, url string) []byte {
	t.Helper()
	fragments, err := e.Encode(map[string]any{"url": url}, rand.Reader)
	if err != nil || len(fragments) != 1 {
		t.Fatalf("%d fragments, %v", len(fragments), err)
	}
	from, to := x.Start(epoch), x.Closes(epoch+1)
	var private []*esa.PrivateKey
	var keys []task.Key
	for range x.Hops {
		k, err := esa.GenerateKey(esa.X25519, from, to, seeded(9))
		if err != nil {
			t.Fatal(err)
		}
		private, keys = append(private, k), append(keys, k.Public())
	}
	layer, err := e.Seal(fragments[0], epoch, keys)
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.Hops {
		o, err := esa.NewOpener(x, mustID(t, x), i, private[i])
		if err != nil {
			t.Fatal(err)
		}
		l, err := o.Open(layer, epoch)
		if err != nil {
			t.Fatal(err)
		}
		layer = l.Next
	}
	return layer
}

func shared(t *testing.T, x *task.Task, content []byte) (string, secretshare.Share) {
	t.Helper()
	ciphertext, share, err := esa.SplitShared(x, content)
	if err != nil {
		t.Fatal(err)
	}
	return string(ciphertext), share
}

// TestQuorum: a payload becomes readable with the fifth report of it, and no
// length distinguishes one payload from another.
func TestQuorum(t *testing.T) {
	e, x := newQuorum(t)
	const url = "https://example.org/unlisted"
	var ciphertext string
	var shares []secretshare.Share
	for i := range 5 {
		c, s := shared(t, x, opened(t, e, x, testEpoch, url))
		if i > 0 && c != ciphertext {
			t.Fatal("equal payloads have different ciphertexts")
		}
		ciphertext, shares = c, append(shares, s)
	}
	r, err := secretshare.NewRecoverer(esa.QuorumBinding(mustID(t, x), testEpoch), 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recover([]byte(ciphertext), shares[:4], rand.Reader); !errors.Is(err, secretshare.ErrTooFew) {
		t.Fatalf("four shares: %v", err)
	}
	res, err := r.Recover([]byte(ciphertext), shares, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := task.Unpad(res.Message)
	if err != nil {
		t.Fatal(err)
	}
	record, err := x.Decode(payload)
	if err != nil || record[0] != url {
		t.Fatalf("recovered %v, %v", record, err)
	}
	for _, other := range []string{"", "a", fmt.Sprintf("%040d", 0)} {
		content := opened(t, e, x, testEpoch, other)
		if c, _ := shared(t, x, content); c == ciphertext || len(content) != len(ciphertext)+secretshare.ShareSize {
			t.Errorf("payload of %d bytes: content of %d", len(other), len(content))
		}
	}
}

// TestQuorumOfAnotherEpoch: what a client reports in two epochs cannot be linked or
// counted together.
func TestQuorumOfAnotherEpoch(t *testing.T) {
	e, x := newQuorum(t)
	today, _ := shared(t, x, opened(t, e, x, testEpoch, "same"))
	tomorrow, _ := shared(t, x, opened(t, e, x, testEpoch+1, "same"))
	if today == tomorrow {
		t.Error("one value has one ciphertext in two epochs")
	}
}

// TestNoPlaintextInQuorum: what is sealed to the analyzer does not hold the
// payload.
func TestNoPlaintextInQuorum(t *testing.T) {
	e, x := newQuorum(t)
	if content := opened(t, e, x, testEpoch, "find me if you can"); bytes.Contains(content, []byte("find me")) {
		t.Error("the payload stands in what the analyzer opens")
	}
	plain, y := newTask(t, x.Schema, nil)
	if content := opened(t, plain, y, testEpoch, "find me if you can"); !bytes.Contains(content, []byte("find me")) {
		t.Error("this test would not find a payload")
	}
	if _, _, err := esa.SplitShared(y, make([]byte, 127)); err == nil {
		t.Error("a plain task's content is split")
	}
	if _, _, err := esa.SplitShared(x, make([]byte, 126)); err == nil {
		t.Error("content that is too short is split")
	}
}
