package release

import (
	"bytes"
	"reflect"
	"testing"
)

func TestTableRoundTrip(t *testing.T) {
	columns := []Column{
		{Name: "zeta", Type: Text},
		{Name: "apis_2network", Type: Boolean},
		{Name: "n", Type: Integer},
		{Name: "x", Type: Real},
		{Name: "when", Type: Timestamp},
		{Name: "l", Type: Text, List: true},
		{Name: "m", Type: Integer, List: true},
	}
	rows := []Row{
		{"a", true, int64(-3), 1.5, int64(1000), []any{"p", "q", "p"}, []any{}},
		{nil, nil, nil, nil, nil, []any{}, []any{int64(7)}},
		{"", false, int64(0), 0.0, int64(0), []any{""}, []any{int64(1), int64(2)}},
	}
	write := func() []byte {
		var buf bytes.Buffer
		w := NewWriter(&buf, "t", columns)
		for range 1000 {
			for _, row := range rows {
				if err := w.Write(row); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	file := write()
	if !bytes.Equal(file, write()) {
		t.Error("the same rows gave different bytes")
	}
	n := 0
	for row, err := range Read(bytes.NewReader(file), int64(len(file)), columns) {
		if err != nil {
			t.Fatal(err)
		}
		if want := rows[n%len(rows)]; !reflect.DeepEqual(row, want) {
			t.Fatalf("row %d is %v, want %v", n, row, want)
		}
		n++
	}
	if n != 3000 {
		t.Errorf("read %d rows, want 3000", n)
	}
}

// TestWriteTimes: equal rows at once give the bytes of one after the other.
func TestWriteTimes(t *testing.T) {
	columns := []Column{{Name: "a", Type: Text}, {Name: "l", Type: Integer, List: true}}
	row := Row{"x", []any{int64(1), int64(2)}}
	for _, n := range []int{0, 1, equalRows - 1, equalRows, equalRows + 1, 1000} {
		var files [2]bytes.Buffer
		for i := range files {
			w := NewWriter(&files[i], "t", columns)
			if i == 0 {
				for range n {
					if err := w.Write(row); err != nil {
						t.Fatal(err)
					}
				}
			} else if err := w.WriteTimes(row, n); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
			t.Errorf("%d rows at once differ from %d rows", n, n)
		}
	}
}
