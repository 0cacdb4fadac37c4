package dap_test

import (
	"bytes"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// variants are all that there are.
func variants() []*dap.Variant { return []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} }

// upTo returns n bytes that count from first.
func upTo(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func reportID(first byte) dap.ReportID { return dap.ReportID(upTo(first, 16)) }
func taskID(first byte) dap.TaskID     { return dap.TaskID(upTo(first, 32)) }
func batchID(first byte) dap.BatchID   { return dap.BatchID(upTo(first, 32)) }

func ciphertext(id dap.HpkeConfigID) dap.HpkeCiphertext {
	return dap.HpkeCiphertext{ConfigID: id, Enc: []byte{0xe1, 0xe2}, Payload: []byte{0xc1, 0xc2, 0xc3}}
}

// configuration is a task of Prio3Histogram with an interval.
func configuration() dap.TaskConfiguration {
	return dap.TaskConfiguration{
		TaskInfo:      []byte("info"),
		Leader:        "https://a.example/",
		Helper:        "https://b.example/dap",
		TimePrecision: 3600,
		MinBatchSize:  100,
		BatchMode:     dap.TimeIntervalMode,
		VDAF:          4,
		VDAFConfig:    []byte{0, 0, 0, 10, 0, 0, 0, 3},
		Extensions:    []dap.Extension{dap.IntervalExtension(dap.Interval{Start: 480000, Duration: 24})},
	}
}

func mustEncode(t testing.TB, v *dap.Variant, m dap.Structure) []byte {
	t.Helper()
	b, err := dap.NewCodec(v).Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newTask(t testing.TB, v *dap.Variant, c dap.TaskConfiguration) *dap.Task {
	t.Helper()
	b := mustEncode(t, v, &c)
	made, err := dap.NewTask(v, dap.TaskprovID(b), b)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// detRand is a stream of bytes that looks random, the same in every run.
type detRand struct{ x uint64 }

func (r *detRand) Read(b []byte) (int, error) {
	for i := range b {
		r.x = r.x*6364136223846793005 + 1442695040888963407
		b[i] = byte(r.x >> 56)
	}
	return len(b), nil
}

func newKey(t testing.TB, id dap.HpkeConfigID, kem uint16) *dapkey.PrivateKey {
	t.Helper()
	k, err := dapkey.Generate(id, hpke.KEM(kem), &detRand{uint64(id) + 1})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func kems() []uint16 { return []uint16{task.KEMX25519, task.KEMP256, task.KEMXWing} }

func equal(a, b []byte) bool { return bytes.Equal(a, b) }
