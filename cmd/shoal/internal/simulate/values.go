package simulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// Values describe what simulated people answer, by metric. What they leave out has a
// default, see [Defaults].
type Values map[string]MetricValues

// MetricValues describe what simulated people answer to one question.
type MetricValues struct {
	// Share is the part of all people that answer in an epoch, 0 to 1.
	Share *float64 `yaml:"share,omitempty"`
	// Records is how many records each of them makes; for the method crowd.
	Records int `yaml:"records,omitempty"`
	// Value is the distribution of their answers; for the method aggregate.
	Value string `yaml:"value,omitempty"`
	// Fields are the distributions of a record's fields; for the method crowd.
	Fields map[string]string `yaml:"fields,omitempty"`
}

// maxRecords bounds the records of one person.
const maxRecords = 1000

// ReadValues reads a file of distributions; name is its name in errors.
func ReadValues(name string, text []byte) (v Values, err error) {
	defer func() {
		if recover() != nil { // the decoder panics on some malformed documents
			v, err = nil, fmt.Errorf("%s: not valid YAML: look for tags (!...) and anchors, which are not needed here", name)
		}
	}()
	if len(text) > 1<<20 {
		return nil, fmt.Errorf("%s: the file has %d bytes, want at most %d", name, len(text), 1<<20)
	}
	if err := yaml.UnmarshalWithOptions(text, &v, yaml.Strict()); err != nil {
		if e, ok := errors.AsType[yaml.Error](err); ok {
			at := e.GetToken()
			if at != nil && at.Position != nil {
				return nil, fmt.Errorf("%s:%d: %s", name, at.Position.Line, e.GetMessage())
			}
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// Set changes one distribution, as METRIC=SPEC or METRIC:FIELD=SPEC.
func (v Values) Set(text string) error {
	name, spec, ok := strings.Cut(text, "=")
	if !ok || name == "" || strings.TrimSpace(spec) == "" {
		return fmt.Errorf("%q: want METRIC=DISTRIBUTION, or METRIC:FIELD=DISTRIBUTION for a record", text)
	}
	metric, field, isField := strings.Cut(name, ":")
	m := v[metric]
	if !isField {
		m.Value = spec
	} else {
		fields := map[string]string{field: spec}
		for k, s := range m.Fields {
			if k != field {
				fields[k] = s
			}
		}
		m.Fields = fields
	}
	v[metric] = m
	return nil
}

// Complete returns v with what it leaves out for the metrics of a file. It fails
// on names that the file does not have, and on what does not fit the metric.
func (v Values) Complete(f *metric.File) (Values, error) {
	out := Values{}
	var names []string
	for _, m := range f.Metrics {
		names = append(names, m.Name)
		t := m.Task()
		mine, err := v[m.Name].complete(&t, m.Ordinary())
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", m.Name, err)
		}
		out[m.Name] = mine
	}
	for name := range v {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("there is no metric %q in %s; it has %s", name, f.Path, strings.Join(names, ", "))
		}
	}
	return out, nil
}

func (m MetricValues) complete(t *task.Task, o metric.Ordinary) (MetricValues, error) {
	if m.Share == nil {
		one := 1.0
		m.Share = &one
	}
	if *m.Share < 0 || *m.Share > 1 {
		return m, fmt.Errorf("share: %g is not from 0 to 1", *m.Share)
	}
	if t.Method == task.Aggregate {
		if m.Records != 0 || len(m.Fields) > 0 {
			return m, errors.New("records and fields are for the method crowd; this one has a value")
		}
		if m.Value == "" {
			words, err := plan.Of(t.Aggregation.Kind)
			if err != nil {
				return m, err
			}
			m.Value = words.Ordinary(o.Largest)
		}
		_, err := m.says(t)
		return m, err
	}
	if m.Value != "" {
		return m, errors.New("value is for the method aggregate; this one has fields (--set METRIC:FIELD=DISTRIBUTION)")
	}
	if m.Records == 0 {
		m.Records = ordinaryRecords(t)
	}
	if m.Records < 1 || m.Records > maxRecords {
		return m, fmt.Errorf("records: %d is not from 1 to %d", m.Records, maxRecords)
	}
	fields := map[string]string{}
	for i := range t.Schema {
		f := &t.Schema[i]
		fields[f.Name] = m.Fields[f.Name]
		if fields[f.Name] == "" {
			fields[f.Name] = ordinaryField(f, o.Fields[f.Name])
		}
	}
	for name := range m.Fields {
		if _, ok := fields[name]; !ok {
			return m, fmt.Errorf("the record has no field %q", name)
		}
	}
	m.Fields = fields
	_, err := m.says(t)
	return m, err
}

// says returns the draw of a person's answer: for the method crowd one record.
func (m MetricValues) says(t *task.Task) (draw, error) {
	if t.Method == task.Aggregate {
		s, err := parseSpec(m.Value)
		if err != nil {
			return nil, fmt.Errorf("value: %w", err)
		}
		d, err := drawAggregate(&t.Aggregation, s)
		if err != nil {
			return nil, fmt.Errorf("value: %w", err)
		}
		return d, nil
	}
	fields := make([]draw, len(t.Schema))
	for i := range t.Schema {
		f := &t.Schema[i]
		s, err := parseSpec(m.Fields[f.Name])
		if err == nil {
			fields[i], err = drawField(f, s)
		}
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	return func(r *rand.Rand) any {
		record := make(map[string]any, len(fields))
		for i, d := range fields {
			record[t.Schema[i].Name] = d(r)
		}
		return record
	}, nil
}

// Text writes v as a file that [ReadValues] reads.
func (v Values) Text() (string, error) {
	b, err := yaml.Marshal(v)
	return string(b), err
}
