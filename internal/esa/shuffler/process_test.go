package shuffler

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
)

const testNext = 120

// openTest opens reports without cryptography: a byte that gives whether the
// report is valid, the crowd's tag, the next layer.
func openTest(report []byte) (esa.Layer, esa.Cause) {
	if report[0] != 0 {
		return esa.Layer{}, esa.CauseDecrypt
	}
	return esa.Layer{Crowd: esa.CrowdTag(report[1:17]), Next: bytes.Clone(report[17:])}, 0
}

func each(reports [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, r := range reports {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func rowsOf(t rapid.TB, s batchStage, made result) [][]byte {
	t.Helper()
	var rows [][]byte
	err := s.each(context.Background(), made, func(next []byte) error {
		rows = append(rows, bytes.Clone(next))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// For random reports and each rule, an engine that must spill and a simple one
// give the same rows in the same order; each crowd has exactly as many records
// as the threshold keeps of it, all of them reports that were sent, none twice;
// and without noise that is all of a crowd of at least T, and nothing of the
// others.
func TestStage(t *testing.T) {
	spilling, err := local.New(t.TempDir(), local.Options{MemoryBytes: local.MinMemory, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer spilling.Close()
	naive, _ := dp.NewNaive(5)
	set, _ := dp.NewNoisySet(8, 2000)
	drop, _ := dp.NewNoisyDrop(5, 6, 2000)
	rules := map[string]dp.Threshold{"naive": naive, "noisy set": set, "noisy drop": drop, "none": nil}
	rapid.Check(t, func(r *rapid.T) {
		rule := rapid.SampledFrom([]string{"naive", "noisy set", "noisy drop", "none"}).Draw(r, "rule")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 60), 0, 60).Draw(r, "crowds")
		sent := map[string]string{} // next layer to crowd
		var reports [][]byte
		var serial uint64
		for crowd, size := range sizes {
			tag := esa.SaltedTag([32]byte{}, 0, fmt.Append(nil, crowd))
			for range size {
				serial++
				next := binary.BigEndian.AppendUint64(bytes.Repeat([]byte{'x'}, testNext-8), serial)
				sent[string(next)] = string(tag[:])
				reports = append(reports, slices.Concat([]byte{0}, tag[:], next))
			}
		}
		bad := rapid.IntRange(0, 5).Draw(r, "bad")
		for i := range bad {
			reports = append(reports, append([]byte{1, byte(i)}, make([]byte, 40)...))
		}
		duplicates := 0
		if len(sent) > 0 {
			duplicates = rapid.IntRange(0, 5).Draw(r, "duplicates")
		}
		for i := range duplicates {
			reports = append(reports, reports[i*7%len(sent)])
		}
		st := stage{
			name: "test", workers: 2, open: openTest, nextSize: testNext, seed: seedOf(rapid.Uint64().Draw(r, "seed")), threshold: rules[rule],
		}
		var results [2][][]byte
		var counts [2]esa.Counts
		simple := hoptest.NewEngine()
		for i, e := range []engine.Engine{simple, spilling} {
			st.engine = e
			made, err := st.run(t.Context(), each(reports))
			if err != nil {
				r.Fatal(err)
			}
			results[i], counts[i] = rowsOf(r, &st, made), made.counts
			if err := made.counts.Check(); err != nil {
				r.Fatal(err)
			}
			slices.Reverse(reports) // the order of arrival must not matter
		}
		if !slices.EqualFunc(results[0], results[1], bytes.Equal) || counts[0] != counts[1] {
			r.Fatalf("two engines give different rows: %d and %d", len(results[0]), len(results[1]))
		}
		if left := simple.Names(); len(left) != 1 {
			r.Fatalf("datasets are left: %v", left)
		}
		if c := counts[0]; c.Invalid[esa.CauseDecrypt] != uint64(bad) || c.Duplicate != uint64(duplicates) || c.Received != uint64(len(reports)) {
			r.Fatalf("counts %+v with %d bad and %d duplicates of %d", c, bad, duplicates, len(reports))
		}
		agrees(r, st, reports, results[0], counts[0])
		have := map[string]uint64{}
		for _, row := range results[0] {
			next := string(row[st.prefixSize():])
			tag, ok := sent[next]
			if !ok {
				r.Fatal("a record was released twice, or was never sent")
			}
			if st.prefixSize() > 0 && string(row[:crowdWidth]) != tag {
				r.Fatal("a record goes on with another crowd's tag")
			}
			delete(sent, next)
			have[tag]++
		}
		for crowd, size := range sizes {
			tag := esa.SaltedTag([32]byte{}, 0, fmt.Append(nil, crowd))
			want := uint64(size)
			switch rule {
			case "naive":
				if size < 5 {
					want = 0
				}
			case "none":
			default:
				want = st.threshold.Keep(want, dp.NewStream(st.seed, "shoal crowd noise v1", tag[:]))
			}
			if have[string(tag[:])] != want {
				r.Fatalf("%s: crowd of %d has %d records, want %d", rule, size, have[string(tag[:])], want)
			}
		}
	})
}

// agrees runs the oblivious stage, in memory and in storage: it lets the same records go
// on as the plain one has, and its counts tell nothing else of crowds.
func agrees(t *rapid.T, st stage, reports [][]byte, want [][]byte, plain esa.Counts) {
	t.Helper()
	want = slices.SortedFunc(slices.Values(want), bytes.Compare)
	engine := hoptest.NewEngine()
	st.engine = engine
	for _, memory := range []int64{1 << 20, int64(len(reports))*150 + 900} {
		ob := obliviousStage{stage: st, most: len(reports), memory: memory, rand: hoptest.Random(1)}
		made, err := ob.run(context.Background(), each(reports))
		if err != nil {
			t.Fatal(err)
		}
		if stored := ob.scratch != nil; len(reports) > 40 && stored != (memory < 1<<20) {
			t.Fatalf("%d reports in %d bytes: in storage: %v", len(reports), memory, stored)
		}
		if got := slices.SortedFunc(slices.Values(rowsOf(t, &ob, made)), bytes.Compare); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("the oblivious stage lets %d records go on, or others, the plain one %d", len(got), len(want))
		}
		counts := esa.Counts{Received: plain.Received, Invalid: plain.Invalid, Released: plain.Released}
		counts.Withheld = plain.Duplicate + plain.SuppressedReports + plain.Dropped
		if made.counts != counts || counts.Check() != nil {
			t.Fatalf("counts %+v, want %+v", made.counts, counts)
		}
		if err := ob.end(context.Background()); err != nil || len(engine.Names()) > 0 {
			t.Fatalf("datasets are left: %v, %v", engine.Names(), err)
		}
	}
}

func TestStageMinimum(t *testing.T) {
	reports := [][]byte{}
	for i := range 9 {
		reports = append(reports, append([]byte{0, byte(i)}, make([]byte, 15+testNext)...))
	}
	reports = append(reports, reports[0]) // a duplicate does not count
	st := stage{engine: hoptest.NewEngine(), name: "test", workers: 1, open: openTest, nextSize: testNext, minBatch: 10, seed: seedOf(1)}
	if _, err := st.run(t.Context(), each(reports)); !errors.Is(err, errUndersized) {
		t.Errorf("error %v, want errUndersized", err)
	}
	ob := &obliviousStage{stage: st, most: 10, memory: 1 << 20}
	if made, err := ob.run(t.Context(), each(reports)); !errors.Is(err, errUndersized) || made.counts.Received != 10 {
		t.Errorf("oblivious: error %v, want errUndersized", err)
	}
	st.minBatch, ob.minBatch = 9, 9
	for _, st := range []batchStage{&st, ob} {
		if _, err := st.run(t.Context(), each(reports)); err != nil {
			t.Error(err)
		}
	}
}

// A record is dropped with the same probability whatever its place: over many
// seeds each of ten records of a crowd is dropped about equally often.
func TestDroppingIsUniform(t *testing.T) {
	rule, err := dp.NewNoisyDrop(1, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	const crowd, draws = 10, 2000
	var reports [][]byte
	for i := range crowd {
		report := make([]byte, 17+testNext)
		report[17] = byte(i)
		reports = append(reports, report)
	}
	kept := make([]int, crowd)
	e := hoptest.NewEngine()
	for i := range uint64(draws) {
		st := stage{engine: e, name: "test", workers: 1, open: openTest, nextSize: testNext, seed: seedOf(i), threshold: rule}
		made, err := st.run(t.Context(), each(reports))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rowsOf(t, &st, made) {
			kept[row[crowdWidth]]++
		}
	}
	expected := float64(draws) * 0.7
	chi := 0.0
	for _, n := range kept {
		chi += (float64(n) - expected) * (float64(n) - expected) / (expected * 0.3)
	}
	if chi *= 0.9; chi > 45.1 { // finite population; 9 degrees of freedom, 1 - 10^-6
		t.Errorf("records are kept %v times, chi-square %.1f", kept, chi)
	}
}
