package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// restoredFile, beside the keys, records when the organisation's data was last put
// back from a backup, or given up. What counted between the backup and that moment
// is forgotten, so that an aggregator counts no report from before it ever again.
const restoredFile = "restored.json"

func (c Config) restoredPath() string { return filepath.Join(c.Keys.Dir, restoredFile) }

type restoredDocument struct {
	Version  int       `json:"version"`
	Restored time.Time `json:"restored"`
	Backup   time.Time `json:"backup,omitzero"` // when the backup was made
}

// readRestored returns the moment, or zero.
func readRestored(c Config) (time.Time, error) {
	b, err := os.ReadFile(c.restoredPath())
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reading when data was restored: %w", err)
	}
	var d restoredDocument
	if err := json.Unmarshal(b, &d); err != nil || d.Version != 1 || d.Restored.IsZero() {
		return time.Time{}, fmt.Errorf("reading when data was restored: %s is damaged or of a newer version: write {\"version\": 1, \"restored\": \"TIME\"} with a time after the last restore", c.restoredPath())
	}
	return d.Restored, nil
}

// markRestored makes the moment durable. An earlier one is replaced.
func markRestored(c Config, now, backup time.Time) error {
	b, err := json.Marshal(restoredDocument{1, now.UTC(), backup.UTC()})
	if err != nil {
		return err
	}
	if err := writePrivate(c.restoredPath(), append(b, '\n')); err != nil {
		return fmt.Errorf("writing when data was restored: %w", err)
	}
	return nil
}

// openRestored notes that data is given up, if it is, and reads when that, or a
// restore, was last.
func (s *Server) openRestored(givenUp bool) (err error) {
	if givenUp {
		if err := markRestored(s.config, s.o.Clock.Now(), time.Time{}); err != nil {
			return err
		}
	}
	if s.restored, err = readRestored(s.config); err != nil {
		return err
	}
	if !s.restored.IsZero() && s.config.aggregates() {
		s.o.Logger.Info("this organisation was restored, or given new data: reports of aggregate questions from before then are not counted", "at", s.restored)
	}
	return nil
}

// longestSkew is how far ahead of the clock a report's time may be that was
// counted: the most that any task tolerates, at least ten minutes.
func (s *Server) longestSkew() time.Duration {
	longest := 10 * time.Minute
	for _, t := range s.Tasks() {
		longest = max(longest, time.Duration(t.Task.ClockSkew)*time.Second)
	}
	return longest
}
