package tasks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/vdaf"
)

// An Entry is a task as one aggregator serves it. It prints redacted.
type Entry struct {
	ID      dap.TaskID
	Variant string   // dap-18, dap-19 or janus
	Config  []byte   // encoded TaskConfiguration, verbatim
	Role    dap.Role // Leader or Helper

	VerifyKeys map[dap.VerificationKeyID]vdaf.VerifyKey // at least one
	VerifyWith dap.VerificationKeyID                    // what the leader's new jobs use

	Inbound         []auth.Hash    // the helper's: tokens of the leader
	CollectorTokens []auth.Hash    // the leader's: tokens of the collector
	Outbound        auth.Token     // the leader's: token for the helper
	Former          []auth.Token   // tokens before Outbound, the newest first, until the helper has accepted that; at most MaxFormer
	OutboundHeader  string         // "" for a bearer token, or auth.Header
	Collector       dap.HpkeConfig // aggregate shares are sealed to it

	Leeway time.Duration // how far ahead of the clock reports may be
	Grace  time.Duration // how long after its end a batch is collected: the longest send delay
	Expiry time.Duration // how long report IDs and batches are kept after their time; 0: always

	Disabled  bool   // no uploads, jobs or collections any more
	ShoalTask []byte // the bytes of the Shoal task, nil for a foreign one
}

// MaxFormer is how many tokens before [Entry.Outbound] an entry keeps.
const MaxFormer = 4

// Renew makes token what is sent to the helper. What was sent before is kept until
// the helper has accepted the new one: it may not know that yet.
func (e *Entry) Renew(token auth.Token) {
	former := slices.DeleteFunc(append([]auth.Token{e.Outbound}, e.Former...), func(t auth.Token) bool {
		return t.IsZero() || t.Matches([]auth.Hash{token.Hash()})
	})
	e.Former = former[:min(len(former), MaxFormer)]
	e.Outbound = token
}

// Task returns the entry's task. It fails with the errors of [dap.NewTask].
func (e *Entry) Task() (*dap.Task, error) {
	v, err := dap.ParseVariant(e.Variant)
	if err != nil {
		return nil, err
	}
	return dap.NewTask(v, e.ID, e.Config)
}

// Validate reports the first thing that is wrong with the entry.
func (e *Entry) Validate() error {
	if _, err := e.Task(); err != nil {
		return fmt.Errorf("task %v: %w", e.ID, err)
	}
	return e.validate()
}

func (e *Entry) validate() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("task %v: "+format, append([]any{e.ID}, args...)...)
	}
	if e.Role != dap.Leader && e.Role != dap.Helper {
		return wrong("the %v does not aggregate, want leader or helper", e.Role)
	}
	if len(e.VerifyKeys) == 0 {
		return wrong("a VDAF verification key is needed")
	}
	if _, ok := e.VerifyKeys[e.VerifyWith]; !ok {
		return wrong("new jobs would use verification key %d, which is not there", e.VerifyWith)
	}
	if e.Leeway < 0 || e.Grace < 0 || e.Expiry < 0 {
		return wrong("leeway %v, grace %v, expiry %v: none may be negative", e.Leeway, e.Grace, e.Expiry)
	}
	if e.Expiry > 0 && e.Expiry <= e.Grace {
		return wrong("an expiry of %v is within the grace of %v: batches would go before they are collected", e.Expiry, e.Grace)
	}
	if err := e.Collector.Validate(); err != nil {
		return wrong("collector: %w", err)
	}
	if e.Role == dap.Helper && len(e.Inbound) == 0 {
		return wrong("the helper needs the hash of a token of the leader")
	}
	if e.Role == dap.Leader && (len(e.CollectorTokens) == 0 || e.Outbound.IsZero()) {
		return wrong("the leader needs a token for the helper and the hash of a token of the collector")
	}
	if len(e.Former) > MaxFormer || len(e.Former) > 0 && e.Role != dap.Leader {
		return wrong("%d tokens before the one for the helper, want none but at a leader, and %d at most", len(e.Former), MaxFormer)
	}
	if e.OutboundHeader != "" && e.OutboundHeader != auth.Header {
		return wrong("outbound header %q, want none or %s", e.OutboundHeader, auth.Header)
	}
	return nil
}

// Clone returns a copy that shares nothing that can change.
func (e *Entry) Clone() *Entry {
	c := *e
	c.Config, c.ShoalTask = bytes.Clone(e.Config), bytes.Clone(e.ShoalTask)
	c.VerifyKeys = maps.Clone(e.VerifyKeys)
	c.Inbound, c.CollectorTokens = slices.Clone(e.Inbound), slices.Clone(e.CollectorTokens)
	c.Former = slices.Clone(e.Former)
	c.Collector.PublicKey = bytes.Clone(e.Collector.PublicKey)
	return &c
}

