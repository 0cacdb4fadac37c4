package dap

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"

	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// A TaskConfiguration is what all parties of a task agree on (section "Task
// Configuration"). Its encoding is bound into every share; it never changes.
type TaskConfiguration struct {
	TaskInfo      []byte // up to 255 bytes; one at least, but in draft-19 and Janus
	Leader        string // endpoint URL, never altered, not even by a slash
	Helper        string // endpoint URL
	TimePrecision TimePrecision
	MinBatchSize  uint64 // reports
	BatchMode     BatchMode
	BatchConfig   []byte // empty in both modes
	VDAF          uint32 // algorithm identifier
	VDAFConfig    []byte
	Extensions    []Extension // strictly increasing types
}

// TaskInfo returns the task_info by which a DAP task belongs to a Shoal task:
// the 32 bytes of its ID.
func TaskInfo(id task.ID) []byte { return id[:] }

// ShoalTask returns the ID of the Shoal task that the DAP task belongs to, false
// if its task_info has not the form of one.
func (c *TaskConfiguration) ShoalTask() (task.ID, bool) {
	if len(c.TaskInfo) != len(task.ID{}) {
		return task.ID{}, false
	}
	return task.ID(c.TaskInfo), true
}

// TaskprovID returns the task ID that follows from an encoded configuration
// (draft-ietf-ppm-dap-taskprov): SHA-256(SHA-256("dap-taskprov task id") ||
// configuration). Shoal's own DAP tasks have such IDs.
func TaskprovID(configuration []byte) TaskID {
	domain := sha256.Sum256([]byte("dap-taskprov task id"))
	return sha256.Sum256(append(domain[:], configuration...))
}

// SetVDAF sets the VDAF, which must have two shares.
func (c *TaskConfiguration) SetVDAF(in vdaf.Instance) error {
	if in.Shares() != 2 {
		return fmt.Errorf("%s has %d shares, want 2 for leader and helper", in.Name(), in.Shares())
	}
	c.VDAF, c.VDAFConfig = in.ID(), in.Config()
	return nil
}

// Instance returns the VDAF. It fails with the errors of [vdaf.ParseConfig].
func (c *TaskConfiguration) Instance() (vdaf.Instance, error) {
	return vdaf.ParseConfig(c.VDAF, c.VDAFConfig)
}

// IntervalExtension returns the task extension that bounds the times of reports.
func IntervalExtension(i Interval) Extension {
	return Extension{Type: TaskInterval, Data: encodeInterval(i)}
}

// Interval returns the interval of the extension [TaskInterval], false without
// one. It fails with [ErrMalformed] or [ErrTime].
func (c *TaskConfiguration) Interval() (Interval, bool, error) {
	for _, e := range c.Extensions {
		if e.Type != TaskInterval {
			continue
		}
		i, err := parseInterval(e.Data)
		if err != nil {
			return Interval{}, false, fmt.Errorf("task interval: %w", err)
		}
		if err := i.Validate(); err != nil {
			return Interval{}, false, fmt.Errorf("task interval: %w", err)
		}
		return i, true, nil
	}
	return Interval{}, false, nil
}

// Validate reports the first reason why this package must not take part in such
// a task: a value without meaning, or one that is not known here. Whether
// task_info may be empty is for the codec.
func (c *TaskConfiguration) Validate() error {
	if err := validEndpoint(c.Leader); err != nil {
		return fmt.Errorf("leader endpoint: %w", err)
	}
	if err := validEndpoint(c.Helper); err != nil {
		return fmt.Errorf("helper endpoint: %w", err)
	}
	if c.TimePrecision == 0 || c.TimePrecision > maxSeconds {
		return fmt.Errorf("time precision of %d s, want 1 to %d", c.TimePrecision, uint64(maxSeconds))
	}
	if c.MinBatchSize == 0 {
		return errors.New("minimum batch size 0, want at least 1")
	}
	if c.BatchMode != TimeIntervalMode && c.BatchMode != LeaderSelectedMode {
		return fmt.Errorf("%v is not known", c.BatchMode)
	}
	if len(c.BatchConfig) > 0 {
		return fmt.Errorf("%v with a configuration of %d bytes, want none", c.BatchMode, len(c.BatchConfig))
	}
	if err := increasing(c.Extensions); err != nil {
		return err
	}
	for _, e := range c.Extensions {
		if e.Type != TaskInterval && e.Type != TaskNoise {
			return fmt.Errorf("task extension %d is not known", e.Type)
		}
	}
	if _, _, err := c.Interval(); err != nil {
		return err
	}
	in, err := c.Instance()
	if err != nil {
		return err
	}
	noise, err := c.Noise()
	if err != nil {
		return err
	}
	return checkNoise(noise, in)
}

func validEndpoint(s string) error {
	for _, b := range []byte(s) {
		if b <= ' ' || b > '~' {
			return fmt.Errorf("%q is not printable ASCII without spaces", s)
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("not a URL: %w", err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q: want an http or https URL with a host, without query and fragment", s)
	}
	return nil
}

func (c *TaskConfiguration) unmarshal(r *reader) {
	c.TaskInfo = r.opaque8("task info", r.codec.variant.leastTaskInfo())
	c.Leader = string(r.opaque16("leader endpoint", 1, 1<<16-1))
	c.Helper = string(r.opaque16("helper endpoint", 1, 1<<16-1))
	c.TimePrecision = TimePrecision(r.u64("time precision"))
	c.MinBatchSize = r.u64("minimum batch size")
	c.BatchMode = BatchMode(r.u8("batch mode"))
	c.BatchConfig = r.opaque16("batch configuration", 0, 1<<16-1)
	c.VDAF = r.u32("VDAF")
	c.VDAFConfig = r.opaque16("VDAF configuration", 0, 1<<16-1)
	c.Extensions = unmarshalExtensions(r)
}

func (c *TaskConfiguration) marshal(w *writer) {
	w.opaque8("task info", w.codec.variant.leastTaskInfo(), c.TaskInfo)
	w.opaque16("leader endpoint", 1, []byte(c.Leader))
	w.opaque16("helper endpoint", 1, []byte(c.Helper))
	w.u64(uint64(c.TimePrecision))
	w.u64(c.MinBatchSize)
	w.u8(uint8(c.BatchMode))
	w.opaque16("batch configuration", 0, c.BatchConfig)
	w.u32(c.VDAF)
	w.opaque16("VDAF configuration", 0, c.VDAFConfig)
	marshalExtensions(w, c.Extensions)
}

func (v *Variant) leastTaskInfo() int {
	if v.emptyTaskInfo {
		return 0
	}
	return 1
}

// DeriveVerifyKey returns the VDAF verification key of a task from a seed of 32
// bytes or more that only leader and helper know (section "VDAF Verification Key
// Requirements"). One seed serves many tasks.
func DeriveVerifyKey(seed []byte, id TaskID) (*vdaf.VerifyKey, error) {
	if len(seed) < 32 {
		return nil, fmt.Errorf("verification key seed of %d bytes, want at least 32", len(seed))
	}
	b, err := hkdf.Key(sha256.New, seed, []byte("verify_key"), string(id[:]), len(vdaf.VerifyKey{}))
	if err != nil {
		return nil, fmt.Errorf("deriving verification key: %w", err)
	}
	key := vdaf.VerifyKey(b)
	return &key, nil
}
