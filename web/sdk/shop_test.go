package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// shopLine is a line of "shoal demo --web --json": first where the shop is, then answers.
type shopLine struct {
	Shop    string
	Metric  string
	Reports float64
	Items   map[string]float64
}

// TestDemoShop runs "shoal demo --web" as a person does, in real time, and lets a customer
// in each browser buy from it: what the answers have beyond the simulated customers is
// exactly what the two bought. It waits for real epochs of a minute, and fails on a machine
// so slow that a customer's purchase falls into another epoch than the simulated ones: it has
// a target of its own, make test-shop.
func TestDemoShop(t *testing.T) {
	if os.Getenv("SHOAL_SHOP") == "" {
		t.Skip("needs several minutes of real time: make test-shop")
	}
	needsTools(t)
	programs := map[string]string{"chromium": browser(t), "firefox": firefox(t)}
	things := map[string][]int{"chromium": {0, 1}, "firefox": {2, 3}} // 42 and 58 coins
	want := map[string]float64{
		"shop.checkout count": 2, "shop.spent sum": 100,
		"shop.departments books": 1, "shop.departments games": 1, "shop.departments garden": 1, "shop.departments kitchen": 1,
		"shop.theme answered": 2, "shop.milliseconds answered": 2, "shop.items answered": 2,
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	shoal := filepath.Join(t.TempDir(), "shoal")
	build := exec.CommandContext(ctx, "go", "build", "-o", shoal, "../../cmd/shoal")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	demo := exec.CommandContext(ctx, shoal, "demo", "--web", "--json")
	demo.Stderr = os.Stderr
	demo.Cancel = func() error { return demo.Process.Signal(os.Interrupt) }
	demo.WaitDelay = time.Minute
	out, err := demo.StdoutPipe()
	must(t, err)
	must(t, demo.Start())
	lines := json.NewDecoder(out)
	var first shopLine
	must(t, lines.Decode(&first))
	var customers sync.WaitGroup
	for kind, program := range programs {
		in := marshal(t, map[string]any{"url": first.Shop + "example/", "kind": kind, "program": program, "things": things[kind], "screenshots": os.Getenv("SHOAL_SCREENSHOTS")})
		customers.Go(func() { buy(ctx, t, in, cancel) })
	}
	found := map[string]float64{}
	for !reached(found, want) && ctx.Err() == nil {
		var a shopLine
		if err := lines.Decode(&a); err != nil {
			t.Errorf("reading the demo's answers: %v", err)
			break
		}
		more(found, a)
	}
	if !maps.Equal(found, want) {
		t.Errorf("browsers added\n%v, want\n%v", found, want)
	}
	customers.Wait()
	cancel()
	if err := demo.Wait(); ctx.Err() == nil && err != nil {
		t.Error(err)
	}
}

// buy lets one customer visit the shop. A failure ends the test.
func buy(ctx context.Context, t *testing.T, in []byte, end context.CancelFunc) {
	cmd := exec.CommandContext(ctx, "node", filepath.Join("test", "shop.mjs"))
	cmd.Stdin = bytes.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("a customer: %v: %s", err, out)
		end()
	}
}

// simulated is what the demo's own customers add to each answer.
var simulated = map[string]float64{
	"shop.checkout count": 110, "shop.spent sum": 110 * 12, "shop.departments books": 110,
	"shop.theme answered": 110, "shop.milliseconds answered": 110, "shop.items answered": 110,
}

// more adds what an answer has beyond the simulated customers. What depends on the
// machine (theme, time to start, hour) is counted by how many answered.
func more(found map[string]float64, a shopLine) {
	for item, x := range a.Items {
		name := a.Metric + " " + item
		if a.Metric == "shop.hours" || simulated[name] == 0 && a.Metric != "shop.departments" {
			continue
		}
		if x -= simulated[name]; x != 0 {
			found[name] += x
		}
	}
}

// reached reports whether all that is wanted was found.
func reached(found, want map[string]float64) bool {
	for name, x := range want {
		if found[name] < x {
			return false
		}
	}
	return true
}
