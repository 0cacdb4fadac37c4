package linkability_test

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/linkability"
	"github.com/shoal-project/shoal/internal/sdktest"
)

// drawn returns a view of 100 people with a report on each of 20 days, in which nothing
// but what adjust does has to do with the person.
func drawn(adjust func(e *linkability.Event, random *rand.Rand)) linkability.View {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a fixed seed
	v := linkability.View{Name: "drawn"}
	for person := range 100 {
		for d := range 20 {
			at := sdktest.Midnight().Add(time.Duration(d)*day + time.Duration(random.Int64N(int64(day))))
			message := make([]byte, 200)
			for i := range message {
				message[i] = byte(random.Uint32())
			}
			e := linkability.Event{
				Person: person, Report: uint64(len(v.Events) + 1), Kind: linkability.KindReport, Route: "r", Epoch: at.Unix() / 86400, Begins: at.Truncate(day), At: at,
				Conn: 1 + random.Uint64N(1<<40), Numbers: []linkability.Number{{Name: "size", Value: random.Float64()}},
				Tokens: []linkability.Token{{Name: "key", Value: uint64(random.IntN(50))}},
			}
			e.Prints = linkability.Prints(message)
			if adjust != nil {
				adjust(&e, random)
			}
			v.Events = append(v.Events, e)
		}
	}
	return v
}

// TestCompareFindsWhatThereIs checks the attacker on views whose truth is known.
func TestCompareFindsWhatThereIs(t *testing.T) {
	for _, tt := range []struct {
		name        string
		adjust      func(e *linkability.Event, random *rand.Rand)
		real, ideal [2]float64 // bounds of the advantages
		defect      bool
	}{
		{name: "nothing", real: [2]float64{-0.05, 0.05}, ideal: [2]float64{-0.05, 0.05}},
		{"key of a person", func(e *linkability.Event, _ *rand.Rand) { e.Tokens[0].Value = uint64(e.Person) }, [2]float64{0.97, 1}, [2]float64{-0.05, 0.05}, true},
		{"size of a person", func(e *linkability.Event, _ *rand.Rand) { e.Numbers[0].Value = float64(e.Person) }, [2]float64{0.95, 1}, [2]float64{-0.05, 0.05}, true},
		{"connection of a person", func(e *linkability.Event, _ *rand.Rand) { e.Conn = uint64(e.Person + 1) }, [2]float64{0.97, 1}, [2]float64{-0.05, 0.05}, true},
		{"bytes of a person", func(e *linkability.Event, _ *rand.Rand) {
			key := sha256.Sum256([]byte{byte(e.Person)})
			e.Prints = linkability.Prints(append(binary.BigEndian.AppendUint64(nil, e.Report), key[:]...))
		}, [2]float64{0.6, 1}, [2]float64{-0.05, 0.05}, true},
		{"a key for two", func(e *linkability.Event, _ *rand.Rand) { e.Tokens[0].Value = uint64(e.Person / 50) }, [2]float64{0.4, 0.6}, [2]float64{-0.05, 0.05}, true},
		{"hour of a person", func(e *linkability.Event, random *rand.Rand) {
			e.At = e.At.Truncate(day).Add(time.Duration(float64(e.Person)/100*float64(day)) + time.Duration(random.Int64N(int64(4*time.Hour))))
		}, [2]float64{0.6, 1}, [2]float64{-0.05, 0.05}, true},
		{"contents of a person", func(e *linkability.Event, _ *rand.Rand) {
			e.Contents = []linkability.Token{{Name: "record", Value: uint64(e.Person)}}
		}, [2]float64{0.97, 1}, [2]float64{0.97, 1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := drawn(tt.adjust)
			f, err := linkability.Compare(v, linkability.Settings{PairsEach: 60, Draws: 1, Bootstrap: 500, Tests: 1, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			if f.Real < tt.real[0] || f.Real > tt.real[1] || f.Ideal < tt.ideal[0] || f.Ideal > tt.ideal[1] || f.Defect() != tt.defect {
				t.Errorf("real %.3f, ideal %.3f, defect %t in [%.3f, %.3f]; want %v, %v, %t", f.Real, f.Ideal, f.Defect(), f.Low, f.High, tt.real, tt.ideal, tt.defect)
			}
			shuffled, err := linkability.Compare(v.Shuffled(rand.New(rand.NewPCG(3, 4))), linkability.Settings{PairsEach: 60, Draws: 1, Bootstrap: 500, Tests: 1, Seed: 1}) //nolint:gosec // a fixed seed
			if err != nil {
				t.Fatal(err)
			}
			if shuffled.Defect() {
				t.Errorf("with people shuffled: %.3f against %.3f", shuffled.Real, shuffled.Ideal)
			}
		})
	}
}

// TestBootstrapCovers compares the standard error with the spread of many trials in which
// there is nothing to find.
func TestBootstrapCovers(t *testing.T) {
	v := drawn(nil)
	var differences []float64
	stated := 0.0
	const trials = 20
	for i := range trials {
		f, err := linkability.Compare(v.Shuffled(rand.New(rand.NewPCG(uint64(i), 1))), linkability.Settings{PairsEach: 20, Draws: 1, Bootstrap: 300, Tests: 1, Seed: uint64(i)}) //nolint:gosec // fixed seeds
		if err != nil {
			t.Fatal(err)
		}
		differences = append(differences, f.Difference)
		stated += f.Error / trials
	}
	squares := 0.0
	for _, d := range differences {
		squares += d * d / trials
	}
	if spread := math.Sqrt(squares); spread > 1.3*stated {
		t.Errorf("differences spread by %.4f around 0, the bootstrap states %.4f", spread, stated)
	}
}

func TestCompareNeedsPairs(t *testing.T) {
	if _, err := linkability.Compare(linkability.View{Name: "empty"}, linkability.Settings{PairsEach: 1}); err == nil {
		t.Error("a view without reports was compared")
	}
}

func TestQuantile(t *testing.T) {
	for p, want := range map[float64]float64{0.5: 0, 0.975: 1.959964, 0.995: 2.575829} {
		if got := linkability.Quantile(p); math.Abs(got-want) > 1e-5 {
			t.Errorf("Quantile(%v) = %v, want %v", p, got, want)
		}
	}
}
