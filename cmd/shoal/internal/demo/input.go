package demo

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/shoal-project/shoal/cmd/shoal/internal/programs"
)

// An Input is a question and the people who can answer it.
type Input struct {
	Metric  string  // its name in YAML
	YAML    string  // the entry of metrics.yaml, without owner and parties
	Things  []Thing // the distinct records
	Members []string
	Who     Population
	Note    string // what the input is, for the printed report

	Simulated bool // it asks what only simulated people may be asked
	Protected bool // its clients have credentials, and its quorum is hardened
}

// A Thing is one record that people may have.
type Thing struct {
	Label  string         // its crowd, for people
	Record map[string]any // what the app records
	Set    uint64         // the members of its set, if it has one
}

// maxReports bounds the demo's work.
const maxReports = 50_000

// Programs asks which kinds of system API the given programs use: each of 2,000
// people uses ten, drawn by popularity.
func Programs(found []programs.Program, seed [32]byte) (Input, error) {
	if len(found) < 30 {
		return Input{}, fmt.Errorf("only %d dynamically linked programs were found on this machine: ask another question with --input FILE", len(found))
	}
	in := Input{
		Metric:  "api_use",
		YAML:    apiUseYAML(programs.Families()),
		Members: programs.Families(),
		Who:     Zipf(seed, 2000, 10, len(found)),
		Note:    fmt.Sprintf("the %d dynamically linked programs of this machine", len(found)),
	}
	for _, p := range found {
		var apis []string
		for i, f := range in.Members {
			if p.APIs>>i&1 == 1 {
				apis = append(apis, f)
			}
		}
		in.Things = append(in.Things, Thing{
			Label: p.Name, Set: p.APIs,
			Record: map[string]any{"program": p.Name, "apis": apis},
		})
	}
	return in, nil
}

// Words asks how often the words of a text occur. Each occurrence belongs to
// another person.
func Words(text io.Reader, name string) (Input, error) {
	s := bufio.NewScanner(text)
	s.Buffer(make([]byte, 0, 1<<16), 1<<20)
	s.Split(bufio.ScanWords)
	var words []string
	for len(words) < maxReports && s.Scan() {
		w := strings.ToLower(strings.TrimFunc(s.Text(), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
		if w != "" && len(w) <= maxText {
			words = append(words, w)
		}
	}
	if err := s.Err(); err != nil {
		return Input{}, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(words) == 0 {
		return Input{}, fmt.Errorf("reading %s: no words in it", name)
	}
	in := Input{Metric: "words", YAML: wordsYAML, Note: fmt.Sprintf("the first %d words of %s", len(words), name)}
	in.fill(words, func(w string) map[string]any { return map[string]any{"word": w} })
	return in, nil
}

// Rows asks how often the rows of a CSV file with a header occur. A row's crowd
// is the whole row.
func Rows(file io.Reader, name string) (Input, error) {
	r := csv.NewReader(file)
	header, err := r.Read()
	if err != nil {
		return Input{}, fmt.Errorf("reading %s: its header: %w", name, err)
	}
	columns, err := columnNames(header)
	if err != nil {
		return Input{}, fmt.Errorf("reading %s: %w", name, err)
	}
	var rows []string
	for len(rows) < maxReports {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Input{}, fmt.Errorf("reading %s: %w", name, err)
		}
		for i, v := range row {
			if len(v) > maxText || strings.ContainsRune(v, 0) {
				line, _ := r.FieldPos(i)
				return Input{}, fmt.Errorf("reading %s: line %d: column %s is longer than %d bytes", name, line, header[i], maxText)
			}
		}
		rows = append(rows, strings.Join(row, "\x00"))
	}
	if len(rows) == 0 {
		return Input{}, fmt.Errorf("reading %s: a header and no rows", name)
	}
	in := Input{Metric: "rows", YAML: rowsYAML(columns), Note: fmt.Sprintf("the first %d rows of %s", len(rows), name)}
	in.fill(rows, func(row string) map[string]any {
		record := make(map[string]any)
		for i, v := range strings.Split(row, "\x00") {
			record[columns[i]] = v
		}
		return record
	})
	return in, nil
}

// maxText is the longest word or CSV value, in bytes.
const maxText = 64

// columnNames turns the header of a CSV file into field names.
func columnNames(header []string) ([]string, error) {
	if len(header) > 16 {
		return nil, fmt.Errorf("%d columns, at most 16 are possible here", len(header))
	}
	out := make([]string, len(header))
	for i, h := range header {
		out[i] = strings.Trim(strings.Map(func(r rune) rune {
			r = unicode.ToLower(r)
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, strings.TrimPrefix(h, "\ufeff")), "_")
		if out[i] == "" || len(out[i]) > 64 || slices.Contains(out[:i], out[i]) {
			return nil, fmt.Errorf("column %d is called %q: a distinct name of letters and digits is needed", i+1, h)
		}
	}
	return out, nil
}

// fill makes a thing of each distinct item and spreads the items over people, at
// most ten each.
func (in *Input) fill(items []string, record func(string) map[string]any) {
	index := make(map[string]int)
	occurrences := make([]int, len(items))
	for i, item := range items {
		at, ok := index[item]
		if !ok {
			at = len(in.Things)
			index[item] = at
			in.Things = append(in.Things, Thing{Label: strings.ReplaceAll(item, "\x00", ", "), Record: record(item)})
		}
		occurrences[i] = at
	}
	in.Who = Spread(occurrences, 10)
}
