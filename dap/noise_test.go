package dap_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/vdaf"
)

func laplace(num, den uint32, sensitivity uint64) dp.Noise {
	return dp.Noise{Mechanism: dp.Laplace, Num: num, Den: den, Sensitivity: sensitivity}
}

func gaussian(num, den uint32) dp.Noise {
	return dp.Noise{Mechanism: dp.Gaussian, Num: num, Den: den}
}

func withNoise(t testing.TB, n dp.Noise) dap.TaskConfiguration {
	t.Helper()
	c := configuration()
	if n.Mechanism != dp.NoNoise {
		e, err := dap.NoiseExtension(n)
		if err != nil {
			t.Fatal(err)
		}
		c.Extensions = append(c.Extensions, e)
	}
	return c
}

// By hand, from the structure NoiseConfiguration.
func TestNoiseExtensionBytes(t *testing.T) {
	for _, tt := range []struct {
		n    dp.Noise
		want string
	}{
		{laplace(1, 4, 2), "01 00000001 00000004 0000000000000002"},
		{laplace(3, 1, 1<<40), "01 00000003 00000001 0000010000000000"},
		{gaussian(25, 2), "02 00000019 00000002"},
	} {
		e, err := dap.NoiseExtension(tt.n)
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != 0xFF53 || !equal(e.Data, unhex(t, tt.want)) {
			t.Errorf("%v: %#x %x, want 0xff53 %s", tt.n, e.Type, e.Data, tt.want)
		}
		c := dap.TaskConfiguration{Extensions: []dap.Extension{e}}
		if got, err := c.Noise(); err != nil || got != tt.n {
			t.Errorf("%v is decoded as %v, %v", tt.n, got, err)
		}
	}
	for _, n := range []dp.Noise{{}, laplace(2, 4, 1), gaussian(0, 1)} {
		if _, err := dap.NoiseExtension(n); err == nil {
			t.Errorf("%+v has an encoding", n)
		}
	}
}

// Threat: an aggregator that understands another noise than was agreed, or
// none, releases what the other party did not consent to.
func TestNoiseIsPartOfTheTask(t *testing.T) {
	for _, v := range variants() {
		plain := newTask(t, v, configuration())
		if plain.Noise() != (dp.Noise{}) {
			t.Errorf("%v: a task without the extension has %v", v, plain.Noise())
		}
		for _, n := range []dp.Noise{laplace(1, 1, 2), laplace(1, 2, 5), gaussian(7, 2)} {
			noisy := newTask(t, v, withNoise(t, n))
			if noisy.Noise() != n {
				t.Errorf("%v: noise %v, want %v", v, noisy.Noise(), n)
			}
			if noisy.ID() == plain.ID() {
				t.Error("noise does not change the task")
			}
		}
	}
	for data, want := range map[string]string{
		"":                                         "want at least 9",
		"01 00000001 00000004":                     "sensitivity of 0",
		"01 00000001 00000004 0000000000000001":    "changes the aggregate by up to 2",
		"01 00000002 00000004 0000000000000002":    "lowest terms",
		"01 00000000 00000004 0000000000000002":    "positive fraction",
		"01 00000001 00000004 0000000000000002 00": "too many",
		"02 00000001 00000004 0000000000000002":    "too many",
		"03 00000001 00000004":                     "mechanism 3",
		"00 00000000 00000000":                     "leaving the extension out",
	} {
		c := configuration()
		c.Extensions = append(c.Extensions, dap.Extension{Type: dap.TaskNoise, Data: unhex(t, data)})
		b := mustEncode(t, dap.DAP18(), &c)
		_, err := dap.NewTask(dap.DAP18(), dap.TaskprovID(b), b)
		abort, ok := errors.AsType[*dap.Abort](err)
		if !ok || abort.Type != dap.ProblemInvalidTask || !strings.Contains(abort.Detail, want) {
			t.Errorf("%s: %v, want invalidTask with %q", data, err, want)
		}
	}
}

// Every element gets noise of its own, and what the collector decodes is sum plus
// both noises, below zero too.
func TestAddNoise(t *testing.T) {
	task := newTask(t, dap.DAP18(), withNoise(t, laplace(1, 50, 2)))
	in := task.Instance()
	sum := make([]float64, 10)
	square, negative := 0.0, 0
	const rounds = 400
	for range rounds {
		leader, helper := in.NewAggregateShare(), in.NewAggregateShare()
		for _, s := range []*vdaf.AggregateShare{leader, helper} {
			if err := task.AddNoise(s, rand.Reader); err != nil {
				t.Fatal(err)
			}
		}
		out, err := in.UnshardSigned([][]byte{leader.Bytes(), helper.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range out {
			sum[i] += float64(x)
			square += float64(x) * float64(x)
			if x < 0 {
				negative++
			}
		}
	}
	variance := task.Noise().Variance(2)
	for i, s := range sum {
		if math.Abs(s) > 6*math.Sqrt(variance*rounds) {
			t.Errorf("element %d has mean %.1f", i, s/rounds)
		}
	}
	if got := square / (10 * rounds); math.Abs(got-variance) > 0.3*variance {
		t.Errorf("variance %.0f, want %.0f", got, variance)
	}
	if share := float64(negative) / (10 * rounds); share < 0.4 || share > 0.6 {
		t.Errorf("%.2f of the results are negative", share)
	}
}

func TestAddNoiseChangesNothingOnFailure(t *testing.T) {
	task := newTask(t, dap.DAP18(), withNoise(t, gaussian(10, 1)))
	share := task.Instance().NewAggregateShare()
	before := hex.EncodeToString(share.Bytes())
	broken := errors.New("broken")
	short := io.MultiReader(strings.NewReader(strings.Repeat("\x55", 200)), iotest.ErrReader(broken))
	if err := task.AddNoise(share, short); !errors.Is(err, broken) {
		t.Errorf("%v, want the reader's error", err)
	}
	if after := hex.EncodeToString(share.Bytes()); after != before {
		t.Errorf("the share is %s", after)
	}
	plain := newTask(t, dap.DAP18(), configuration())
	if err := plain.AddNoise(share, iotest.ErrReader(broken)); err != nil {
		t.Errorf("a task without noise reads randomness: %v", err)
	}
}

func FuzzNoiseExtension(f *testing.F) {
	for _, s := range []string{"", "0100000001000000040000000000000002", "020000001900000002", "000000000000000000", "03ffffffffffffffff"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := dap.TaskConfiguration{Extensions: []dap.Extension{{Type: dap.TaskNoise, Data: b}}}
		n, err := c.Noise()
		if err != nil {
			if !errors.Is(err, dap.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		e, err := dap.NoiseExtension(n)
		if err != nil || !equal(e.Data, b) {
			t.Fatalf("%x is decoded as %v, and encoded as %x (%v)", b, n, e.Data, err)
		}
		if w := n.Within95(); w < 0 || n.Variance(2) < 0 {
			t.Fatalf("%v: within %d", n, w)
		}
	})
}
