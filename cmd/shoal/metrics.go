package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// metricsCmd works on questions.
type metricsCmd struct {
	Check metricsCheckCmd `cmd:"" help:"Check questions and list their errors."`
	Build metricsBuildCmd `cmd:"" help:"Build the signed tasks that an app embeds."`
	Key   metricsKeyCmd   `cmd:"" help:"Generate the key with which an owner signs questions."`
}

// metricsFile is the file of questions.
type metricsFile struct {
	File string `arg:"" default:"metrics.yaml" help:"The questions (${default})."`
}

func (f metricsFile) load(e *env) (*metric.File, error) {
	file, err := metric.Load(f.File, e.clock.Now())
	if err == nil {
		for _, w := range file.Warnings() {
			fmt.Fprintf(e.stderr, "shoal: warning: %s\n", w)
		}
	}
	return file, setup(err)
}

type metricsCheckCmd struct {
	metricsFile
}

// Run reports that the questions are sound and what they cost a client together, or
// fails with all that is not: what it accepts, build signs.
func (c *metricsCheckCmd) Run(e *env) error {
	file, err := c.load(e)
	if err != nil {
		return err
	}
	key, err := task.GenerateIdentityKey(rand.Reader) // tasks need an owner; this one signs nothing that stays
	if err != nil {
		return fmt.Errorf("checking questions: %w", err)
	}
	if _, err := file.Build(nil, key, e.clock.Now()); err != nil {
		return setup(err)
	}
	sums, err := file.Sums()
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: ok: %d metrics\n%s", c.File, len(file.Metrics), cost.SumsText(sums))
	return nil
}

type metricsBuildCmd struct {
	metricsFile
	Key    string `default:"owner.key" help:"The owner's key, as \"shoal metrics key\" makes it (${default})."`
	Output string `short:"o" default:"tasks.bundle" help:"The bundle to write (${default})."`

	Rehearsal bool          `help:"Build rehearsals of the questions, which only \"shoal simulate --bundle\" answers: they are called rehearsal.NAME."`
	Epoch     time.Duration `placeholder:"5m" help:"With --rehearsal: the length of all epochs, so that it is over soon; from 2m to 24h."`
}

// Run writes the bundle and lists its tasks.
func (c *metricsBuildCmd) Run(e *env) error {
	file, err := c.load(e)
	if err != nil {
		return err
	}
	switch {
	case c.Epoch != 0 && !c.Rehearsal:
		return setup(errors.New("--epoch: only a rehearsal has other epochs than its question; add --rehearsal"))
	case c.Epoch != 0 && (c.Epoch < 2*time.Minute || c.Epoch > 24*time.Hour || c.Epoch%time.Minute != 0):
		return setup(fmt.Errorf("--epoch: %v is not in whole minutes from 2m to 24h", c.Epoch))
	case c.Rehearsal:
		file = file.Rehearsal(c.Epoch)
	}
	key, err := server.LoadIdentity(c.Key)
	if err != nil {
		return setup(err)
	}
	bundle, err := file.Build(nil, key, e.clock.Now())
	if err != nil {
		return setup(err)
	}
	b, err := bundle.Encode()
	if err != nil {
		return fmt.Errorf("building tasks: %w", err)
	}
	if err := durable.WriteFile(durable.OS(), c.Output, b, 0o644); err != nil {
		return setup(fmt.Errorf("writing tasks: %w", err))
	}
	for _, s := range bundle.Tasks {
		t, err := task.Parse(s.Bytes)
		if err != nil {
			return fmt.Errorf("building tasks: %w", err)
		}
		id, err := t.ID()
		if err != nil {
			return fmt.Errorf("building tasks: %w", err)
		}
		fmt.Fprintf(e.stdout, "%s  %s\n", id, t.Metric)
	}
	fmt.Fprintf(e.stdout, "Wrote %s, signed by %s.\n", c.Output, task.FormatPublic(key.Public()))
	return nil
}

type metricsKeyCmd struct {
	File string `arg:"" default:"owner.key" help:"The file to write; it must not exist (${default})."`
}

// Run writes a new key and prints its public half.
func (c *metricsKeyCmd) Run(e *env) error {
	key, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	if err := server.WriteIdentity(c.File, key); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return setup(fmt.Errorf("writing identity key: the folder of %s does not exist", c.File))
		}
		return setup(err)
	}
	fmt.Fprintln(e.stdout, task.FormatPublic(key.Public()))
	return nil
}

// planCmd estimates what questions cost and reveal.
type planCmd struct {
	metricsFile
	Clients  int     `default:"10000" help:"Clients that take part in an epoch (${default})."`
	Reports  float64 `help:"Reports that each sends in an epoch; otherwise all it may."`
	Values   int     `default:"1000" help:"Different crowds among them (${default})."`
	Exponent float64 `default:"1" help:"How unevenly the crowds are used: the exponent of a Zipf law (${default})."`
	JSON     bool    `name:"json" help:"Write JSON."`
}

// Run prints the plan.
func (c *planCmd) Run(e *env) error {
	file, err := c.load(e)
	if err != nil {
		return err
	}
	p := plan.Population{
		Clients: c.Clients, Reports: c.Reports, Values: c.Values, Exponent: c.Exponent,
		ReportSize: func(t *task.Task) int { return esa.ReportSize(t, esa.X25519) },
	}
	plan, err := file.Plan(nil, p)
	if err != nil {
		return setup(err)
	}
	if !c.JSON {
		_, err := fmt.Fprint(e.stdout, plan.Text())
		return err
	}
	b, err := plan.JSON()
	if err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	_, err = fmt.Fprintf(e.stdout, "%s\n", b)
	return err
}
