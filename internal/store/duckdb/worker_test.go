package duckdb

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/release"
)

// TestTraitors: a worker that a query has taken over, or that died, costs this
// query; it cannot make the caller hang, fill its memory, or read an invalid
// result.
func TestTraitors(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limits := Limits{Time: 200 * time.Millisecond, Bytes: 1 << 10}.withDefaults()
	for how, want := range map[string]string{
		"dies":                           "lack of memory",
		"floods":                         "row of",
		"is silent":                      "took longer",
		"[1]":                            "ended early",
		"[1":                             "ended early",
		"[1,2]":                          "row of 2 values for 1 columns",
		`["x"]`:                          `column "a"`,
		"[1e99]":                         `column "a"`,
		"nonsense":                       "ended early",
		`7`:                              "ended early",
		`{"end":false}`:                  "ended early",
		`{"end":true,"failed":"broken"}`: "running the query: broken",
		`{"end":true,"wrong":"yours"}`:   "yours",
		`{"end":true,"timeout":true}`:    "took longer",
	} {
		r, err := run(t.Context(), []string{self, asTraitor, how}, request{Limits: limits})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: result %v, error %v; want %q", how, r, err, want)
		}
	}
	r, err := run(t.Context(), []string{self, asTraitor, "[1]\n[null]\n" + `{"end":true,"cut":true}`}, request{Limits: limits})
	if err != nil || len(r.Rows) != 2 || r.Rows[0][0] != int64(1) || r.Rows[1][0] != nil || !r.Truncated {
		t.Errorf("result %v, error %v; want 1 and NULL", r, err)
	}
}

func TestNoWorker(t *testing.T) {
	if _, err := run(t.Context(), []string{"/nonexistent/shoal"}, request{}); err == nil {
		t.Error("a query ran without a program to run it")
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("a database without a worker was opened")
	}
}

func TestNotBuilt(t *testing.T) {
	if Built {
		t.Skip("the engine is in this program")
	}
	_, err := newFixture(t).open(Limits{}).Query(t.Context(), "SELECT 1", 0)
	if !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), "-tags duckdb") {
		t.Errorf("error %v does not say how to build", err)
	}
	if err := Work(strings.NewReader("{}"), os.Stdout); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("worker: error %v", err)
	}
}

func FuzzReadResult(f *testing.F) {
	f.Add(`{"columns":[{"name":"a","type":"integer"},{"name":"a","type":"huge"}]}` + "\n[1,2]\n[null,99999999999999999999]\n{\"end\":true}\n")
	f.Add(`{"columns":[{"name":"t","type":"timestamp"},{"name":"n","type":"nested"},{"name":"r","type":"real"},{"name":"b","type":"boolean"},{"name":"s","type":"text"}]}` +
		"\n[1,[1],\"NaN\",true,\"x\"]\n{\"end\":true,\"cut\":true}\n")
	f.Add(`{"end":true,"wrong":"x"}`)
	f.Add("[]")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := readResult(strings.NewReader(s))
		if err != nil {
			return
		}
		for _, format := range []Format{Text, release.CSV, release.JSON, release.Parquet} {
			if err := r.Write(new(strings.Builder), format); err != nil {
				t.Errorf("%s: %v", format, err)
			}
		}
	})
}
