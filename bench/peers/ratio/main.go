// Command ratio compares two files of benchmark results in Go's format, ours
// and a peer's, that were made in alternation, and prints a Markdown table.
//
// Usage:
//
//	ratio SHOAL.txt PEER.txt
//
// A time is the least of all results of that name, since whatever disturbs a
// measurement makes it longer. A ratio is our least time by the peer's; below 1
// we are faster. Behind it, in brackets, is the median of the ratios of the nth
// result in one file by the nth in the other, which were disturbed alike.
//
// Beside a peer's X it reads the peer's X_bytes, which includes the decoding
// and encoding that ours always does, and our batch_X, whose unit ns/report is
// used.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ratio:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want two files, ours and the peer's; got %d arguments", len(args))
	}
	ours, err := readFile(args[0])
	if err != nil {
		return err
	}
	peer, err := readFile(args[1])
	if err != nil {
		return err
	}
	rows := compare(ours, peer)
	if len(rows) == 0 {
		return fmt.Errorf("no benchmark is in both %s and %s", args[0], args[1])
	}
	return printTable(w, rows)
}

// A key names a benchmark: what is measured, and with which parameter.
type key struct{ op, size string }

// A series is the results of one benchmark in the order of the file, in
// nanoseconds an operation.
type series []float64

// results are the series of a file, with their keys in the file's order.
type results struct {
	keys []key
	by   map[key]series
}

func readFile(name string) (*results, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rs, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return rs, nil
}

// procs is the number of processors that Go appends to a benchmark's name. It
// is always attached to the last part, and only one part may be a number.
var procs = regexp.MustCompile(`-\d+$`)

// read takes the benchmark lines of r and skips all others.
func read(r io.Reader) (*results, error) {
	rs := &results{by: map[key]series{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		ns, err := time(f[2:])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f[0], err)
		}
		// BenchmarkShard/prio3sum_shard/8-2 is operation prio3sum_shard, size 8.
		_, name, _ := strings.Cut(procs.ReplaceAllString(f[0], ""), "/")
		op, size, _ := strings.Cut(name, "/")
		k := key{op, size}
		if rs.by[k] == nil {
			rs.keys = append(rs.keys, k)
		}
		rs.by[k] = append(rs.by[k], ns)
	}
	return rs, lines.Err()
}

// time returns the nanoseconds a report, or else an operation, of a line's
// pairs of value and unit.
func time(pairs []string) (float64, error) {
	for _, unit := range []string{"ns/report", "ns/op"} {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i+1] != unit {
				continue
			}
			ns, err := strconv.ParseFloat(pairs[i], 64)
			if err == nil && !(ns > 0) {
				err = fmt.Errorf("%s %s: want more than 0", pairs[i], unit)
			}
			return ns, err
		}
	}
	return 0, fmt.Errorf("no time in %q", strings.Join(pairs, " "))
}

// A row compares one benchmark: the peer without and with coding, ours one
// report at a time and in batches. A series is nil where a file has none.
type row struct {
	key
	peer, peerBytes, ours, batch series
}

func compare(ours, peer *results) []row {
	var rows []row
	for _, k := range ours.keys {
		if peer.by[k] == nil {
			continue
		}
		rows = append(rows, row{
			key:       k,
			peer:      peer.by[k],
			peerBytes: peer.by[key{k.op + "_bytes", k.size}],
			ours:      ours.by[k],
			batch:     ours.by[key{strings.Replace(k.op, "_verify", "_batch_verify", 1), k.size}],
		})
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(circuit(a.op), circuit(b.op)) })
	for i := range rows {
		if !strings.Contains(rows[i].op, "_verify") {
			rows[i].batch = nil
		}
	}
	return rows
}

// circuit is the first part of an operation's name.
func circuit(op string) string {
	name, _, _ := strings.Cut(op, "_")
	return name
}

func printTable(w io.Writer, rows []row) error {
	var b strings.Builder
	b.WriteString("| operation | size | peer | peer, bytes | Shoal | Shoal, batched | Shoal / peer | Shoal / peer, bytes | batched / peer, bytes |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.op, r.size,
			r.peer, r.peerBytes, r.ours, r.batch,
			ratio(r.ours, r.peer), ratio(r.ours, r.peerBytes), ratio(r.batch, r.peerBytes))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String writes the least time in a unit that suits it.
func (s series) String() string {
	if len(s) == 0 {
		return ""
	}
	switch m := slices.Min(s); {
	case m < 1e6:
		return strconv.FormatFloat(m/1e3, 'f', 2, 64) + " µs"
	default:
		return strconv.FormatFloat(m/1e6, 'f', 2, 64) + " ms"
	}
}

// ratio writes the least of a by the least of b, and the median of a[i]/b[i].
func ratio(a, b series) string {
	n := min(len(a), len(b))
	if n == 0 {
		return ""
	}
	pairs := make(series, n)
	for i := range pairs {
		pairs[i] = a[i] / b[i]
	}
	slices.Sort(pairs)
	return fmt.Sprintf("%.2f (%.2f)", slices.Min(a)/slices.Min(b), (pairs[(n-1)/2]+pairs[n/2])/2)
}
