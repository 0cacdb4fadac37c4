package collector

import (
	"time"

	"github.com/shoal-project/shoal/internal/release"
)

// A Manifest describes the table of one batch: the question, the rules under
// which it was answered, and the file.
type Manifest struct {
	Version  int    `json:"version"` // 1
	Route    string `json:"route"`   // "aggregate"
	Task     string `json:"task"`
	DAPTask  string `json:"dap_task"`
	Metric   string `json:"metric"`
	Question string `json:"question,omitempty"`
	Owner    string `json:"owner,omitempty"`

	// Rehearsal is true if only simulated clients answered: see task.IsRehearsal.
	Rehearsal bool `json:"rehearsal,omitempty"`

	Epoch uint64    `json:"epoch"`
	Start time.Time `json:"start"` // of what was asked for; of the reports where the leader chose the batch
	End   time.Time `json:"end"`

	Batch  string `json:"batch"`  // the collection job
	Digest string `json:"digest"` // SHA-256 of the leader's answer, hexadecimal

	Parameters Parameters      `json:"parameters"`
	Reports    uint64          `json:"reports"`
	Missing    string          `json:"missing,omitempty"` // what the leader reports as not in the result
	Tables     []release.Table `json:"tables"`
}

// Parameters are the rules under which a batch was made.
type Parameters struct {
	Variant       string  `json:"variant"`
	VDAF          string  `json:"vdaf"`
	Kind          string  `json:"kind"`
	Presence      string  `json:"presence,omitempty"`
	MinBatch      uint64  `json:"min_batch"`
	EpochSeconds  uint32  `json:"epoch_seconds,omitempty"`
	Noise         string  `json:"noise"`        // in words; "none" if the sums are exact
	Deviation     float64 `json:"noise_stddev"` // of leader's and helper's noise together, in units of the sum
	RetentionDays uint32  `json:"retention_days"`
}

// Expires returns until when the table is kept, in Unix seconds; 0 is for ever.
func (m *Manifest) Expires() int64 {
	if m.Parameters.RetentionDays == 0 {
		return 0
	}
	return m.End.AddDate(0, 0, int(m.Parameters.RetentionDays)).Unix()
}
