package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
)

// collectCmd requests aggregates by hand, and prints what is still missing.
type collectCmd struct {
	configFlag
	Task string        `arg:"" optional:"" help:"The metric, or the task's ID; without one all that is waited for is listed."`
	From string        `placeholder:"TIME" help:"Ask for the reports from this time, such as 2026-11-23 or 2026-11-23T12:00:00Z..."`
	To   string        `placeholder:"TIME" help:"...until this one."`
	Wait time.Duration `help:"Wait so long for the result."`
}

// Help is printed by "shoal collect --help".
func (*collectCmd) Help() string {
	return `A collector asks by itself for every epoch when no more reports can arrive. By
hand, epochs that have too few reports each can be asked for together, unless they
have been asked for before: a batch is collected once.

Examples:
  shoal collect
  shoal collect startup_time --from 2026-11-23 --to 2026-11-30 --wait 1m
  shoal export startup_time`
}

type collection struct {
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	State   string    `json:"state"`
	Missing string    `json:"missing"`
	Reason  string    `json:"reason"`
	Next    time.Time `json:"next"`
	Failed  string    `json:"failed"`
}

type collectionList struct {
	Collections []collection `json:"collections"`
}

// Run asks, or lists.
func (c *collectCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	if !config.Has(task.Collector) {
		return setup(errors.New("collecting: this organisation is not a collector"))
	}
	list, err := c.tasks(e)
	if err != nil {
		return err
	}
	m, err := c.manage(e, config, server.ScopeRead, server.ScopeCollect)
	if err != nil {
		return setup(err)
	}
	return errors.Join(c.collect(e, m, list), m.close())
}

func (c *collectCmd) collect(e *env, m *manager, list *taskList) error {
	if c.Task == "" {
		return c.listAll(e, m, list)
	}
	id, err := list.find(c.Task)
	if err != nil {
		return setup(err)
	}
	path := "/api/v1/tasks/" + id + "/collections"
	if c.From == "" && c.To == "" {
		return c.list(e, m, path, c.Task)
	}
	start, err := parseTime("--from", c.From)
	if err != nil {
		return setup(err)
	}
	end, err := parseTime("--to", c.To)
	if err != nil {
		return setup(err)
	}
	body, err := json.Marshal(map[string]time.Time{"start": start, "end": end})
	if err != nil {
		return err
	}
	if err := m.do(e.ctx, http.MethodPost, path, body, nil); err != nil {
		return setup(fmt.Errorf("collecting %q: %w", c.Task, err))
	}
	return c.await(e, m, path, start)
}

// await waits until the ask that begins at start is no longer listed: it is
// released.
func (c *collectCmd) await(e *env, m *manager, path string, start time.Time) error {
	deadline := time.Now().Add(c.Wait)
	for {
		var list collectionList
		if err := m.do(e.ctx, http.MethodGet, path, nil, &list); err != nil {
			return fmt.Errorf("collecting %q: %w", c.Task, err)
		}
		var mine *collection
		for i := range list.Collections {
			o := &list.Collections[i]
			if !o.Start.After(start) && o.End.After(start) {
				mine = o
			}
		}
		switch {
		case mine == nil:
			fmt.Fprintf(e.stdout, "Released. See it with \"shoal export %s\".\n", c.Task)
			return nil
		case mine.State == "abandoned":
			return fmt.Errorf("collecting %q: %s", c.Task, mine.Reason)
		case time.Now().After(deadline):
			fmt.Fprintln(e.stdout, "Asked: "+mine.String())
			return nil
		}
		if err := clock.Sleep(e.ctx, clock.System(), 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func parseTime(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: %q is neither a day such as 2026-11-23 nor a time such as 2026-11-23T12:00:00Z", flag, text)
}

func (c *collectCmd) listAll(e *env, m *manager, list *taskList) error {
	for _, t := range list.Tasks {
		if t.Role != task.Collector.String() {
			continue
		}
		if t.State != "served" {
			fmt.Fprintf(e.stdout, "%s: %s\n", t.Metric, t.State)
			continue
		}
		if err := c.list(e, m, "/api/v1/tasks/"+t.ID+"/collections", t.Metric); err != nil {
			return err
		}
	}
	return nil
}

func (c *collectCmd) list(e *env, m *manager, path, name string) error {
	var list collectionList
	if err := m.do(e.ctx, http.MethodGet, path, nil, &list); err != nil {
		return fmt.Errorf("collecting %q: %w", name, err)
	}
	if len(list.Collections) == 0 {
		fmt.Fprintf(e.stdout, "%s: nothing is waited for\n", name)
	}
	for _, o := range list.Collections {
		fmt.Fprintf(e.stdout, "%s: %s\n", name, o.String())
	}
	return nil
}

// String describes the state of a collection.
func (o *collection) String() string {
	text := o.Start.Format("2006-01-02 15:04") + " to " + o.End.Format("2006-01-02 15:04") + ", "
	switch {
	case o.State == "abandoned":
		return text + "given up: " + o.Reason
	case o.Failed != "":
		return text + "failed and will be tried again: " + o.Failed
	case o.Missing != "":
		return text + "not enough yet: " + o.Missing + " are missing"
	case o.State == "received":
		return text + "received"
	}
	return text + "asked for; the leader is at work, or not enough reports have arrived"
}
