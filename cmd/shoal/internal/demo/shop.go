package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/cmd/shoal/internal/parties"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/web/sdk"
)

// Customers is how many simulated customers a shop has: those of a smallest batch, and
// some more. In every epoch each of them checks out once, with a book.
const Customers = 110

// What a simulated customer buys, as the page's shelf has it.
const (
	bookPrice  = 12
	department = "books"
)

// shopQuestions are what the page of web/sdk/example records. Answers have no noise, so
// that one sees what a browser adds to them.
var shopQuestions = []struct{ name, question, text string }{
	{"shop.checkout", "How many customers check out in a minute?", "type: count"},
	{"shop.spent", "How much do customers spend in a minute?", "type: sum\n    max: 500\n    example: 12"},
	{"shop.items", "How many things does a checkout have on average?", "type: mean\n    max: 60\n    example: 1"},
	{"shop.theme", "Which theme do customers' browsers ask for?", "type: histogram\n    categories: [light, dark, high contrast]"},
	{"shop.milliseconds", "How long does the shop take to start?", "type: histogram\n    buckets: [50, 100, 200, 400, 800, 1600, 3200]"},
	{"shop.departments", "Of which departments do customers buy?", "type: multihot\n    labels: [books, games, garden, kitchen, music, tools, toys]\n    max: 4"},
	{"shop.hours", "At which hours of the day do customers come?", "type: vector\n    length: 6\n    max: 15\n    example: [0, 0, 1]"},
}

// ShopQuestions returns how many questions a shop asks.
func ShopQuestions() int { return len(shopQuestions) }

// ShopConfig selects how a shop is set up.
type ShopConfig struct {
	Dir   string    // of all organisations; made if missing
	Start time.Time // the time of the first Step
	Rand  io.Reader // keys, identifiers, send times

	Console     func(*server.Server) (http.Handler, error) // nil for none
	ConsoleAddr string                                     // "" for any free loopback port
	Logger      *slog.Logger
}

// A Shop is the example of the SDK for web pages: a page that real browsers open, two
// organisations that add up what it records, and simulated customers to hide among. An
// epoch is a minute, and its answers are there about two minutes after it.
type Shop struct {
	parties   *parties.Parties
	customers []*shoal.Client
	wire      *http.Transport
	recorded  uint64          // the epoch in which customers last bought
	seen      map[string]bool // batches that Step has returned
}

// A ShopAnswer is what one question's batch adds up to.
type ShopAnswer struct {
	Metric  string             `json:"metric"`
	Start   time.Time          `json:"start"` // of the epoch
	Reports uint64             `json:"reports"`
	Items   map[string]float64 `json:"items"`
}

// String returns the answer as one line, without items that are 0.
func (a ShopAnswer) String() string {
	var items []string
	for name, x := range a.Items {
		if x != 0 {
			items = append(items, name+" "+strconv.FormatFloat(x, 'g', 6, 64))
		}
	}
	slices.Sort(items)
	return fmt.Sprintf("%s  %-17s  %d customers: %s", a.Start.Local().Format("15:04"), a.Metric, a.Reports, strings.Join(items, ", "))
}

