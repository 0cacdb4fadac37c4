package analyzer

import (
	"time"

	"github.com/shoal-project/shoal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// A Manifest says what the tables of one batch are: the question, the rules
// under which it was answered, what became of the reports, and the files.
type Manifest struct {
	Version  int    `json:"version"` // 1
	Task     string `json:"task"`
	Metric   string `json:"metric"`
	Question string `json:"question"`
	Owner    string `json:"owner"`

	Epoch uint64    `json:"epoch"`
	Start time.Time `json:"start"` // of the epoch
	End   time.Time `json:"end"`

	Batch  string `json:"batch"`
	Digest string `json:"digest"` // of the batch as handed over, hexadecimal

	Parameters Parameters     `json:"parameters"`
	Shuffler   ShufflerCounts `json:"shuffler"`
	Analyzer   AnalyzerCounts `json:"analyzer"`
	Tables     []Table        `json:"tables"`
}

// Parameters are the rules under which a batch was made.
type Parameters struct {
	// Threshold describes the rule in words, with its numbers.
	Threshold     string             `json:"threshold"`
	MinBatch      uint32             `json:"min_batch"`
	EpochSeconds  uint32             `json:"epoch_seconds"`
	PerEpoch      uint32             `json:"reports_per_client_and_epoch"`
	PerCrowd      uint32             `json:"reports_per_client_crowd_and_epoch"`
	CrowdFields   []string           `json:"crowd_fields"`
	Flip          map[string]float64 `json:"flip,omitempty"` // randomised response, a field
	RetentionDays uint32             `json:"retention_days"` // 0: until removed by hand
}

// ShufflerCounts are what the shuffler said, under its signature.
type ShufflerCounts struct {
	Received          uint64            `json:"received"`
	Duplicate         uint64            `json:"duplicate"`
	Invalid           map[string]uint64 `json:"invalid"` // by cause
	SuppressedCrowds  uint64            `json:"suppressed_crowds"`
	SuppressedReports uint64            `json:"suppressed_reports"`
	Dropped           uint64            `json:"dropped"` // as noise, from released crowds
	Released          uint64            `json:"released"`
}

// AnalyzerCounts are what became of the reports at the analyzer: each is a record
// or stands under one cause.
type AnalyzerCounts struct {
	Received uint64            `json:"received"`
	Invalid  map[string]uint64 `json:"invalid"` // by cause
	Records  uint64            `json:"records"`
	Crowds   uint64            `json:"crowds"`
	Quorum   *QuorumCounts     `json:"quorum,omitempty"` // of a task with a quorum
}

// The tables of a batch.
const (
	RecordsTable = "records" // one row a report, in random order
	CountsTable  = "counts"  // one row a crowd
	ValuesTable  = "values"  // one row a crowd and possible value of a set, boolean or enum
)

func shufflerCounts(c esa.Counts) ShufflerCounts {
	return ShufflerCounts{
		Received: c.Received, Duplicate: c.Duplicate, Invalid: byCause(c.Invalid),
		SuppressedCrowds: c.SuppressedCrowds, SuppressedReports: c.SuppressedReports,
		Dropped: c.Dropped, Released: c.Released,
	}
}

// byCause names the causes that occurred.
func byCause(counts [esa.NumCauses + 1]uint64) map[string]uint64 {
	named := map[string]uint64{}
	for cause, n := range counts {
		if n > 0 {
			named[esa.Cause(cause).String()] = n
		}
	}
	return named
}

func parametersOf(t *task.Task, threshold string) Parameters {
	p := Parameters{
		Threshold: threshold, MinBatch: t.MinBatch, EpochSeconds: t.EpochSeconds, PerEpoch: t.PerEpoch,
		PerCrowd: t.PerCrowd, CrowdFields: []string{}, RetentionDays: t.RetentionDays,
	}
	for _, i := range crowdFields(t) {
		p.CrowdFields = append(p.CrowdFields, t.Schema[i].Name)
	}
	for _, f := range t.Schema {
		if f.Flip == 0 {
			continue
		}
		if p.Flip == nil {
			p.Flip = map[string]float64{}
		}
		p.Flip[f.Name] = float64(f.Flip) / 1e6
	}
	return p
}

// crowdFields returns the indexes of the fields that make a crowd.
func crowdFields(t *task.Task) []int {
	var fields []int
	switch t.Crowd.Kind {
	case task.Attributes:
		for _, i := range t.Crowd.Fields {
			fields = append(fields, int(i))
		}
	case task.Payload:
		for i := range t.Schema {
			fields = append(fields, i)
		}
	}
	return fields
}
