package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/shoal-project/shoal/internal/outbox"
)

// outboxCmd shows a person what an app's telemetry is about to send.
type outboxCmd struct {
	List outboxListCmd `cmd:"" help:"List the pending reports, by the time they are sent."`
	Show outboxShowCmd `cmd:"" help:"Show one report in full."`
	Drop outboxDropCmd `cmd:"" help:"Drop reports before they are sent."`
}

// outboxDir is where the app keeps its outbox.
type outboxDir struct {
	Dir string `required:"" type:"path" env:"SHOAL_OUTBOX" placeholder:"DIR" help:"Directory of the app's outbox."`
}

func (d outboxDir) open(e *env) (*outbox.Box, error) {
	box, recovery, err := outbox.Open(d.Dir, outbox.Options{Existing: true, Clock: e.clock})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, setup(fmt.Errorf("there is no outbox in %s: name the directory that the app keeps it in", d.Dir))
	}
	if err != nil {
		return nil, setup(err)
	}
	if recovery.Damaged != nil {
		fmt.Fprintf(e.stderr, "shoal: the journal was damaged in %d places; %d reports were dropped, the rest was kept\n", len(recovery.Damaged), recovery.Dropped)
	}
	return box, nil
}

// outboxListCmd is "shoal outbox list".
type outboxListCmd struct {
	outboxDir
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the entries.
func (c *outboxListCmd) Run(e *env) error {
	box, err := c.open(e)
	if err != nil {
		return err
	}
	defer box.Close()
	entries, err := box.List()
	if err != nil {
		return err
	}
	stats, err := box.Stats()
	if err != nil {
		return err
	}
	enrolled, err := box.Enrolments()
	if err != nil {
		return err
	}
	slices.SortFunc(enrolled, func(a, b outbox.Enrolment) int { return strings.Compare(a.Owner+" "+a.Metric, b.Owner+" "+b.Metric) })
	if c.JSON {
		return printJSON(e.stdout, entries, enrolled, stats)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	if len(entries) > 0 {
		fmt.Fprintln(w, "ID\tSENDS AT\tSTAGE\tMETRIC\tRECORDED\tTO")
	}
	for _, x := range entries {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", x.ID, sentAt(x), x.Stage, x.Metric, x.Recorded, x.Destination)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, x := range enrolled {
		fmt.Fprintf(e.stdout, "Takes part in %s since %s: one report an epoch, whether there is something to say or not.\n", x.Metric, x.Since.Local().Format(time.DateTime))
	}
	fmt.Fprintf(e.stdout, "%d waiting, %d sealed, %d held; %d sent so far", stats.Waiting, stats.Sealed, stats.Held, stats.Sent)
	for _, cause := range sortedCauses(stats) {
		fmt.Fprintf(e.stdout, "; %d dropped (%s)", stats.Dropped[cause], cause)
	}
	fmt.Fprintln(e.stdout)
	return nil
}

func sentAt(x outbox.Entry) string {
	if x.Stage == outbox.Held {
		return "never"
	}
	return x.NotBefore.Local().Format(time.DateTime)
}

func sortedCauses(s outbox.Stats) []outbox.Cause {
	var causes []outbox.Cause
	for c := range s.Dropped {
		causes = append(causes, c)
	}
	slices.Sort(causes)
	return causes
}

// entryJSON is one entry for machines.
type entryJSON struct {
	ID          outbox.ID  `json:"id"`
	Metric      string     `json:"metric"`
	Owner       string     `json:"owner"`
	Task        string     `json:"task"`
	Stage       string     `json:"stage"`
	RecordedAt  time.Time  `json:"recorded_at"`
	SentAt      *time.Time `json:"sent_at,omitempty"` // missing: never
	DroppedAt   time.Time  `json:"dropped_at"`
	Attempts    int        `json:"attempts"`
	Destination string     `json:"destination"`
	Recorded    string     `json:"recorded"`
	Encoded     string     `json:"encoded"`
	Payload     string     `json:"payload,omitempty"` // hexadecimal
	Report      string     `json:"report,omitempty"`  // hexadecimal
}

// enrolmentJSON is a task in which the device takes part, for machines.
type enrolmentJSON struct {
	Metric string    `json:"metric"`
	Owner  string    `json:"owner"`
	Task   string    `json:"task"`
	Since  time.Time `json:"since"`
}

func printJSON(w io.Writer, entries []outbox.Entry, enrolled []outbox.Enrolment, stats outbox.Stats) error {
	out := struct {
		Entries  []entryJSON             `json:"entries"`
		Enrolled []enrolmentJSON         `json:"enrolled,omitempty"`
		Sent     uint64                  `json:"sent"`
		Dropped  map[outbox.Cause]uint64 `json:"dropped"`
	}{Entries: []entryJSON{}, Sent: stats.Sent, Dropped: stats.Dropped}
	for _, x := range enrolled {
		out.Enrolled = append(out.Enrolled, enrolmentJSON{x.Metric, x.Owner, x.Task.String(), x.Since})
	}
	for _, x := range entries {
		j := entryJSON{
			ID: x.ID, Metric: x.Metric, Owner: x.Owner, Task: x.Task.String(), Stage: x.Stage.String(),
			RecordedAt: x.At, SentAt: &x.NotBefore, DroppedAt: x.NotAfter, Attempts: x.Attempts,
			Destination: x.Destination, Recorded: x.Recorded, Encoded: x.Encoded,
			Payload: hex.EncodeToString(x.Record), Report: hex.EncodeToString(x.Report),
		}
		if x.Resealable() { // what accumulates leaves as random shares of it
			j.Payload = ""
		}
		if x.Stage == outbox.Held {
			j.SentAt = nil
		}
		out.Entries = append(out.Entries, j)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// outboxShowCmd is "shoal outbox show".
type outboxShowCmd struct {
	outboxDir
	ID outbox.ID `arg:"" help:"The report, by its number in the list."`
}

// Run shows one entry.
func (c *outboxShowCmd) Run(e *env) error {
	box, err := c.open(e)
	if err != nil {
		return err
	}
	defer box.Close()
	entries, err := box.List()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(x outbox.Entry) bool { return x.ID == c.ID })
	if i < 0 {
		return setup(fmt.Errorf("no report %d waits: it was sent or dropped, or never was", c.ID))
	}
	x := entries[i]
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	row := func(name string, v any) { fmt.Fprintf(w, "%s\t%v\n", name, v) }
	row("metric", x.Metric)
	row("owner", x.Owner)
	row("task", x.Task)
	row("stage", x.Stage)
	row("recorded", x.Recorded)
	row("encoded", x.Encoded)
	if x.Record != nil && !x.Resealable() { // what accumulates leaves as random shares of it
		row("payload", hex.EncodeToString(x.Record))
	}
	if x.Report != nil {
		row("report", fmt.Sprintf("%d bytes, sealed", len(x.Report)))
	}
	row("goes to", x.Destination)
	row("recorded at", x.At.Local().Format(time.DateTime))
	row("sends at", sentAt(x))
	row("given up at", x.NotAfter.Local().Format(time.DateTime))
	row("attempts", x.Attempts)
	return w.Flush()
}

// outboxDropCmd is "shoal outbox drop".
type outboxDropCmd struct {
	outboxDir
	IDs []outbox.ID `arg:"" optional:"" name:"id" help:"The reports, by their numbers in the list."`
	All bool        `help:"All reports that wait."`
}

// Run removes entries.
func (c *outboxDropCmd) Run(e *env) error {
	if c.All == (len(c.IDs) > 0) {
		return setup(errors.New("say which reports to drop: their numbers, or --all"))
	}
	box, err := c.open(e)
	if err != nil {
		return err
	}
	defer box.Close()
	n, err := box.Drop(func(x outbox.Entry) bool { return c.All || slices.Contains(c.IDs, x.ID) })
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "dropped %d\n", n)
	if !c.All && n < len(c.IDs) {
		return fmt.Errorf("%d of %d reports do not wait (any more)", len(c.IDs)-n, len(c.IDs))
	}
	return nil
}
