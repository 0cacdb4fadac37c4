package clock

import (
	"testing"
	"time"
)

// A wall clock that jumps forward is believed when it has stayed consistent;
// one that is put right is believed at once.
func TestGuard(t *testing.T) {
	type move struct {
		wall, running time.Duration // since the move before
		sure          bool
	}
	const m, h = time.Minute, time.Hour
	for name, moves := range map[string][]move{
		"steady":         {{m, m, true}, {h, h, true}},
		"drift":          {{m + 9*time.Second, m, true}},
		"jump":           {{h, m, false}, {9 * m, 9 * m, false}, {m, m, true}, {m, m, true}},
		"put right":      {{h, m, false}, {m - (h - m), m, true}},
		"partly right":   {{h, m, false}, {m - h/2, m, false}, {9 * m, 9 * m, true}},
		"second jump":    {{h, m, false}, {9 * m, 9 * m, false}, {h, m, false}, {m, m, false}, {9 * m, 9 * m, true}},
		"back":           {{-h, m, true}, {m, m, true}},
		"back and again": {{-h, m, true}, {h + m, m, false}, {10 * m, 10 * m, true}},
	} {
		now, running := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), time.Duration(0)
		g := GuardOf(func() (time.Time, time.Duration) { return now, running }, 10*m)
		for i, move := range moves {
			now, running = now.Add(move.wall), running+move.running
			if _, sure := g.Now(); sure != move.sure {
				t.Errorf("%s: after move %d the time is believed: %v, want %v", name, i+1, sure, move.sure)
			}
		}
	}
}

// Threat: a time server that moves the clock by less than a jump at each look
// makes batches close hours early. 1,000 looks of 9 s each were 2 h 46 min.
func TestGuardAddsUpSmallSteps(t *testing.T) {
	for _, step := range []time.Duration{100 * time.Millisecond, time.Second, 9 * time.Second} {
		wall, running := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), time.Duration(0)
		start := wall
		g := GuardOf(func() (time.Time, time.Duration) { return wall, running }, 10*time.Minute)
		for range 1000 {
			running += time.Second
			wall = wall.Add(time.Second + step)
			if _, sure := g.Now(); sure && wall.Sub(start)-running > tolerance+running/drift {
				t.Fatalf("steps of %v: believed after %v although %v ahead", step, running, wall.Sub(start)-running)
			}
		}
		for range 11 { // it stops, and stays consistent
			running += time.Minute
			wall = wall.Add(time.Minute)
			g.Now()
		}
		if _, sure := g.Now(); !sure {
			t.Errorf("steps of %v: not believed 11 minutes after the last", step)
		}
	}
}

// What a time daemon does to an honest clock goes on for ever and is never
// doubted: 500 in a million for a week are five minutes.
func TestGuardFollowsDrift(t *testing.T) {
	for _, look := range []time.Duration{time.Second, time.Minute, 6 * time.Hour} {
		wall, running := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), time.Duration(0)
		g := GuardOf(func() (time.Time, time.Duration) { return wall, running }, 10*time.Minute)
		for running < 7*24*time.Hour {
			running += look
			wall = wall.Add(look + look/2000)
			if _, sure := g.Now(); !sure {
				t.Fatalf("looks every %v: doubted after %v", look, running)
			}
		}
	}
}

// A virtual clock has no monotonic reading: however it moves, it is believed.
func TestGuardBelievesVirtualTime(t *testing.T) {
	c := NewVirtual(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	g := NewGuard(c, time.Minute)
	for _, move := range []time.Duration{time.Hour, -2 * time.Hour, 365 * 24 * time.Hour} {
		c.Advance(move)
		if _, sure := g.Now(); !sure {
			t.Errorf("a virtual clock that moved by %v was not believed", move)
		}
	}
}

// A strict guard believes a clock after it has gone evenly for the time settle: since
// the start and since each jump, forward or back.
func TestStrictGuard(t *testing.T) {
	type move struct {
		wall, running time.Duration // since the move before
		sure          bool
	}
	const m, h = time.Minute, time.Hour
	for name, moves := range map[string][]move{
		"steady":      {{m, m, false}, {8 * m, 8 * m, false}, {m, m, true}, {h, h, true}},
		"jump":        {{10 * m, 10 * m, true}, {h, m, false}, {9 * m, 9 * m, false}, {m, m, true}},
		"put right":   {{10 * m, 10 * m, true}, {h, m, false}, {m - (h - m), m, false}, {9 * m, 9 * m, false}, {m, m, true}},
		"back":        {{10 * m, 10 * m, true}, {-h, m, false}, {9 * m, 9 * m, false}, {m, m, true}},
		"at start":    {{h, m, false}, {9 * m, 9 * m, false}, {m, m, true}},
		"small steps": {{10 * m, 10 * m, true}, {m + 9*time.Second, m, true}, {m + 9*time.Second, m, false}, {10 * m, 10 * m, true}},
	} {
		now, running := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), time.Duration(0)
		g := GuardOf(func() (time.Time, time.Duration) { return now, running }, 10*m)
		g.strict = true
		for i, move := range moves {
			now, running = now.Add(move.wall), running+move.running
			if _, sure := g.Now(); sure != move.sure {
				t.Errorf("%s: after move %d the time is believed: %v, want %v", name, i+1, sure, move.sure)
			}
		}
	}
	c := NewVirtual(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	g := NewStrictGuard(c, time.Hour)
	for _, move := range []struct {
		by   time.Duration
		sure bool
	}{{0, false}, {59 * m, false}, {m, true}, {1000 * h, true}} {
		c.Advance(move.by)
		if _, sure := g.Now(); sure != move.sure {
			t.Errorf("a virtual clock %v later: believed %v", move.by, sure)
		}
	}
}