// String names the entry by its task and reveals nothing about its secrets.
func (e Entry) String() string { return fmt.Sprintf("tasks.Entry(%v, redacted)", e.ID) }

// GoString is [Entry.String].
func (e Entry) GoString() string { return e.String() }

// Format writes [Entry.String], whatever the verb.
func (e Entry) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue is [Entry.String].
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.String()) }

// MarshalJSON is [Entry.String]: an encoder does not reveal the entry.
func (e Entry) MarshalJSON() ([]byte, error) { return json.Marshal(e.String()) }

// storedEntry is the form in which an entry is sealed. Fields are only ever
// added.
type storedEntry struct {
	Variant         string                           `json:"variant"`
	Config          []byte                           `json:"config"`
	Role            dap.Role                         `json:"role"`
	VerifyKeys      map[dap.VerificationKeyID][]byte `json:"verify_keys"`
	VerifyWith      dap.VerificationKeyID            `json:"verify_with"`
	Inbound         []auth.Hash                      `json:"inbound,omitempty"`
	CollectorTokens []auth.Hash                      `json:"collector_tokens,omitempty"`
	Outbound        string                           `json:"outbound,omitempty"`
	OutboundHeader  string                           `json:"outbound_header,omitempty"`
	Former          []string                         `json:"former,omitempty"`
	Collector       string                           `json:"collector"`
	Leeway          time.Duration                    `json:"leeway"`
	Grace           time.Duration                    `json:"grace"`
	Expiry          time.Duration                    `json:"expiry"`
	Disabled        bool                             `json:"disabled,omitempty"`
	ShoalTask       []byte                           `json:"shoal_task,omitempty"`
}

// removedEntry is what is sealed in place of an entry that was removed.
const removedEntry = `{"removed":true}`

// encode returns the entry with its secrets.
func (e *Entry) encode() ([]byte, error) {
	collector, err := dap.NewCodec(dap.DAP18()).Encode(&e.Collector)
	if err != nil {
		return nil, fmt.Errorf("encoding task %v: collector: %w", e.ID, err)
	}
	s := storedEntry{
		Variant: e.Variant, Config: e.Config, Role: e.Role,
		VerifyKeys: make(map[dap.VerificationKeyID][]byte), VerifyWith: e.VerifyWith,
		Inbound: e.Inbound, CollectorTokens: e.CollectorTokens, Outbound: e.Outbound.Reveal(), OutboundHeader: e.OutboundHeader,
		Collector: base64.RawURLEncoding.EncodeToString(collector),
		Leeway:    e.Leeway, Grace: e.Grace, Expiry: e.Expiry, Disabled: e.Disabled, ShoalTask: e.ShoalTask,
	}
	for id, key := range e.VerifyKeys {
		s.VerifyKeys[id] = key[:]
	}
	for _, token := range e.Former {
		s.Former = append(s.Former, token.Reveal())
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding task %v: %w", e.ID, err)
	}
	return b, nil
}

// decodeEntry reads what encode wrote. Its errors hold nothing of it.
func decodeEntry(id dap.TaskID, b []byte) (*Entry, error) {
	var s storedEntry
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("decoding task %v: the stored entry is not of this version", id)
	}
	e := &Entry{
		ID: id, Variant: s.Variant, Config: s.Config, Role: s.Role,
		VerifyKeys: make(map[dap.VerificationKeyID]vdaf.VerifyKey), VerifyWith: s.VerifyWith,
		Inbound: s.Inbound, CollectorTokens: s.CollectorTokens, OutboundHeader: s.OutboundHeader,
		Leeway: s.Leeway, Grace: s.Grace, Expiry: s.Expiry, Disabled: s.Disabled, ShoalTask: s.ShoalTask,
	}
	for key, secret := range s.VerifyKeys {
		if len(secret) != len(vdaf.VerifyKey{}) {
			return nil, fmt.Errorf("decoding task %v: verification key %d has the wrong length", id, key)
		}
		e.VerifyKeys[key] = vdaf.VerifyKey(secret)
	}
	if s.Outbound != "" {
		var err error
		if e.Outbound, err = auth.ParseToken(s.Outbound); err != nil {
			return nil, fmt.Errorf("decoding task %v: %w", id, err)
		}
	}
	for _, text := range s.Former {
		token, err := auth.ParseToken(text)
		if err != nil {
			return nil, fmt.Errorf("decoding task %v: %w", id, err)
		}
		e.Former = append(e.Former, token)
	}
	collector, err := base64.RawURLEncoding.DecodeString(s.Collector)
	if err != nil {
		return nil, errors.New("decoding task: collector is not base64url")
	}
	if err := dap.NewCodec(dap.DAP18()).Decode(&e.Collector, collector); err != nil {
		return nil, fmt.Errorf("decoding task %v: collector: %w", id, err)
	}
	return e, nil
}
