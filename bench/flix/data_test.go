package flix

import (
	"math"
	"testing"
)

// TestWithoutPrivacy: at 200 movies the data has as many reports as the paper's, within 2 %, and the model, given
// all pairs as they are, an error within 0.02 of the paper's, and less than that of means.
func TestWithoutPrivacy(t *testing.T) {
	s := Sizes()[0]
	w := newWorld(s, 1)
	m, reports := w.moments(1)
	model := newModel(m)
	e, means := w.test(model, 1)
	t.Logf("%d reports, RMSE %.4f, of means %.4f, %.0f ratings", reports, e.rmse(), means.rmse(), e.n)
	if math.Abs(float64(reports)/1.77e6-1) > 0.02 {
		t.Errorf("%d reports, want 1,770,000 within 2 %%", reports)
	}
	if math.Abs(e.rmse()-0.9579) > 0.02 || e.rmse() > means.rmse()-0.02 {
		t.Errorf("RMSE %.4f, want 0.9579 within 0.02, and less than the %.4f of means", e.rmse(), means.rmse())
	}
}
