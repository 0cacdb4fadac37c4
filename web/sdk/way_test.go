package sdk_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// A person is what one simulated client records in an epoch.
type person []said

type said struct {
	Op     string `json:"op"`
	Metric string `json:"metric"`
	Value  any    `json:"value"`
}

// play is what Node.js or a browser is given to play people.
type play struct {
	Bundle []byte   `json:"bundle"`
	Owner  string   `json:"owner"`
	From   int64    `json:"from"` // when they record, Unix milliseconds
	Send   int64    `json:"send"` // when all of it is due
	People []person `json:"people"`
	Module string   `json:"module,omitempty"` // index unless set
}

// crowdOf returns n people, and by metric and item what they add up to.
func crowdOf(n int) ([]person, map[string]map[string]float64) {
	want := map[string]map[string]float64{}
	for metric := range questions() {
		want[metric] = map[string]float64{}
	}
	departments := questions()["shop.departments"].Kind.(kind.Multihot).Labels
	var people []person
	for i := range n {
		if i%10 == 9 { // a person without values reports all the same
			people = append(people, person{})
			continue
		}
		spent, items, theme, ms := i%600, i%50, questions()["shop.theme"].Kind.(kind.Categories).Labels[i%3], float64(i%4000)+0.5
		visited := []string{departments[i%7], departments[(i+1)%7]}
		hours := []int{i % 16, 0, 1, i % 3, 0, 15}
		people = append(people, person{
			{"count", "shop.checkout", nil},
			{"count", "shop.checkout", nil},
			{"add", "shop.spent", spent},
			{"observe", "shop.items", items},
			{"observe", "shop.theme", theme},
			{"observe", "shop.milliseconds", ms},
			{"observe", "shop.departments", visited},
			{"vector", "shop.hours", hours},
		})
		want["shop.checkout"]["count"]++
		want["shop.spent"]["sum"] += float64(min(spent, 500))
		want["shop.items"]["mean"] += float64(items)
		want["shop.theme"][theme]++
		want["shop.milliseconds"][bucket(ms)]++
		for _, v := range visited {
			want["shop.departments"][v]++
		}
		for k, h := range hours {
			want["shop.hours"][fmt.Sprint(k)] += float64(h)
		}
	}
	return people, want
}

func bucket(ms float64) string {
	bounds := questions()["shop.milliseconds"].Kind.(kind.Histogram).Bounds
	for i, b := range bounds {
		if ms >= float64(b) {
			continue
		}
		if i == 0 {
			return fmt.Sprintf("below %d", b)
		}
		return fmt.Sprintf("%d to %d", bounds[i-1], b-1)
	}
	return fmt.Sprintf("%d and above", bounds[len(bounds)-1])
}

// TestWay sends 10,000 reports from Node.js to a real leader and helper: seven
// questions, and what the collector adds up is exactly what was recorded.
func TestWay(t *testing.T) {
	needsTools(t)
	people := 10_000 / len(questions())
	if os.Getenv("SHOAL_WEB_PEOPLE") != "" {
		_, err := fmt.Sscan(os.Getenv("SHOAL_WEB_PEOPLE"), &people)
		if err != nil {
			t.Fatal(err)
		}
	}
	people++ // rounded up
	d := deploy(t, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC))
	all, want := crowdOf(people)
	epoch := d.clock.Now()
	send := epoch.Add(time.Hour + 9*time.Minute)
	p := play{Bundle: d.bundle, Owner: task.FormatPublic(d.owner.Public()), From: epoch.Add(time.Minute).UnixMilli(), Send: send.UnixMilli(), People: all}
	d.settle(send.Sub(epoch))
	played(t, p, people*len(questions()))
	d.settle(40 * time.Minute)
	d.check(want, people)
}

// played has Node.js play people, who must send so many reports.
func played(t *testing.T, p play, reports int, metrics ...string) {
	t.Helper()
	out := tool(t, marshal(t, p), append([]string{"node", filepath.Join("test", "people.mjs")}, metrics...)...)
	var made struct {
		Sent   int     `json:"sent"`
		Failed int     `json:"failed"`
		Millis float64 `json:"millis"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if made.Sent != reports || made.Failed != 0 {
		t.Fatalf("%d reports sent, %d failed, want %d and 0", made.Sent, made.Failed, reports)
	}
	t.Logf("%d reports of %d people in %.1f s", made.Sent, len(p.People), made.Millis/1000)
}

// check holds what was collected to what was recorded.
func (d *deployment) check(want map[string]map[string]float64, people int) {
	d.t.Helper()
	for metric, sums := range want {
		got, reports := d.collected(metric)
		if reports != people {
			d.t.Errorf("%s: %d reports, want %d", metric, reports, people)
		}
		delete(got, "answered") // how many had a value; a mean is of those
		if metric == "shop.items" {
			answered := float64(people - people/10)
			for k := range sums {
				sums[k] /= answered
			}
		}
		for item, x := range got {
			if off := x - sums[item]; off > 1e-9 || off < -1e-9 {
				d.t.Errorf("%s, %q: collected %v, recorded %v", metric, item, x, sums[item])
			}
		}
		for item := range maps.Keys(sums) {
			if _, ok := got[item]; !ok {
				d.t.Errorf("%s: %q was not collected: %v", metric, item, got)
			}
		}
	}
}
