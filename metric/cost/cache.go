package cost

import (
	"sync"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// A Cache computes what follows from the parameters of tasks once for all tasks
// that have the same: a server with thousands of tasks has few kinds of them, and
// an epsilon takes milliseconds. The zero value is ready. It is safe for concurrent
// use, and as large as there are different parameters.
type Cache struct {
	thresholds memo[task.Threshold, dp.Threshold]
	totals     memo[totalKey, *dp.Total]
	epsilons   memo[epsilonKey, Cost]
	spends     memo[epsilonKey, Spend]
}

// totalKey is what the rule for a total follows from.
type totalKey struct {
	threshold task.Threshold
	caps      caps
	minBatch  uint32
}

// epsilonKey is what the cost of a task follows from.
type epsilonKey struct {
	totalKey
	scope Scope
	delta float64
}

// A Cost is what a crowd task costs a client at one delta.
type Cost struct {
	Curve   dp.Curve
	Epsilon float64
	Err     error // of the epsilon; [dp.ErrUnattainable] if no epsilon holds at the delta
}

// Threshold is [task.Threshold.Rule].
func (c *Cache) Threshold(t task.Threshold) (dp.Threshold, error) {
	return c.thresholds.get(t, func() (dp.Threshold, error) { return t.Rule() })
}

// Total is [Total].
func (c *Cache) Total(t *task.Task) (*dp.Total, error) {
	return c.totals.get(keyOf(t), func() (*dp.Total, error) { return Total(t) })
}

// Cost returns the privacy of [CurveOf] and its epsilon at delta.
func (c *Cache) Cost(t *task.Task, scope Scope, delta float64) (Cost, error) {
	return c.epsilons.get(epsilonKey{keyOf(t), scope, delta}, func() (Cost, error) {
		curve, err := CurveOf(t, scope)
		if err != nil {
			return Cost{}, err
		}
		epsilon, err := curve.Epsilon(delta)
		return Cost{curve, epsilon, err}, nil
	})
}

// SpendOf is [SpendOf].
func (c *Cache) SpendOf(t *task.Task, delta float64) (Spend, error) {
	if t.Method != task.Crowd {
		return SpendOf(t, delta)
	}
	s, err := c.spends.get(epsilonKey{totalKey: keyOf(t), delta: delta}, func() (Spend, error) { return SpendOf(t, delta) })
	s.Metric, s.Seconds = t.Metric, unitSeconds(t)
	return s, err
}

func keyOf(t *task.Task) totalKey { return totalKey{t.Threshold, capsOf(t), t.MinBatch} }

// A memo remembers what was computed for each key. Errors are not remembered.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]V
	made  int // computations, for tests
}

func (m *memo[K, V]) get(k K, compute func() (V, error)) (V, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.known[k]; ok {
		return v, nil
	}
	m.made++
	v, err := compute()
	if err != nil {
		return v, err
	}
	if m.known == nil {
		m.known = map[K]V{}
	}
	m.known[k] = v
	return v, nil
}
