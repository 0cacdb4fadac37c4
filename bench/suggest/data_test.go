package suggest

import "testing"

// full is the model of whole histories.
func full(c *chain) *model {
	m := newModel()
	for n := range Histories {
		m.add(c.history(n))
	}
	m.fit()
	return m
}

// TestWithoutPrivacy: a model of whole histories predicts between 12.5 and 16 % of next views, and more than popularity.
func TestWithoutPrivacy(t *testing.T) {
	c := newChain(1)
	right, popular := full(c).accuracy(c)
	t.Logf("%.4f right, popular %.4f", right, popular)
	if right < 0.125 || right > 0.16 || popular > right/2 {
		t.Errorf("%.4f right, want 0.125 to 0.16, and popularity, %.4f, far less", right, popular)
	}
}
