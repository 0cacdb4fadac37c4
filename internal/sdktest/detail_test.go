package sdktest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/sdktest"
)

// Threat: detail leaves of a person who has not agreed to it, or no longer does; or the size
// of a report shows who has.
func TestDetail(t *testing.T) {
	h := newFirstHop(t)
	tk := h.task("api_use")
	tk.Protection.Detail = []uint8{1}
	o, v := h.options(t)
	o.Bundle, o.Metrics, o.Dir = h.bundle(t, tk), []string{"api_use"}, t.TempDir()+"/outbox"
	c := sdktest.Open(t, o)
	waiting := func() (plain, detailed int) {
		t.Helper()
		list, err := c.Pending()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if strings.Contains(e.Encoded, "files") {
				detailed++
			} else {
				plain++
			}
			if strings.Contains(e.Recorded, "files") != strings.Contains(e.Encoded, "files") {
				t.Errorf("recorded %q, encoded %q", e.Recorded, e.Encoded)
			}
		}
		return plain, detailed
	}
	expect := func(step string, wantPlain, wantDetailed int) {
		t.Helper()
		if plain, detailed := waiting(); plain != wantPlain || detailed != wantDetailed {
			t.Errorf("%s: %d plain and %d detailed wait, want %d and %d", step, plain, detailed, wantPlain, wantDetailed)
		}
	}
	c.Record("api_use", sdktest.Use("one", "files"))
	expect("before anything is agreed", 1, 0)
	set := func(agreed bool) {
		t.Helper()
		if err := c.SetDetail("api_use", agreed); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	c.Record("api_use", sdktest.Use("two", "files"))
	expect("agreed", 1, 1)
	set(false)
	expect("withdrawn", 1, 0)
	set(true)
	c.Record("api_use", sdktest.Use("three", "files"))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = sdktest.Open(t, o) // the program starts again, with what the person now says: no
	expect("opened without it", 1, 0)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	o.Detail = []string{"api_use"}
	c = sdktest.Open(t, o)
	c.Record("api_use", sdktest.Use("four", "files"))
	expect("opened with it", 1, 1)
	if err := c.SetDetail("another", true); err == nil {
		t.Error("the detail of an unknown metric was agreed to")
	}
	if sent, _ := sdktest.Drain(t, c, v, midnight.Add(40*time.Hour)); sent != 2 {
		t.Errorf("sent %d", sent)
	}
	sizes := map[int]bool{}
	for _, p := range h.posts() {
		sizes[len(p.body)] = true
	}
	if len(sizes) != 1 {
		t.Errorf("reports of sizes %v", sizes)
	}
	var none *shoal.Client
	if none.SetDetail("api_use", true) == nil {
		t.Error("a nil client agreed")
	}
}

// Threat: a person who has never agreed to detail loses, at each start of the program, plain
// reports that were sealed and wait for an answer; or a sealed report with detail that was
// withdrawn is sent all the same.
func TestDetailOfSealedReports(t *testing.T) {
	h := newFirstHop(t)
	tk := h.task("api_use")
	tk.Protection.Detail = []uint8{1}
	o, v := h.options(t)
	o.Bundle, o.Dir = h.bundle(t, tk), t.TempDir()+"/outbox"
	away := true
	h.setAnswer(func(w http.ResponseWriter, r *http.Request) bool {
		if away && r.Method == http.MethodPost {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	c := sdktest.Open(t, o)
	c.Record("api_use", sdktest.Use("plain", "files"))
	if err := c.SetDetail("api_use", true); err != nil {
		t.Fatal(err)
	}
	c.Record("api_use", sdktest.Use("detailed", "files"))
	sdktest.Drain(t, c, v, midnight.Add(16*time.Hour))
	list, err := c.Pending()
	if err != nil || len(list) != 2 || list[0].Stage != shoal.Sealed || list[1].Stage != shoal.Sealed {
		t.Fatalf("waiting: %+v, %v", list, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	away = false
	c = sdktest.Open(t, o) // without the detail
	if list, err = c.Pending(); err != nil || len(list) != 1 || strings.Contains(list[0].Encoded, "files") {
		t.Errorf("after the start %+v wait, %v, want the plain report alone", list, err)
	}
	if sent, _ := sdktest.Drain(t, c, v, midnight.Add(40*time.Hour)); sent != 1 {
		t.Errorf("sent %d", sent)
	}
}
