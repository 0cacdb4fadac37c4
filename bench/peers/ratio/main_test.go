package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const ourRuns = `goos: linux
cpu: whatever
BenchmarkShard/prio3sum_shard/8-2  	100	2000 ns/op	10 B/op	1 allocs/op
BenchmarkVerifyInit/prio3count_verify_init_helper-2	100	900 ns/op
BenchmarkBatchVerifyInit/prio3count_batch_verify_init_helper-2	100	64000 ns/op	500.0 ns/report	0 B/op
BenchmarkShard/prio3sum_shard/8-2  	100	6000 ns/op
BenchmarkShard/ours_only	1	1 ns/op
PASS
`

const peerRuns = `goos: linux
BenchmarkShard/prio3sum_shard/8 	100	1000 ns/op
BenchmarkShard/prio3sum_shard_bytes/8 	100	2000 ns/op
BenchmarkVerifyInit/prio3count_verify_init_helper 	100	1800.0 ns/op
BenchmarkVerifyInit/prio3count_verify_init_helper_bytes 	100	2000.0 ns/op
BenchmarkShard/prio3sum_shard/8 	100	2000 ns/op
BenchmarkShard/peer_only	1	1 ns/op
`

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := run(&out, []string{write(t, "ours", ourRuns), write(t, "peer", peerRuns)}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"| prio3count_verify_init_helper |  | 1.80 µs | 2.00 µs | 0.90 µs | 0.50 µs | 0.50 (0.50) | 0.45 (0.45) | 0.25 (0.25) |",
		"| prio3sum_shard | 8 | 1.00 µs | 2.00 µs | 2.00 µs |  | 2.00 (2.50) | 1.00 (1.00) |  |",
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if got := lines[2:]; len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRefuses(t *testing.T) {
	good := write(t, "good", ourRuns)
	for name, args := range map[string][]string{
		"one file":       {good},
		"missing file":   {good, good + ".missing"},
		"nothing shared": {good, write(t, "other", "BenchmarkX/y 1 1 ns/op\n")},
		"bad number":     {good, write(t, "bad", "BenchmarkX/y 1 fast ns/op\n")},
		"no time":        {good, write(t, "untimed", "BenchmarkX/y 1 5 B/op\n")},
		"zero":           {good, write(t, "zero", "BenchmarkX/y 1 0 ns/op\n")},
	} {
		if err := run(&strings.Builder{}, args); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
