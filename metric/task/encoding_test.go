package task_test

import (
	"strings"
	"testing"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/metric/task"
)

// quorum returns a valid task whose fragments are secret until 20 agree.
func quorum() *task.Task {
	t := sample()
	t.Schema = task.Schema{{Name: "url", Kind: task.String, Max: 60}}
	t.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}
	t.Encoding = task.Encoding{Kind: task.Quorum, Shares: 20}
	return t
}

// TestQuorumRefuses covers shares that could never be read, or that could be
// put together over more than an epoch.
func TestQuorumRefuses(t *testing.T) {
	for want, f := range map[string]func(*task.Task){
		"unknown kind 2":         func(t *task.Task) { t.Encoding.Kind = 2 },
		"only a quorum has":      func(t *task.Task) { t.Encoding.Kind = task.Plain },
		"a quorum of 1 shares":   func(t *task.Task) { t.Encoding.Shares = 1 },
		"a quorum of 0 shares":   func(t *task.Task) { t.Encoding.Shares = 0 },
		"of 1025 shares, want":   func(t *task.Task) { t.Encoding.Shares = 1025; t.Threshold.T = 2000 },
		"of 21 shares, but":      func(t *task.Task) { t.Encoding.Shares = 21 },
		"has no lower bound":     func(t *task.Task) { t.Threshold = task.Threshold{Kind: task.NoisySet, T: 500, SigmaMilli: 1} },
		"a crowd of attributes":  func(t *task.Task) { t.Crowd = task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1} },
		"with a salt of 2":       func(t *task.Task) { t.Crowd.SaltEpochs = 2 },
		"equal values differ":    func(t *task.Task) { t.Schema = append(t.Schema, task.Field{Name: "ok", Kind: task.Bool, Flip: 1}) },
		"payload size 128, but":  func(t *task.Task) { t.PayloadSize = 128; t.Schema[0].Max = 62 },
		"payload size 64, but a": func(t *task.Task) { t.PayloadSize = 64; t.Schema[0].Max = 1 },
	} {
		tk := quorum()
		f(tk)
		if err := tk.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	for name, f := range map[string]func(*task.Task){
		"constant crowd":   func(t *task.Task) { t.Crowd.Kind = task.Constant },
		"naive threshold":  func(t *task.Task) { t.Threshold = task.Threshold{Kind: task.Naive, T: 20} },
		"fewer shares":     func(t *task.Task) { t.Encoding.Shares = 2 },
		"the most shares":  func(t *task.Task) { t.Encoding.Shares, t.Threshold.T = task.MaxShares, task.MaxShares },
		"the longest text": func(t *task.Task) { t.PayloadSize = 128; t.Schema[0].Max = 60 },
	} {
		tk := quorum()
		f(tk)
		if err := tk.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestQuorumSizes: the longest payload fits, padded and encrypted, and every
// report of the task is equally long.
func TestQuorumSizes(t *testing.T) {
	for most := range uint16(300) {
		tk := quorum()
		tk.Schema[0].Max = most + 1
		size, err := task.SizeClass(tk.MaxContent())
		tk.PayloadSize = must(t, size, err)
		if err := tk.Validate(); err != nil {
			t.Fatal(err)
		}
		payload, err := tk.Encode(task.Record{strings.Repeat("x", int(most)+1)})
		message, err2 := task.Pad(must(t, payload, err), tk.MessageSize())
		content := len(must(t, message, err2)) + secretshare.Overhead + secretshare.ShareSize
		if content != int(tk.PayloadSize)-1 {
			t.Fatalf("text of %d bytes: content of %d bytes in a class of %d", most+1, content, tk.PayloadSize)
		}
	}
	if n := sample().MessageSize(); n != 0 {
		t.Errorf("a plain task's message has %d bytes", n)
	}
}
