package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
)

// taskCmd manages the tasks that an organisation serves.
type taskCmd struct {
	Add     taskAddCmd     `cmd:"" help:"Add the tasks of a bundle."`
	List    taskListCmd    `cmd:"" help:"List the tasks that are served."`
	Show    taskShowCmd    `cmd:"" help:"Show a task in full."`
	Disable taskDisableCmd `cmd:"" help:"Disable an aggregate task before it expires."`
}

// A taskView is a task as the management API shows it.
type taskView struct {
	ID        string    `json:"id"`
	Metric    string    `json:"metric"`
	Question  string    `json:"question"`
	Owner     string    `json:"owner"`
	OwnerKey  string    `json:"owner_key"`
	Method    string    `json:"method"`
	Role      string    `json:"role"`
	State     string    `json:"state"`
	Epoch     int64     `json:"epoch_seconds"`
	MinBatch  int64     `json:"min_batch"`
	Threshold string    `json:"threshold"`
	Kind      string    `json:"kind"`
	Noise     string    `json:"noise"`
	Presence  string    `json:"presence"`
	DAPTask   string    `json:"dap_task"`
	NotBefore time.Time `json:"not_before"`
	Expires   time.Time `json:"expires"`
	Consent   string    `json:"consent"`
	Hops      []struct {
		Role     string `json:"role"`
		URL      string `json:"url"`
		Identity string `json:"identity"`
	} `json:"hops"`
}

type taskList struct {
	Tasks []taskView `json:"tasks"`
}

type taskAddCmd struct {
	configFlag
	Bundle string `arg:"" type:"existingfile" help:"A file that \"shoal metrics build\" has written."`
}

// Run adds the tasks of a bundle: to the running server, or for its next start.
func (c *taskAddCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	bundle, err := os.ReadFile(c.Bundle)
	if err != nil {
		return setup(err)
	}
	m, err := c.manage(e, config, server.ScopeTasks)
	if errors.Is(err, errNotRunning) {
		added, err := server.AddTasks(config, bundle, e.clock.Now())
		if err != nil {
			return setup(err)
		}
		for _, t := range added {
			fmt.Fprintf(e.stdout, "%s: as %s, from the server's next start\n", t.Task.Metric, t.Role())
		}
		return c.nothing(e, config, bundle, len(added))
	}
	if err != nil {
		return setup(err)
	}
	var list taskList
	if err := errors.Join(m.do(e.ctx, http.MethodPost, "/api/v1/tasks", bundle, &list), m.close()); err != nil {
		return setup(fmt.Errorf("adding tasks: %w", err))
	}
	for _, t := range list.Tasks {
		fmt.Fprintf(e.stdout, "%s: as %s, %s\n", t.Metric, t.Role, t.State)
	}
	return c.nothing(e, config, bundle, len(list.Tasks))
}

// nothing explains why no task was added, and warns if the bundle is of no use here.
func (*taskAddCmd) nothing(e *env, config server.Config, bundle []byte, added int) error {
	if added > 0 {
		return nil
	}
	why, err := server.UselessBundle(config, bundle, e.clock.Now())
	if err != nil {
		return setup(err)
	}
	if why == "" {
		fmt.Fprintln(e.stdout, "The bundle's tasks for this organisation are served already.")
		return nil
	}
	fmt.Fprintf(e.stdout, "Nothing was added.\n")
	fmt.Fprintf(e.stderr, "shoal: warning: %s\n", why)
	return nil
}

type taskListCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the tasks.
func (c *taskListCmd) Run(e *env) error {
	list, err := c.tasks(e)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(e, list)
	}
	for _, t := range list.Tasks {
		fmt.Fprintf(e.stdout, "%s  %s, as %s: %s\n", t.ID, t.Metric, t.Role, t.State)
	}
	return nil
}

// tasks asks the running server for its tasks.
func (f configFlag) tasks(e *env) (*taskList, error) {
	config, err := f.load()
	if err != nil {
		return nil, err
	}
	m, err := f.manage(e, config, server.ScopeRead)
	if err != nil {
		return nil, setup(err)
	}
	list := new(taskList)
	err = errors.Join(m.do(e.ctx, http.MethodGet, "/api/v1/tasks", nil, list), m.close())
	if err != nil {
		return nil, fmt.Errorf("listing tasks: %w", err)
	}
	return list, nil
}

func writeJSON(e *env, v any) error {
	j := json.NewEncoder(e.stdout)
	j.SetIndent("", "  ")
	return j.Encode(v)
}

type taskShowCmd struct {
	configFlag
	Task string `arg:"" help:"The task's ID, or the metric's name."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run shows a task, once for each role.
func (c *taskShowCmd) Run(e *env) error {
	list, err := c.tasks(e)
	if err != nil {
		return err
	}
	found := 0
	for _, t := range list.Tasks {
		if t.ID != c.Task && t.Metric != c.Task {
			continue
		}
		found++
		if c.JSON {
			if err := writeJSON(e, t); err != nil {
				return err
			}
			continue
		}
		t.write(e)
	}
	if found == 0 {
		return setup(fmt.Errorf("there is no task %q; \"shoal task list\" shows what there is", c.Task))
	}
	return nil
}

func (t *taskView) write(e *env) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(e.stdout, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("metric", "%s", t.Metric)
	line("question", "%s", t.Question)
	line("asked by", "%s (%s)", t.Owner, t.OwnerKey)
	line("task", "%s", t.ID)
	if t.DAPTask != "" {
		line("DAP task", "%s", t.DAPTask)
	}
	line("state", "as %s: %s", t.Role, t.State)
	if t.Method == "aggregate" {
		line("answered by", "a %s of at least %d reports", t.Kind, t.MinBatch)
		line("noise", "%s", t.Noise)
		line("presence", "%s", t.Presence)
	} else {
		line("threshold", "%s, of at least %d reports", t.Threshold, t.MinBatch)
	}
	line("every", "%s, until %s", time.Duration(t.Epoch)*time.Second, t.Expires.Format(time.DateOnly))
	for _, h := range t.Hops {
		line(h.Role, "%s", strings.TrimSpace(h.URL+" "+h.Identity))
	}
}

type taskDisableCmd struct {
	configFlag
	Task string `arg:"" help:"The task's ID, or the metric's name."`
}

// Run ends a task at a leader or a helper.
func (c *taskDisableCmd) Run(e *env) error {
	list, err := c.tasks(e)
	if err != nil {
		return err
	}
	id, err := list.find(c.Task)
	if err != nil {
		return setup(err)
	}
	config, err := c.load()
	if err != nil {
		return err
	}
	m, err := c.manage(e, config, server.ScopeTasks)
	if err != nil {
		return setup(err)
	}
	var t taskView
	err = errors.Join(m.do(e.ctx, http.MethodPost, "/api/v1/tasks/"+id+"/disable", nil, &t), m.close())
	if err != nil {
		return setup(fmt.Errorf("disabling %q: %w", c.Task, err))
	}
	fmt.Fprintf(e.stdout, "%s: as %s, %s\n", t.Metric, t.Role, t.State)
	return nil
}

// find returns the ID of the one task that is called so.
func (l *taskList) find(name string) (string, error) {
	if _, err := task.ParseID(name); err == nil {
		return name, nil
	}
	id := ""
	for _, t := range l.Tasks {
		if t.Metric != name || t.ID == id {
			continue
		}
		if id != "" {
			return "", fmt.Errorf("%q has several tasks: name one by its ID", name)
		}
		id = t.ID
	}
	if id == "" {
		return "", fmt.Errorf("there is no task %q; \"shoal task list\" shows what there is", name)
	}
	return id, nil
}
