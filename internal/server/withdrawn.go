package server

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// A servedBundle is a bundle that is configured, or that was and has tasks that are
// still served. A copy is kept in the data folder: when the file is replaced, the
// reports that were acknowledged for its tasks must still be counted.
type servedBundle struct {
	name  string // of the copy
	text  []byte // nil: no longer configured
	since time.Time
	needs bool // no longer configured, and a task of it is served
}

// The suffixes in the folder of served bundles.
const (
	bundleSuffix    = ".bundle"
	withdrawnSuffix = ".withdrawn" // beside a copy: since when it is not configured, in Unix seconds
)

func (c Config) servedDir() string { return filepath.Join(c.Data, "served") }

func servedName(bundle []byte) string {
	digest := sha256.Sum256(bundle)
	return hex.EncodeToString(digest[:16])
}

// loadWithdrawn admits the tasks that were served, that no bundle names any more, and
// whose last batch is not closed.
func (r *registry) loadWithdrawn(now time.Time) error {
	entries, err := os.ReadDir(r.config.servedDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing tasks that were served: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), bundleSuffix)
		if !ok || slices.ContainsFunc(r.bundles, func(b servedBundle) bool { return b.name == name }) {
			continue
		}
		b := servedBundle{name: name, since: now}
		if b.since, err = r.withdrawnSince(name, now); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(r.config.servedDir(), e.Name()))
		if err != nil {
			return fmt.Errorf("reading tasks that were served: %w", err)
		}
		bundle, err := task.ParseBundle(text)
		if err != nil {
			return fmt.Errorf("reading tasks that were served: %s: %w", e.Name(), err)
		}
		for _, signed := range bundle.Tasks {
			left := r.withdrawn(signed, b.since, now)
			b.needs = b.needs || len(left) > 0
			r.enter(left)
		}
		r.bundles = append(r.bundles, b)
	}
	return nil
}

func (r *registry) withdrawnSince(name string, now time.Time) (time.Time, error) {
	text, err := os.ReadFile(filepath.Join(r.config.servedDir(), name+withdrawnSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return now, nil
	}
	if err != nil {
		return now, fmt.Errorf("reading tasks that were served: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return now, nil // served for longer, rather than not at all
	}
	return time.Unix(seconds, 0), nil
}

// withdrawn returns the parts in a task that are not over. The task was admitted when
// its bundle was configured: floors and owners that have changed since do not concern
// the reports that it has taken.
func (r *registry) withdrawn(s *task.Signed, since, now time.Time) []Task {
	parsed, err := task.Parse(s.Bytes)
	if err != nil {
		return nil
	}
	hops, err := r.hopsOf(parsed)
	if err != nil {
		return nil
	}
	t, id, err := s.Open([]ed25519.PublicKey{parsed.Owner})
	if err != nil {
		return nil
	}
	var left []Task
	for _, hop := range hops {
		if _, known := r.places[place{id, hop}]; known {
			continue
		}
		until := r.withdrawnUntil(t, partyAt(t, hop).Role, since)
		if end, ends := r.over(t, partyAt(t, hop).Role); now.After(until) || ends && now.After(end) {
			continue
		}
		left = append(left, Task{ID: id, Task: t, Signed: s, Hop: hop, Until: until})
	}
	return left
}

// withdrawnUntil returns when the last batch that a report could have been sent for,
// and the batches into which it may be carried over, are closed and handed over.
func (r *registry) withdrawnUntil(t *task.Task, role task.Role, since time.Time) time.Time {
	span := uint64(max(1, t.Crowd.SaltEpochs))
	last := task.Epoch((uint64(t.EpochAt(since))/span+1)*span - 1)
	end := t.Closes(last).Add(r.config.Keys.Grace.D())
	if role == task.Leader || role == task.Helper || role == task.Collector {
		end = end.Add(r.config.Aggregates.Expiry.D())
	}
	return end
}

// remember keeps copies of the bundles that are configured, notes since when others
// are not, and removes those that are not needed any more. It returns how many are new
// and how many were removed.
func (r *registry) remember() (came, went int, err error) {
	dir := r.config.servedDir()
	if err := durable.OS().MkdirAll(dir, 0o700); err != nil {
		return 0, 0, fmt.Errorf("keeping tasks: %w", err)
	}
	for _, b := range r.bundles {
		copied, mark := filepath.Join(dir, b.name+bundleSuffix), filepath.Join(dir, b.name+withdrawnSuffix)
		var err error
		switch {
		case b.text != nil:
			if _, missing := os.Stat(copied); missing != nil {
				came++
				err = writePrivate(copied, b.text)
			}
			err = errors.Join(err, removeAny(mark))
		case b.needs:
			err = writePrivate(mark, fmt.Appendln(nil, b.since.Unix()))
		default:
			went++
			err = errors.Join(removeAny(copied), removeAny(mark))
		}
		if err != nil {
			return came, went, fmt.Errorf("keeping tasks: %w", err)
		}
	}
	return came, went, nil
}

// removeAny removes a file that may not be there.
func removeAny(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// takesNoReports reports whether a task is served only for what it has taken.
func (s *Server) takesNoReports(id task.ID) bool {
	t, ok := s.task(id)
	return ok && !t.Until.IsZero()
}
