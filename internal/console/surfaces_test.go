package console_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// logged is a log that may be written by two servers at once.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A deployment is a shuffler and an analyzer with one question, whose owner is here.
type deployment struct {
	t     *testing.T
	clock *clock.Virtual
	log   logged
	task  *task.Task
	id    task.ID
	dirs  [2]string
	of    [2]*server.Server
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, clock: clock.NewVirtual(now)}
	owner, err := task.GenerateIdentityKey(rand.Reader)
	must(t, err)
	var files, addresses, identities [2]string
	for i, role := range []task.Role{task.Shuffler, task.Analyzer} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		addresses[i] = l.Addr().String()
		must(t, l.Close())
		d.dirs[i] = filepath.Join(t.TempDir(), role.String())
		files[i], identities[i], err = server.Init(d.dirs[i], server.Organisation{
			Name: role.String(), Roles: []task.Role{role}, URL: "http://" + addresses[i],
			Owners: []string{task.FormatPublic(owner.Public())},
		}, now, nil)
		must(t, err)
	}
	text := strings.NewReplacer("https://shuffler.example", "http://"+addresses[0], "http://127.0.0.1:18460", "http://"+addresses[1]).Replace(metrics)
	text = strings.Replace(fmt.Sprintf(text, identities[0], identities[1]), "    epoch: 1h", "    min_batch: 100\n    epoch: 1h", 1)
	questions, err := metric.Read("metrics.yaml", []byte(text), now)
	must(t, err)
	bundle, err := questions.Build(nil, owner, now)
	must(t, err)
	b, err := bundle.Encode()
	must(t, err)
	d.task, err = task.Parse(bundle.Tasks[0].Bytes)
	must(t, err)
	d.id, err = d.task.ID()
	must(t, err)
	for i := range files {
		d.serve(i, files[i], b)
	}
	return d
}

// serve runs one of the two servers until the test ends.
func (d *deployment) serve(i int, file string, bundle []byte) {
	d.t.Helper()
	name := filepath.Join(d.dirs[i], "tasks.bundle")
	must(d.t, os.WriteFile(name, bundle, 0o600))
	c, err := server.Load(file)
	must(d.t, err)
	c.Tasks.Bundles, c.Ops.Listen, c.Console.Listen = []string{name}, "127.0.0.1:0", server.Off
	s, err := server.New(d.t.Context(), c, server.Options{Clock: d.clock, Manual: true, Logger: slog.New(slog.NewTextHandler(&d.log, nil))})
	must(d.t, err)
	d.of[i] = s
	done := make(chan error, 1)
	go func() { done <- s.Run(d.t.Context()) }() // the context ends before the cleanup
	d.t.Cleanup(func() {
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send posts reports of fruit for the current epoch, and some of the crowd of the first
// that cannot be read.
func (d *deployment) send(unreadable int, fruit ...string) {
	d.t.Helper()
	base := "http://" + d.of[0].Addr("public") + "/tasks/" + d.id.String()
	list, err := task.ParseKeyConfigList(fetch(d.t, base+"/keys", ""))
	must(d.t, err)
	configs, err := list.Open(d.task, d.clock.Now())
	must(d.t, err)
	keys, err := esa.ChooseKeys(d.task, configs, d.clock.Now())
	must(d.t, err)
	enc, err := encoder.New(d.task, d.id)
	must(d.t, err)
	s, err := esa.NewSealer(d.task, d.id, keys)
	must(d.t, err)
	e := d.task.EpochAt(d.clock.Now())
	for i := range len(fruit) + unreadable {
		fragments, err := enc.Encode(map[string]any{"name": fruit[i%len(fruit)]}, rand.Reader)
		must(d.t, err)
		payload := fragments[0].Payload
		if i >= len(fruit) {
			fragments, err = enc.Encode(map[string]any{"name": fruit[0]}, rand.Reader)
			must(d.t, err)
			payload = []byte{0xff}
		}
		report, err := s.Seal(e, enc.Tag(fragments[0], e), payload)
		must(d.t, err)
		r, err := http.Post(base+"/reports", "application/shoal-report;v=1", bytes.NewReader(report))
		must(d.t, err)
		r.Body.Close()
		if r.StatusCode != http.StatusCreated {
			d.t.Fatalf("report: status %d", r.StatusCode)
		}
	}
}

func fetch(t *testing.T, url, token string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d: %s", url, resp.StatusCode, b)
	}
	return b
}

// batches asks the management API of one of the two servers.
func (d *deployment) batches(i int) []any {
	d.t.Helper()
	tokens, err := server.OpenTokens(d.of[i].Config())
	must(d.t, err)
	token, err := tokens.Create(rand.Reader, "test", []server.Scope{server.ScopeRead}, time.Time{})
	must(d.t, err)
	var answer struct {
		Batches []any `json:"batches"`
	}
	must(d.t, json.Unmarshal(fetch(d.t, "http://"+d.of[i].Addr("ops")+"/api/v1/tasks/"+d.id.String()+"/batches", token), &answer))
	return answer.Batches
}

// flat lists the leaves of a JSON value by their paths; elements of a list have the
// path of the list.
func flat(v any, path string, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flat(x, path+"."+k, into)
		}
	case []any:
		for _, x := range v {
			flat(x, path, into)
		}
	default:
		into[path] += fmt.Sprint(v, " ")
	}
}

