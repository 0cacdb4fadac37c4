package dap_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

func hkdfByHand(ikm []byte, salt string, info []byte) []byte {
	extract := hmac.New(sha256.New, []byte(salt))
	extract.Write(ikm)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write(append(info[:len(info):len(info)], 1))
	return expand.Sum(nil)
}

// The digest was computed by sha256sum: of "dap-taskprov task id", and of that
// digest followed by the four bytes 00 01 02 03.
func TestTaskprovID(t *testing.T) {
	const want = "b2dcfbfa3fd4bc5d71ee54540949de62507f1d991d60f4e070886abf3a0d4319"
	id := dap.TaskprovID([]byte{0, 1, 2, 3})
	if hex.EncodeToString(id[:]) != want {
		t.Errorf("task ID %x, want %s", id, want)
	}
}

func TestShoalTask(t *testing.T) {
	id := task.ID(taskID(3))
	c := configuration()
	if _, ok := c.ShoalTask(); ok {
		t.Error("a foreign task_info is taken for a task ID")
	}
	c.TaskInfo = dap.TaskInfo(id)
	if got, ok := c.ShoalTask(); !ok || got != id {
		t.Errorf("task %x, %v", got, ok)
	}
}

func TestVDAFConfigurations(t *testing.T) {
	tests := []struct {
		in   func() (vdaf.Instance, error)
		id   uint32
		want string // «VDAF Configuration Encodings», by hand
	}{
		{func() (vdaf.Instance, error) { return vdaf.Count() }, 1, ""},
		{func() (vdaf.Instance, error) { return vdaf.Sum(1000) }, 2, "00000000000003e8"},
		{func() (vdaf.Instance, error) { return vdaf.SumVec(10, 255, 9) }, 3, "0000000a 00000000000000ff 00000009"},
		{func() (vdaf.Instance, error) { return vdaf.Histogram(100, 10) }, 4, "00000064 0000000a"},
		{func() (vdaf.Instance, error) { return vdaf.MultihotCountVec(5, 2, 3) }, 5, "00000005 00000003 0000000000000002"},
		{func() (vdaf.Instance, error) { return vdaf.L1BoundSum(4, 7, 2) }, 7, "00000004 0000000000000007 00000002"},
		{func() (vdaf.Instance, error) { return vdaf.SumVecMultiproof(4, 7, 2, 3) }, 0xFFFF1003, "00000004 0000000000000007 00000002 03"},
	}
	for _, tt := range tests {
		in, err := tt.in()
		if err != nil {
			t.Fatal(err)
		}
		c := configuration()
		if err := c.SetVDAF(in); err != nil {
			t.Fatal(err)
		}
		if c.VDAF != tt.id || !equal(c.VDAFConfig, unhex(t, tt.want)) {
			t.Errorf("%s: %#x %x, want %#x %s", in.Name(), c.VDAF, c.VDAFConfig, tt.id, tt.want)
		}
		for _, v := range variants() {
			if got := newTask(t, v, c).Instance(); got.Name() != in.Name() {
				t.Errorf("task of %s, want %s", got.Name(), in.Name())
			}
		}
	}
	three, err := vdaf.Count(vdaf.Shares(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := new(dap.TaskConfiguration).SetVDAF(three); err == nil {
		t.Error("a VDAF of three shares is accepted")
	}
}

// Threat: a task with a rule that is not understood here must not run without
// it.
func TestTasksThatAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*dap.TaskConfiguration)
		want   string // in the error
	}{
		{"unknown extension", func(c *dap.TaskConfiguration) {
			c.Extensions = append(c.Extensions, dap.Extension{Type: 2})
		}, "task extension 2 is not known"},
		{"extension 0", func(c *dap.TaskConfiguration) { c.Extensions = []dap.Extension{{}} }, "strictly increasing"},
		{"extension twice", func(c *dap.TaskConfiguration) { c.Extensions = append(c.Extensions, c.Extensions[0]) }, "strictly increasing"},
		{"interval of 15 bytes", func(c *dap.TaskConfiguration) { c.Extensions[0].Data = make([]byte, 15) }, "task interval"},
		{"interval of 17 bytes", func(c *dap.TaskConfiguration) { c.Extensions[0].Data = make([]byte, 17) }, "task interval"},
		{"empty interval", func(c *dap.TaskConfiguration) { c.Extensions[0] = dap.IntervalExtension(dap.Interval{Start: 3}) }, "no length"},
		{"interval without end", func(c *dap.TaskConfiguration) {
			c.Extensions[0] = dap.IntervalExtension(dap.Interval{Start: 1, Duration: 1<<64 - 1})
		}, "out of range"},
		{"precision 0", func(c *dap.TaskConfiguration) { c.TimePrecision = 0 }, "time precision"},
		{"precision of an age", func(c *dap.TaskConfiguration) { c.TimePrecision = 1 << 60 }, "time precision"},
		{"minimum batch 0", func(c *dap.TaskConfiguration) { c.MinBatchSize = 0 }, "minimum batch size"},
		{"batch mode 0", func(c *dap.TaskConfiguration) { c.BatchMode = 0 }, "batch mode 0"},
		{"batch mode 3", func(c *dap.TaskConfiguration) { c.BatchMode = 3 }, "batch mode 3"},
		{"batch configuration", func(c *dap.TaskConfiguration) { c.BatchConfig = []byte{0} }, "want none"},
		{"unknown VDAF", func(c *dap.TaskConfiguration) { c.VDAF = 6 }, "unknown algorithm"},
		{"VDAF configuration", func(c *dap.TaskConfiguration) { c.VDAFConfig = c.VDAFConfig[1:] }, "VDAF configuration"},
		{"no URL", func(c *dap.TaskConfiguration) { c.Leader = "a.example" }, "leader endpoint"},
		{"URL with a query", func(c *dap.TaskConfiguration) { c.Helper = "https://b.example/?x" }, "helper endpoint"},
		{"URL with a space", func(c *dap.TaskConfiguration) { c.Helper = "https://b.example/ x" }, "helper endpoint"},
		{"URL beyond ASCII", func(c *dap.TaskConfiguration) { c.Helper = "https://bé.example/" }, "helper endpoint"},
		{"URL of another kind", func(c *dap.TaskConfiguration) { c.Helper = "ftp://b.example/" }, "helper endpoint"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := configuration()
			tt.change(&c)
			b := mustEncode(t, dap.DAP18(), &c)
			_, err := dap.NewTask(dap.DAP18(), dap.TaskprovID(b), b)
			abort, ok := errors.AsType[*dap.Abort](err)
			if !ok || abort.Type != dap.ProblemInvalidTask || !strings.Contains(abort.Detail, tt.want) {
				t.Errorf("%v, want invalidTask with %q", err, tt.want)
			}
		})
	}
}

func TestTaskInfo(t *testing.T) {
	for _, v := range variants() {
		for n, want := range map[int]bool{0: v.String() != "dap-18", 1: true, 255: true, 256: false} {
			c := configuration()
			c.TaskInfo = make([]byte, n)
			if _, err := dap.NewCodec(v).Encode(&c); (err == nil) != want {
				t.Errorf("%v: task_info of %d bytes: %v", v, n, err)
			}
		}
	}
}

func TestTaskKeepsItsBytes(t *testing.T) {
	c := configuration()
	b := mustEncode(t, dap.DAP18(), &c)
	made, err := dap.NewTask(dap.DAP18(), taskID(1), b)
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	b[20] ^= 1 // the caller's
	made.Bytes()[21] ^= 1
	made.Context()[0] ^= 1
	if string(made.Bytes()) != want || made.Context()[0] != 'd' {
		t.Error("the task's bytes can be changed from outside")
	}
	if i, ok := made.Interval(); !ok || i != (dap.Interval{Start: 480000, Duration: 24}) {
		t.Errorf("task interval %v, %v", i, ok)
	}
	if made.ID() != taskID(1) || made.Variant().String() != "dap-18" || made.Config().MinBatchSize != 100 {
		t.Error("the task is another")
	}
}
