package plan

import (
	"errors"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// A Population is what a plan assumes about the clients that will answer.
type Population struct {
	Clients  int     // that take part in an epoch
	Reports  float64 // that each sends in an epoch; 0 means all it may
	Values   int     // different crowds; fewer are assumed where the schema allows no more
	Exponent float64 // the crowd of rank r is as likely as r to the minus this (Zipf)

	// ReportSize returns the length in bytes of a report of a task. It is
	// esa.ReportSize with the KEM in use; nil leaves the figure out.
	ReportSize func(*task.Task) int
}

// UsualPopulation returns the figures that plans assume by default.
func UsualPopulation() Population {
	return Population{Clients: 10_000, Values: 1000, Exponent: 1}
}

const (
	maxValues  = 10_000_000
	maxClients = 1_000_000_000
)

// Validate returns an error for a population that no plan can be made for.
func (p Population) Validate() error {
	if p.Clients < 1 || p.Clients > maxClients || p.Values < 1 || p.Values > maxValues {
		return fmt.Errorf("population: %d clients and %d crowds, want 1 to %d and 1 to %d", p.Clients, p.Values, maxClients, maxValues)
	}
	if !(p.Exponent >= 0 && p.Exponent <= 10) || !(p.Reports >= 0) {
		return errors.New("population: want a Zipf exponent from 0 to 10 and no negative number of reports")
	}
	return nil
}

// A Forecast is what a population's answer will look like on the average, if
// each client's reports are drawn independently and those beyond its cap for a
// crowd are not sent.
type Forecast struct {
	Clients       int     `json:"clients"`
	Reports       float64 `json:"reports"` // that are sent, in a batch
	Values        int     `json:"values"`
	Exponent      float64 `json:"exponent"`
	Crowds        float64 `json:"crowds"`          // different ones in a batch
	Released      float64 `json:"released"`        // of them
	ReportsKept   float64 `json:"reports_kept"`    // that reach the table
	CrowdShare    float64 `json:"crowd_share"`     // Released / Crowds
	ReportShare   float64 `json:"report_share"`    // ReportsKept / Reports
	SureSize      uint64  `json:"sure_size"`       // reports of the smallest crowd that is released with probability 0.95
	BelowMinBatch bool    `json:"below_min_batch"` // the batch would be destroyed
}

// foretell computes the forecast of a task under its threshold.
func foretell(t *task.Task, rule dp.Threshold, p Population) Forecast {
	perClient := float64(t.PerEpoch)
	if p.Reports > 0 {
		perClient = min(perClient, p.Reports)
	}
	out := Forecast{Clients: p.Clients, Values: min(p.Values, possibleCrowds(t)), Exponent: p.Exponent}
	wanted, most := perClient*float64(p.Clients), float64(t.PerCrowd)*float64(p.Clients)
	s := newSurvival(t.Threshold, rule)
	out.SureSize = s.sure()
	weight := func(rank int) float64 { return math.Pow(float64(rank), -p.Exponent) }
	total := 0.0
	for rank := range out.Values {
		total += weight(rank + 1)
	}
	// Ranks of nearly the same weight are taken together.
	for rank := 1; rank <= out.Values; {
		next := min(rank+1+rank/200, out.Values+1)
		mean := min(most, wanted*weight((rank+next-1)/2)/total)
		released, kept := s.poisson(mean)
		n := float64(next - rank)
		out.Reports += n * mean
		out.Crowds += n * -math.Expm1(-mean)
		out.Released += n * released
		out.ReportsKept += n * kept
		rank = next
	}
	out.Reports = min(wanted, out.Reports) // taking ranks together errs by a part in 5000
	out.BelowMinBatch = out.Reports < float64(t.MinBatch)
	out.CrowdShare = min(1, out.Released/out.Crowds)
	out.ReportShare = min(1, out.ReportsKept/out.Reports)
	return out
}

// possibleCrowds bounds how many different crowds the schema allows.
func possibleCrowds(t *task.Task) int {
	if t.Crowd.Kind == task.Constant {
		return 1
	}
	if t.Crowd.Kind == task.Payload {
		return maxValues
	}
	bits := 0.0
	for _, i := range t.Crowd.Fields {
		f := &t.Schema[i]
		if IsText(f) {
			return maxValues
		}
		bits += fieldBits(f, int(f.Max))
	}
	return int(min(maxValues, math.Round(math.Exp2(bits))))
}

// A survival holds the probability of release by the size of a crowd: 0 below
// the table, 1 beyond it.
type survival struct {
	release []float64
	bias    float64
}

func newSurvival(h task.Threshold, rule dp.Threshold) survival {
	end := uint64(h.T) + uint64(h.D) + uint64(10*h.SigmaMilli/1000) + 2
	s := survival{bias: rule.Bias()}
	for n := range end {
		s.release = append(s.release, rule.Survival(n))
	}
	return s
}

func (s survival) at(n int) float64 {
	if n < len(s.release) {
		return s.release[n]
	}
	return 1
}

// sure returns the smallest size that is released with probability 0.95.
func (s survival) sure() uint64 {
	for n, p := range s.release {
		if p >= 0.95 {
			return uint64(n)
		}
	}
	return uint64(len(s.release))
}

// poisson returns the chance that a crowd whose size is Poisson distributed
// with the given mean is released, and how many of its reports are kept.
func (s survival) poisson(mean float64) (released, kept float64) {
	reach := 8*math.Sqrt(mean) + 10
	if mean-reach > float64(len(s.release)) {
		return 1, mean - s.bias
	}
	for n := int(max(0, mean-reach)); n <= int(mean+reach); n++ {
		gamma, _ := math.Lgamma(float64(n) + 1)
		p := math.Exp(float64(n)*math.Log(mean)-mean-gamma) * s.at(n)
		released += p
		kept += p * max(0, float64(n)-s.bias)
	}
	return released, kept
}