// differ lists the paths of which two values differ.
func differ(t *testing.T, a, b any) []string {
	t.Helper()
	var all [2]map[string]string
	for i, v := range []any{a, b} {
		text, err := json.Marshal(v)
		must(t, err)
		var plain any
		must(t, json.Unmarshal(text, &plain))
		all[i] = map[string]string{}
		flat(plain, "", all[i])
	}
	var paths []string
	for _, m := range all {
		for path := range m {
			if all[0][path] != all[1][path] && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return paths
}

// noised are the figures of a batch that are within the guarantee, and what follows
// from them and from the time.
var noised = regexp.MustCompile(`^(\.manifest)?\.(epoch|start|end|batch|digest|shuffler\.reports|analyzer\.(records|crowds)|tables\.(rows|bytes|sha256|size|digest))$`)

// TestSurfacesHoldNoExactCounts: two batches with the same crowd, one of which has
// others beside it, that are suppressed or cannot be read, differ on no surface in
// anything but what is noised: manifest, catalogue (SQL), management API, exports,
// console, log. The figures of operation count them, over all tasks.
func TestSurfacesHoldNoExactCounts(t *testing.T) {
	d := newDeployment(t)
	apples := slices.Repeat([]string{"apple"}, 230)
	d.send(0, apples...)
	d.clock.Forward(d.clock.Now().Add(time.Hour))
	d.send(30, append(apples, slices.Repeat([]string{"medlar"}, 7)...)...)
	d.clock.Forward(d.task.Closes(d.task.EpochAt(d.clock.Now())).Add(time.Second))
	waiting := d.batches(0)
	for i := range d.of {
		must(t, d.of[i].Tick(t.Context()))
	}
	entries, err := d.of[1].Tables().Entries(t.Context())
	must(t, err)
	if len(entries) != 2 || entries[0].Manifest == nil || entries[1].Manifest == nil {
		t.Fatalf("%d batches, want two that are released", len(entries))
	}
	same := func(surface string, a, b any) {
		t.Helper()
		for _, path := range differ(t, a, b) {
			if !noised.MatchString(path) {
				t.Errorf("%s: %s tells two batches apart", surface, path)
			}
		}
	}
	same("manifest", entries[0].Manifest, entries[1].Manifest)
	var files [2]any
	for i := range files {
		names, err := filepath.Glob(filepath.Join(d.dirs[1], "data", "analyzer", "batches", "tables", fmt.Sprintf("*-%d", entries[i].Epoch), release.ManifestFile))
		must(t, err)
		if len(names) != 1 {
			t.Fatalf("manifests %v", names)
		}
		b, err := os.ReadFile(names[0])
		must(t, err)
		must(t, json.Unmarshal(b, &files[i]))
	}
	same("manifest's file", files[0], files[1])
	if api := d.batches(1); len(api) < 2 {
		t.Errorf("the management API lists %d batches", len(api))
	} else {
		same("management API", api[0], api[1])
	}
	if len(waiting) != 2 {
		t.Errorf("the shuffler's management API lists %d batches", len(waiting))
	} else {
		same("shuffler's management API", waiting[0], waiting[1])
	}
	d.checkCatalogue(entries)
	d.checkExports(entries)
	d.checkConsole(entries)
	d.checkOperation()
}

// checkCatalogue looks at the rows of the table batches, in SQL and exports.
func (d *deployment) checkCatalogue(entries []analyzer.Entry) {
	d.t.Helper()
	all, err := d.of[1].Tables().Released(d.t.Context())
	must(d.t, err)
	may := []string{"epoch", "epoch_end", "reports", "reports_low", "reports_high", "released", "crowds"}
	for i, c := range all[0].Columns {
		if !reflect.DeepEqual(all[0].Row[i], all[1].Row[i]) && !slices.Contains(may, c.Name) {
			d.t.Errorf("SQL: column %s tells two batches apart", c.Name)
		}
	}
	for i, e := range entries {
		total, low, high, _ := e.Manifest.Total()
		want := []any{int64(total), int64(low), int64(high), int64(e.Manifest.Analyzer.Records), int64(e.Manifest.Analyzer.Crowds)}
		if got := []any(all[i].Row[6:]); !reflect.DeepEqual(got, want) {
			d.t.Errorf("SQL: batch %d is %v, want %v", i, got, want)
		}
	}
}

// checkExports checks what each table holds of each batch: one crowd, and as many
// rows as its noised count.
func (d *deployment) checkExports(entries []analyzer.Entry) {
	d.t.Helper()
	for _, e := range entries {
		records := int(e.Manifest.Analyzer.Records)
		for table, rows := range map[string]int{analyzer.RecordsTable: records, analyzer.CountsTable: 1, analyzer.ValuesTable: 0} {
			for _, f := range []release.Format{release.CSV, release.JSON} {
				var out bytes.Buffer
				must(d.t, d.of[1].Tables().Export(d.t.Context(), &out, f, release.Query{Metric: "fruit", Table: table, Epoch: &e.Epoch}))
				if n := strings.Count(out.String(), "apple"); n != rows || strings.Contains(out.String(), "medlar") {
					d.t.Errorf("export of %s as %s has %d rows, want %d", table, f, n, rows)
				}
			}
		}
	}
}

// checkConsole looks at the rows of the console's table of batches: there are no
// numbers in them but those that are noised, and the time.
func (d *deployment) checkConsole(entries []analyzer.Entry) {
	d.t.Helper()
	page := body(d.t, get(d.t, handler(d.t, console.FromServer(d.of[1])), "/questions/"+d.id.String()))
	_, table, found := strings.Cut(page, `<h2 id="batches">`)
	if !found {
		d.t.Fatal("the page has no table of batches")
	}
	_, table, _ = strings.Cut(table, "<tbody>")
	table, _, _ = strings.Cut(table, "</tbody>")
	rows := strings.Split(table, "<tr>")[1:]
	if len(rows) < 2 {
		d.t.Fatalf("%d rows", len(rows))
	}
	attributes := regexp.MustCompile(`<[^>]*>|&[a-z#0-9]+;`)
	for _, row := range rows {
		_, cells, _ := strings.Cut(row, "</th>") // after the time
		var numbers []string
		for _, n := range regexp.MustCompile(`[0-9][0-9,]*`).FindAllString(attributes.ReplaceAllString(cells, " "), -1) {
			numbers = append(numbers, strings.ReplaceAll(n, ",", ""))
		}
		if len(numbers) == 0 || slices.Equal(numbers, []string{"0", "0"}) {
			continue // nothing was released yet
		}
		if !slices.ContainsFunc(entries, func(e analyzer.Entry) bool {
			total, low, high, _ := e.Manifest.Total()
			rest := max(total, e.Manifest.Analyzer.Records) - e.Manifest.Analyzer.Records
			may := []string{"95"} // per cent
			for _, n := range []uint64{total, low, high, e.Manifest.Analyzer.Records, rest, e.Manifest.Analyzer.Crowds} {
				may = append(may, strconv.FormatUint(n, 10))
			}
			return !slices.ContainsFunc(numbers, func(n string) bool { return !slices.Contains(may, n) })
		}) {
			d.t.Errorf("a row of the console has the numbers %v", numbers)
		}
	}
	for _, word := range []string{"medlar", "not readable:", "dropped:", "suppressed:"} {
		if strings.Contains(page, word) {
			d.t.Errorf("the page says %q", word)
		}
	}
}

// checkOperation: the operator's figures are exact and name no task, and the log has
// no number of reports.
func (d *deployment) checkOperation() {
	d.t.Helper()
	const sent, suppressed = 2*230 + 30 + 7, 7
	shuffler := string(fetch(d.t, "http://"+d.of[0].Addr("ops")+"/metrics", ""))
	for _, want := range []string{
		fmt.Sprintf(`shoal_reports_total{outcome="accepted",role="shuffler"} %d`, sent),
		fmt.Sprintf(`shoal_reports_total{outcome="suppressed",role="shuffler"} %d`, suppressed),
	} {
		if !strings.Contains(shuffler, want) {
			d.t.Errorf("the shuffler's operator does not see %s", want)
		}
	}
	of := string(fetch(d.t, "http://"+d.of[1].Addr("ops")+"/metrics", ""))
	if !strings.Contains(of, `shoal_rejects_total{cause="schema",role="analyzer"}`) {
		d.t.Error("the analyzer's operator does not see what could not be read")
	}
	if strings.Contains(shuffler+of, d.id.String()) || strings.Contains(shuffler+of, "fruit") {
		d.t.Error("the figures of operation name a task")
	}
	epochs := regexp.MustCompile(`(time|epoch)=\S+`)
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, "batch") && regexp.MustCompile(`=[0-9]+\s`).MatchString(epochs.ReplaceAllString(line, "")) {
			d.t.Errorf("the log says %s", line)
		}
	}
}
