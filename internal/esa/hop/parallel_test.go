package hop_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"testing"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/metric/task"
)

// rows yields n rows in a buffer that is used again, and then an error, if any.
func rows(n int, err error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var buf []byte
		for i := range n {
			if buf = fmt.Append(buf[:0], i); !yield(buf, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// echo opens every third row.
func echo(layers [][]byte) []esa.Opened {
	results := make([]esa.Opened, len(layers))
	for i, l := range layers {
		results[i] = esa.Opened{Report: l, Cause: esa.CauseDecrypt}
		if last := l[len(l)-1]; last%3 == 0 {
			results[i] = esa.Opened{Report: l, Layer: esa.Layer{Next: bytes.Clone(l)}}
		}
	}
	return results
}

// Results come in the order of the rows, whatever the number of rows and of
// goroutines; an error of the rows comes last, after all results.
func TestOrder(t *testing.T) {
	broken := errors.New("broken")
	for _, workers := range []int{-1, 1, 2, 5} {
		for _, n := range []int{0, 1, 63, 64, 65, 511, 512, 513, 2600} {
			for _, end := range []error{nil, broken} {
				parallel := hop.Parallel(rows(n, end), workers, func(row []byte) string { return string(row) })
				opened := hop.Opened(rows(n, end), workers, echo, func(o esa.Opened) string {
					if last := o.Report[len(o.Report)-1]; (o.Cause == 0) != (last%3 == 0) {
						return "of another row"
					}
					return string(o.Report)
				})
				for name, results := range map[string]iter.Seq2[string, error]{"Parallel": parallel, "Opened": opened} {
					i, last := 0, error(nil)
					for got, err := range results {
						if last = err; err != nil {
							continue
						}
						if want := fmt.Sprint(i); got != want {
							t.Fatalf("%s: %d workers, %d rows: result %d is of row %s", name, workers, n, i, got)
						}
						i++
					}
					if i != n || last != end {
						t.Errorf("%s: %d workers: %d results of %d rows, error %v, want %v", name, workers, i, n, last, end)
					}
				}
			}
		}
	}
}

func TestStopEarly(t *testing.T) {
	n := 0
	for range hop.Opened(rows(5000, nil), 2, echo, func(o esa.Opened) bool { return o.Cause == 0 }) {
		if n++; n == 700 {
			break
		}
	}
	if n != 700 {
		t.Errorf("%d results", n)
	}
}

// alone is what opening many has to make of each layer.
func alone(o *esa.Opener, t *task.Task, e task.Epoch, layer []byte) (esa.Layer, esa.Cause) {
	h, err := esa.ParseHeader(layer)
	if err != nil {
		return esa.Layer{}, esa.CauseMalformed
	}
	if h.Epoch > e || t.SaltWindow(h.Epoch) != t.SaltWindow(e) {
		return esa.Layer{}, esa.CauseWrongEpoch
	}
	l, err := o.Open(layer, h.Epoch)
	return l, esa.CauseOf(err)
}

// Many reports open as each of them does alone: also those of an earlier epoch
// of the salt window, and not those of another window or of a later epoch.
func TestOpenManyIsOpen(t *testing.T) {
	w := hoptest.New(t, 1, func(t *task.Task) { t.Crowd.SaltEpochs = 2 })
	seen := map[esa.Cause]int{}
	var layers [][]byte
	for i := range 90 {
		report := w.Report(t, w.Epoch(i%4), "word", int64(i))
		switch i % 10 {
		case 7:
			report[len(report)-1] ^= 1
		case 8:
			report = report[:i]
		case 9:
			report[20] ^= 1 // the task
		}
		layers = append(layers, report)
	}
	opener, err := esa.NewOpener(w.Task, w.ID, 0, w.Parties[0].Keys.Private...)
	if err != nil {
		t.Fatal(err)
	}
	for e := range 4 {
		for i, got := range hop.OpenMany(opener, w.Task, w.Epoch(e))(layers) {
			layer, cause := alone(opener, w.Task, w.Epoch(e), layers[i])
			if want := (esa.Opened{Layer: layer, Cause: cause, Report: layers[i]}); !reflect.DeepEqual(got, want) {
				t.Errorf("epoch %d, layer %d: together %+v, alone %+v", e, i, got, want)
			}
			seen[cause]++
		}
	}
	for _, cause := range []esa.Cause{0, esa.CauseMalformed, esa.CauseWrongTask, esa.CauseWrongEpoch, esa.CauseDecrypt} {
		if seen[cause] == 0 {
			t.Errorf("no layer was refused as %v", cause)
		}
	}
}
