package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/interop"
	"github.com/shoal-project/shoal/internal/dap/interop/golden"
)

// write writes the record of a trial: what another implementation has sent or got,
// and what our roles need to repeat their part.
func (m *matrix) write(p golden.Pairing, setting interop.Setting, mode dap.BatchMode, o *interop.Outcome, all []golden.Exchange) error {
	f := golden.File{
		Source: m.cmd.Source, Recorded: time.Now().UTC().Truncate(time.Second), Pairing: p, Setting: setting, Task: o.Task, Start: o.Start,
		VerifyKey: o.VerifyKey,
	}
	helper := m.helper
	if p.Async {
		helper = m.later
	}
	id, err := dap.ParseTaskID(fmt.Sprint(o.Task["task_id"]))
	if err != nil {
		return err
	}
	var errs [3]error
	if p.Collector == golden.Ours {
		f.CollectorKey, errs[0] = m.collector.Key(id).Text()
	}
	if p.Leader == golden.Ours {
		f.LeaderKey, errs[1] = m.leader.Keyring(dap.Leader).Keys()[0].Key.Text()
	}
	if p.Helper == golden.Ours {
		f.HelperKey, errs[2] = helper.Keyring(dap.Helper).Keys()[0].Key.Text()
	}
	if i := slices.IndexFunc(errs[:], func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	// What our leader and our helper exchange, and requests for keys among our own
	// parties, show nothing of the other implementation.
	parts := map[string]string{"client": p.Client, "collector": p.Collector, "leader": p.Leader, "helper": p.Helper}
	for _, e := range all {
		foreign := parts[e.From] == golden.Janus || parts[e.To] == golden.Janus
		if foreign || e.To == "leader" && e.Path != dap.HpkeConfigPath {
			f.Exchanges = append(f.Exchanges, e)
		}
	}
	if err := os.MkdirAll(m.cmd.Record, 0o755); err != nil {
		return err
	}
	name := strings.ReplaceAll(strings.ToLower(fmt.Sprintf("%v_%s_%v.json", p, setting.Name, mode)), " ", "-")
	return f.Write(filepath.Join(m.cmd.Record, name))
}
