package dp

import (
	"errors"
	"testing"
)

// mustThreshold returns a threshold or fails the test.
func mustThreshold(t testing.TB, th Threshold, err error) Threshold {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return th
}

func drop(t testing.TB, threshold, d, sigmaMilli uint32) Threshold {
	t.Helper()
	th, err := NewNoisyDrop(threshold, d, sigmaMilli)
	return mustThreshold(t, th, err)
}

func set(t testing.TB, threshold, sigmaMilli uint32) Threshold {
	t.Helper()
	th, err := NewNoisySet(threshold, sigmaMilli)
	return mustThreshold(t, th, err)
}

func TestConstructorsRefuse(t *testing.T) {
	for name, err := range map[string]error{
		"naive T=0":     second(NewNaive(0)),
		"set T=0":       second(NewNoisySet(0, 1000)),
		"set sigma=0":   second(NewNoisySet(1, 0)),
		"set sigma big": second(NewNoisySet(1, MaxSigmaMilli+1)),
		"drop T=0":      second(NewNoisyDrop(0, 1, 1000)),
		"drop sigma=0":  second(NewNoisyDrop(1, 1, 0)),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func second(_ Threshold, err error) error { return err }

// within reports whether got is want to the last digit that want was printed with.
func within(got, want, digit float64) bool { return got >= want-digit/2 && got <= want+digit/2 }

// The exact delta of the settings that the Prochlo paper claims (2.25, 1e-6)
// and (1.2, 1e-7) for.
func TestPrivacyOfPaperSettings(t *testing.T) {
	d20 := drop(t, 20, 10, 2000)
	if got := d20.Delta(2.25); !within(got, 1.039e-6, 1e-9) {
		t.Errorf("T=20 D=10 sigma=2: delta(2.25) = %.6g, want 1.039e-6", got)
	}
	if got := d20.Floor(); !within(got, 1.017e-6, 1e-9) {
		t.Errorf("T=20 D=10 sigma=2: floor = %.6g, want 1.017e-6", got)
	}
	if _, err := d20.Epsilon(1e-6); !errors.Is(err, ErrUnattainable) {
		t.Errorf("T=20 D=10 sigma=2: epsilon(1e-6): error %v, want ErrUnattainable", err)
	}
	for _, c := range []struct {
		t, d, sigma uint32
		delta, eps  float64
	}{
		{20, 10, 2000, 2e-6, 2.145},
		{20, 11, 2000, 1e-6, 2.254},
		{100, 22, 4000, 1e-7, 1.190},
	} {
		th := drop(t, c.t, c.d, c.sigma)
		if got, err := th.Epsilon(c.delta); err != nil || !within(got, c.eps, 1e-3) {
			t.Errorf("%s: epsilon(%g) = %.6g, %v, want %.4g", th, c.delta, got, err, c.eps)
		}
	}
}
