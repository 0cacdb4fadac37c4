package admission

import (
	"bytes"
	"testing"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/dap"
)

// FuzzSplit: private extensions of any bytes are a presentation and others, which together
// are the same bytes again, or refused.
func FuzzSplit(f *testing.F) {
	shown := dap.Extension{Type: dap.ReportPresentation, Data: make([]byte, arc.PresentationSize(1))}
	for _, list := range [][]dap.Extension{{shown}, {{Type: 1, Data: []byte("x")}, shown, {Type: 0xffff}}, {{Type: 9}}} {
		b, err := dap.NewExtensions(list...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		presentation, others, err := split(b)
		if err != nil {
			return
		}
		list, err := others.List()
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for at < len(list) && list[at].Type < dap.ReportPresentation {
			at++
		}
		all := append(append(append([]dap.Extension{}, list[:at]...), dap.Extension{Type: dap.ReportPresentation, Data: presentation}), list[at:]...)
		back, err := dap.NewExtensions(all...)
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%x is not the one form of its extensions: %v", b, err)
		}
	})
}
