package analyzer

import (
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// A Manifest describes the tables of one batch: the question, the rules
// under which it was answered, what became of the reports, and the files.
type Manifest struct {
	Version  int    `json:"version"` // see [ManifestVersion]
	Task     string `json:"task"`
	Metric   string `json:"metric"`
	Question string `json:"question"`
	Owner    string `json:"owner"`

	// Rehearsal reports that only simulated clients answered: see [task.IsRehearsal].
	Rehearsal bool `json:"rehearsal,omitempty"`

	Epoch uint64    `json:"epoch"`
	Start time.Time `json:"start"` // of the epoch
	End   time.Time `json:"end"`

	Batch  string `json:"batch"`
	Digest string `json:"digest"` // of the batch as handed over, hexadecimal

	Parameters Parameters     `json:"parameters"`
	Shuffler   ShufflerCounts `json:"shuffler"`
	Analyzer   Counts         `json:"analyzer"`
	Tables     []Table        `json:"tables"`
}

// Parameters are the rules under which a batch was made.
type Parameters struct {
	// Threshold describes the rule in words, with its numbers.
	Threshold     string             `json:"threshold"`
	MinBatch      uint32             `json:"min_batch"`
	Total         string             `json:"total,omitempty"` // how the minimum is decided and the total disclosed
	Assumes       string             `json:"assumes"`
	SaltEpochs    uint32             `json:"salt_epochs"` // in which reports of a client are counted
	EpochSeconds  uint32             `json:"epoch_seconds"`
	PerEpoch      uint32             `json:"reports_per_client_and_epoch"`       // or salt window
	PerCrowd      uint32             `json:"reports_per_client_crowd_and_epoch"` // or salt window
	CrowdFields   []string           `json:"crowd_fields"`
	Flip          map[string]float64 `json:"flip,omitempty"` // randomised response, a field
	RetentionDays uint32             `json:"retention_days"` // 0: until removed by hand
	// ValuesShown reports that the values table has only the values that some report
	// of the crowd shows: it would have had more than a million rows.
	ValuesShown bool `json:"values_shown_only,omitempty"`
}

// ShufflerCounts are what the shuffler disclosed, under its signature: all of it is
// within the guarantee of the task.
type ShufflerCounts struct {
	// Reports is how many valid reports the batch had, with noise; within
	// Within95 of the truth with a probability of 95 % or more. Both are nil
	// where no number is disclosed: of tasks without noise, and of batches that were
	// handed over by version 1.
	Reports  *uint64 `json:"reports,omitempty"`
	Within95 *uint64 `json:"reports_within_95,omitempty"`
}

// Total returns how many valid reports the batch had, with noise, and the ends of
// an interval that holds the truth with a probability of 95 % or more; false where
// no number is disclosed. There were at least as many as records were released, so a
// number that the noise carried below them is raised to them.
func (m *Manifest) Total() (total, low, high uint64, told bool) {
	c := m.Shuffler
	if c.Reports == nil || c.Within95 == nil {
		return 0, 0, 0, false
	}
	low = max(*c.Reports-min(*c.Reports, *c.Within95), m.Analyzer.Records, uint64(m.Parameters.MinBatch))
	return max(*c.Reports, low), low, max(*c.Reports+*c.Within95, low), true
}

// Counts are what is published of a batch's records. How many rows the batch
// had beside them, which could not be read or were not published, is not among them: a
// single report would show. See [OperatorCounts].
type Counts struct {
	Records uint64        `json:"records"`
	Crowds  uint64        `json:"crowds"`
	Quorum  *QuorumCounts `json:"quorum,omitempty"` // of a task with a quorum
}

// OperatorCounts are what became of the rows of a batch: each is a record or counted
// under one cause. They are exact and so outside the guarantee of a threshold: they go
// to the figures of operation, which are sums over all tasks, and are written nowhere.
type OperatorCounts struct {
	Received uint64            // rows
	Invalid  map[string]uint64 // by cause
	Values   uint64            // different ciphertexts, of a task with a quorum
}

// outcome is what became of a batch.
type outcome struct {
	published Counts
	exact     OperatorCounts
}

// ManifestVersion is the version of the manifests that are written. Of 1 the exact
// counts of the shuffler are not read. Up to 2 the estimates of the values table are
// of the released reports, since 3 of those that reached the shuffler; the intervals
// of 3 hold their numbers for 95 % of the crowds of any size. Up to 3 there are exact
// counts of rows that are no records, which are not read.
const ManifestVersion = 4

// The tables of a batch.
const (
	RecordsTable = "records" // one row a report, in random order
	CountsTable  = "counts"  // one row a crowd
	ValuesTable  = "values"  // one row a crowd and possible value of a set, boolean or enum
)

func shufflerCounts(h esa.BatchHeader, total *dp.Total) ShufflerCounts {
	out := ShufflerCounts{}
	if total != nil && h.Total > 0 {
		within := total.Within95()
		out.Reports, out.Within95 = &h.Total, &within
	}
	return out
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

func parametersOf(t *task.Task, threshold dp.Threshold, total *dp.Total) Parameters {
	p := Parameters{
		Threshold: threshold.String(), Assumes: dp.Assumptions(threshold), SaltEpochs: t.Crowd.SaltEpochs, MinBatch: t.MinBatch, EpochSeconds: t.EpochSeconds, PerEpoch: t.PerEpoch,
		PerCrowd: t.PerCrowd, CrowdFields: []string{}, RetentionDays: t.RetentionDays,
	}
	if total != nil {
		p.Total = total.String()
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
