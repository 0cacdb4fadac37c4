package encoder

import (
	"crypto/rand"
	"testing"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// TestBlindedReports: two reports of one crowd have nothing in common at the first
// shuffler, and one tag at the second; an earlier tag's value is in no layer.
func TestBlindedReports(t *testing.T) {
	e, x := newTask(t, task.Schema{{Name: "url", Kind: task.String, Max: 40}}, func(x *task.Task) {
		x.Hops = append([]task.Party{{Role: task.Shuffler, URL: "https://first.example", Identity: identity(t, seeded(77)).Public()}}, x.Hops...)
		x.Crowd.SaltEpochs, x.Protection.Blinded = 1, true
	})
	const epoch = 20000
	var private []*esa.PrivateKey
	var keys []task.Key
	for i := range x.Hops {
		k, err := esa.GenerateKey(esa.X25519, x.Start(epoch), x.Closes(epoch+1), seeded(byte(9+i)))
		if err != nil {
			t.Fatal(err)
		}
		private, keys = append(private, k), append(keys, k.Public())
	}
	open := func(i int, layer []byte) esa.Layer {
		t.Helper()
		o, err := esa.NewOpener(x, mustID(t, x), i, private[i])
		if err != nil {
			t.Fatal(err)
		}
		l, err := o.Open(layer, epoch)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, err := blind.NewExponent(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var betas, tags [][32]byte
	for _, url := range []string{"https://a.example", "https://a.example", "https://b.example"} {
		fragments, err := e.Encode(map[string]any{"url": url}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		report, err := e.Seal(fragments[0], epoch, keys)
		if err != nil {
			t.Fatal(err)
		}
		if n := esa.ReportSize(x, esa.X25519); len(report) != n {
			t.Errorf("a report of %d bytes, want %d", len(report), n)
		}
		first := open(0, report)
		second := open(1, first.Next)
		product := a.Multiply([][32]byte{first.Point})[0]
		gamma, _ := product.Secret()
		got, err := blind.Unblind([]blind.Factor{second.Factor}, [][32]byte{gamma})
		if err != nil || !got[0].OK {
			t.Fatal(err)
		}
		betas, tags = append(betas, first.Point), append(tags, got[0].Value)
		if first.Crowd != (esa.CrowdTag{}) || second.Crowd != (esa.CrowdTag{}) || second.Point != ([32]byte{}) {
			t.Error("a layer has crowd material that it must not have")
		}
	}
	if betas[0] == betas[1] || tags[0] != tags[1] || tags[0] == tags[2] {
		t.Error("want other points for equal crowds, and tags that are equal for them alone")
	}
}