// OpenShop sets up the organisations, the signed questions and the simulated customers.
func OpenShop(ctx context.Context, c ShopConfig) (*Shop, error) {
	s := &Shop{seen: map[string]bool{}, wire: &http.Transport{MaxIdleConnsPerHost: senders}}
	var err error
	s.parties, err = parties.Start(ctx, parties.Config{
		Dir: c.Dir, Start: c.Start, Rand: c.Rand, Aggregates: true, Questions: shopFile(c),
		Console: c.Console, ConsoleAddr: c.ConsoleAddr, Logger: c.Logger,
	})
	if err != nil {
		return nil, err
	}
	var metrics []string
	for _, q := range shopQuestions {
		metrics = append(metrics, q.name)
	}
	for range Customers {
		customer, err := shoal.Open(ctx, shoal.Options{
			Bundle: s.parties.Bundle, Owner: s.parties.Owner, Metrics: metrics,
			Mode: shoal.On, NoSender: true, Clock: s.parties.Clock, Rand: c.Rand, Transport: s.wire,
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening a simulated customer: %w", err), s.Close())
		}
		s.customers = append(s.customers, customer)
	}
	return s, nil
}

// shopFile writes the questions for the parties that they name.
func shopFile(c ShopConfig) func([]task.Party) (*metric.File, error) {
	return func(named []task.Party) (*metric.File, error) {
		var b strings.Builder
		b.WriteString("version: 1\nowner: Example Shop\n" + partiesYAML(named) + "metrics:\n")
		for _, q := range shopQuestions {
			fmt.Fprintf(&b, `  %s:
    method: aggregate
    question: %q
    consent: >-
      This is added up over all customers. Two organisations hold one half of
      your answer each, and neither can read it.
    %s
    noise: none
    min_batch: 100
    epoch: 1m
    max_delay: 1m
    clock_skew: 20s
    expires: %s
`, q.name, q.question, q.text, c.Start.AddDate(0, 0, 30).Format(time.DateOnly))
		}
		file, err := metric.Read("metrics.yaml", []byte(b.String()), c.Start)
		if err != nil {
			return nil, fmt.Errorf("the shop's questions: %w", err)
		}
		return file, os.WriteFile(filepath.Join(c.Dir, "metrics.yaml"), []byte(b.String()), 0o600)
	}
}

// Handler serves the page.
func (s *Shop) Handler() http.Handler { return sdk.Shop(s.parties.Bundle, s.parties.Owner) }

// Step lets time go on until now: simulated customers buy once an epoch and send what is
// due, and the organisations work. It returns the answers that are new. An error of an
// organisation is not the end: the next Step tries again.
func (s *Shop) Step(ctx context.Context, now time.Time) ([]ShopAnswer, error) {
	s.parties.Clock.Forward(now)
	if epoch := uint64(now.Unix() / 60); epoch != s.recorded {
		s.recorded = epoch
		if err := s.buy(); err != nil {
			return nil, err
		}
	}
	group, sending := errgroup.WithContext(ctx)
	group.SetLimit(senders)
	for _, c := range s.customers {
		group.Go(func() error {
			_, err := c.SendDue(sending) // what failed waits for the next time
			return err
		})
	}
	err := errors.Join(group.Wait(), s.parties.Tick(ctx))
	answers, readErr := s.answers(ctx)
	return answers, errors.Join(err, readErr)
}

// buy lets each simulated customer check out with one book.
func (s *Shop) buy() error {
	for _, c := range s.customers {
		for _, o := range []shoal.Outcome{
			c.Count("shop.checkout"), c.Add("shop.spent", bookPrice), c.Observe("shop.items", 1), c.Observe("shop.theme", "light"),
			c.Observe("shop.milliseconds", 60), c.Observe("shop.departments", department), c.Vector("shop.hours", []int{0, 0, 1, 0, 0, 0}),
		} {
			if !o.Queued() {
				return fmt.Errorf("a simulated customer did not record: %v", o)
			}
		}
	}
	return nil
}

// answers returns what was released since the last call.
func (s *Shop) answers(ctx context.Context) ([]ShopAnswer, error) {
	tables := s.parties.Results().Aggregates()
	entries, err := tables.Entries(ctx)
	if err != nil {
		return nil, err
	}
	var answers []ShopAnswer
	for _, e := range entries {
		m := e.Manifest
		if s.seen[m.Batch] {
			continue
		}
		epoch := task.Epoch(m.Epoch)
		batches, err := release.Select(ctx, tables, release.Query{Metric: m.Metric, Epoch: &epoch})
		if err != nil {
			return nil, err
		}
		a := ShopAnswer{Metric: m.Metric, Start: m.Start, Reports: m.Reports, Items: map[string]float64{}}
		for _, batch := range batches {
			if err := a.read(batch); err != nil {
				return nil, err
			}
		}
		s.seen[m.Batch] = true
		answers = append(answers, a)
	}
	return answers, nil
}

// read adds the rows of a batch.
func (a *ShopAnswer) read(batch release.Batch) error {
	for row, err := range batch.Rows(collector.ResultsTable) {
		if err != nil {
			return fmt.Errorf("reading the answer to %s: %w", a.Metric, err)
		}
		item, _ := row[1].(string)
		estimate, _ := row[3].(float64)
		a.Items[item] += estimate
	}
	return nil
}

// ConsoleURL returns where the console is, or "".
func (s *Shop) ConsoleURL() string { return s.parties.ConsoleURL() }

// Close stops customers and organisations.
func (s *Shop) Close() error {
	var errs []error
	for _, c := range s.customers {
		errs = append(errs, c.Close())
	}
	s.wire.CloseIdleConnections()
	return errors.Join(append(errs, s.parties.Close())...)
}
