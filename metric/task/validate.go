package task

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/printable"
)

// Validate reports the first thing in the task that breaks a rule stated with
// its types. It judges form, not privacy: whether the settings are sound is for
// package metric.
func (t *Task) Validate() error {
	checks := []func() error{
		t.validateWords,
		t.Schema.validate,
		t.validateFragment,
		t.validateCrowd,
		t.validateThreshold,
		t.validateEncoding,
		t.validateTime,
		t.validateCaps,
		t.validatePayload,
		t.validateHops,
		t.validateCrowdOnly,
		t.validateProtection,
	}
	if t.Method == Aggregate {
		checks = t.aggregateChecks()
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return fmt.Errorf("task %q: %w", t.Metric, err)
		}
	}
	return nil
}

func (t *Task) validateWords() error {
	if len(t.Owner) != ed25519.PublicKeySize {
		return fmt.Errorf("owner key has %d bytes, want %d", len(t.Owner), ed25519.PublicKeySize)
	}
	if err := printable.Check("owner's name", t.OwnedBy, 1, maxOwnedBy); err != nil {
		return err
	}
	if !ValidMetric(t.Metric) {
		return errors.New("metric name: want 1 to 64 of a-z, 0-9, '_' and '.'")
	}
	if err := printable.Check("question", t.Question, 1, maxQuestion); err != nil {
		return err
	}
	if err := printable.Check("consent text", t.Consent, 0, maxConsent); err != nil {
		return err
	}
	if t.Method != Crowd && t.Method != Aggregate {
		return fmt.Errorf("unknown method %d", t.Method)
	}
	return nil
}

// validateCrowdOnly checks that what only the aggregate route uses is zero.
func (t *Task) validateCrowdOnly() error {
	if !t.Aggregation.unused() {
		return errors.New("a setting of the method aggregate is not zero in a crowd task")
	}
	return nil
}

// ValidMetric reports whether s may name a metric.
func ValidMetric(s string) bool { return validName(s, ".") }

// ValidField reports whether s may name a field of a schema.
func ValidField(s string) bool { return validName(s, "") }

func validName(s, also string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte(also, c) < 0 {
			return false
		}
	}
	return true
}

func (t *Task) validateFragment() error {
	f := t.Fragment
	if err := t.validIndexes("fragment: keep", f.Keep); err != nil {
		return err
	}
	needsField := f.Kind == Pairs || f.Kind == Tuples || f.Kind == Bits
	if !needsField && (f.Field != 0 || f.M != 0) || f.Kind != Pairs && f.Cap != 0 || f.Kind == Pairs && f.M != 0 {
		return errors.New("fragment: a setting that its kind does not use is not zero")
	}
	switch f.Kind {
	case Whole:
		if len(f.Keep) != 0 {
			return errors.New("fragment: a whole record has no fields to keep")
		}
		return nil
	case Fields:
		if len(f.Keep) >= len(t.Schema) {
			return errors.New("fragment: all fields are kept, so there is nothing to send apart")
		}
		return nil
	case Pairs, Tuples:
		return t.validateListFragment()
	case Bits:
		return t.validateBitsFragment()
	}
	return fmt.Errorf("fragment: unknown kind %d", f.Kind)
}

func (t *Task) validateFragmentField(kind Kind, word string) error {
	f := t.Fragment
	if int(f.Field) >= len(t.Schema) {
		return fmt.Errorf("fragment: field index %d, but the schema has %d fields", f.Field, len(t.Schema))
	}
	if got := t.Schema[f.Field]; got.Kind != kind {
		return fmt.Errorf("fragment: field %q is not a %s", got.Name, word)
	}
	if slices.Contains(f.Keep, f.Field) {
		return fmt.Errorf("fragment: field %q is both broken up and kept", t.Schema[f.Field].Name)
	}
	if len(f.Keep)+1 != len(t.Schema) {
		return errors.New("fragment: a field is neither broken up nor kept, so it would never be sent; keep it or drop it from the schema")
	}
	return nil
}

func (t *Task) validateListFragment() error {
	f := t.Fragment
	if err := t.validateFragmentField(List, "list"); err != nil {
		return err
	}
	longest := t.Schema[f.Field].Max
	if f.Kind == Pairs && longest < 2 {
		return errors.New("fragment: pairs of a list of at most one element")
	}
	if f.Kind == Tuples && (f.M < 1 || uint16(f.M) > longest) {
		return fmt.Errorf("fragment: tuples of %d, want 1 to the list's maximum of %d", f.M, longest)
	}
	return nil
}

func (t *Task) validateBitsFragment() error {
	f := t.Fragment
	if err := t.validateFragmentField(Set, "set"); err != nil {
		return err
	}
	if n := len(t.Schema[f.Field].Values); f.M < 1 || int(f.M) > n {
		return fmt.Errorf("fragment: chunks of %d bits, want 1 to the set's %d", f.M, n)
	}
	return nil
}

func (t *Task) validIndexes(what string, indexes []uint8) error {
	for i, x := range indexes {
		if int(x) >= len(t.Schema) {
			return fmt.Errorf("%s: field index %d, but the schema has %d fields", what, x, len(t.Schema))
		}
		if i > 0 && indexes[i-1] >= x {
			return fmt.Errorf("%s: field indexes are not strictly increasing", what)
		}
	}
	return nil
}

func (t *Task) validateCrowd() error {
	c := t.Crowd
	if err := t.validIndexes("crowd", c.Fields); err != nil {
		return err
	}
	if c.SaltEpochs < 1 || c.SaltEpochs > maxSaltEpochs {
		return fmt.Errorf("crowd: a salt of %d epochs, want 1 to %d", c.SaltEpochs, maxSaltEpochs)
	}
	switch c.Kind {
	case Constant, Payload:
		if len(c.Fields) != 0 {
			return errors.New("crowd: only a crowd of attributes names fields")
		}
		return nil
	case Attributes:
		return t.validateAttributes()
	}
	return fmt.Errorf("crowd: unknown kind %d", c.Kind)
}

func (t *Task) validateAttributes() error {
	if len(t.Crowd.Fields) == 0 {
		return errors.New("crowd: attributes without a field")
	}
	return t.inEveryFragment("crowd", t.Crowd.Fields)
}

// inEveryFragment checks that the fields of a crowd are in every fragment.
func (t *Task) inEveryFragment(what string, fields []uint8) error {
	if t.Fragment.Kind == Whole {
		return nil
	}
	for _, x := range fields {
		broken := t.Fragment.Kind != Fields && x == t.Fragment.Field
		if !broken && !slices.Contains(t.Fragment.Keep, x) {
			return fmt.Errorf("%s: field %q does not stand in every fragment; keep it", what, t.Schema[x].Name)
		}
	}
	return nil
}

func (t *Task) validateThreshold() error {
	h := t.Threshold
	if h.T < 1 || h.T > maxThreshold || h.D > maxThreshold || h.SigmaMilli > maxSigmaMilli {
		return fmt.Errorf("threshold: T %d, D %d, sigma %d/1000 out of range", h.T, h.D, h.SigmaMilli)
	}
	switch h.Kind {
	case Naive:
		if h.D != 0 || h.SigmaMilli != 0 {
			return errors.New("threshold: a naive threshold has neither drop nor sigma")
		}
		return nil
	case NoisySet:
		if h.D != 0 || h.SigmaMilli == 0 {
			return errors.New("threshold: a noisy threshold has a sigma and no drop")
		}
		return nil
	case NoisyDrop:
		if h.SigmaMilli == 0 {
			return errors.New("threshold: a noisy drop has a sigma")
		}
		return nil
	}
	return fmt.Errorf("threshold: unknown kind %d", h.Kind)
}

func (t *Task) validateTime() error {
	if t.EpochSeconds < 1 || t.EpochSeconds > maxEpoch {
		return fmt.Errorf("an epoch of %d seconds, want 1 to %d", t.EpochSeconds, maxEpoch)
	}
	if t.MaxDelay > maxDelay {
		return fmt.Errorf("a longest delay of %d seconds, want at most %d", t.MaxDelay, maxDelay)
	}
	if t.ClockSkew > maxSkew {
		return fmt.Errorf("a clock skew of %d seconds, want at most %d", t.ClockSkew, maxSkew)
	}
	if t.NotBefore < 0 || t.NotBefore > maxUnix || t.Expires < 0 || t.Expires > maxUnix {
		return errors.New("the task's life lies outside the years 1970 to 9999")
	}
	if t.NotBefore%int64(t.EpochSeconds) != 0 {
		return fmt.Errorf("the task's life begins at %d, which no epoch of %d seconds does", t.NotBefore, t.EpochSeconds)
	}
	if t.Expires-t.NotBefore < int64(t.EpochSeconds) {
		return errors.New("no epoch fits between the task's begin and its expiry")
	}
	if t.RetentionDays > maxRetention {
		return fmt.Errorf("retention of %d days, want at most %d", t.RetentionDays, maxRetention)
	}
	return nil
}

func (t *Task) validateCaps() error {
	if t.MinBatch < 1 || t.MinBatch > 1<<31 {
		return fmt.Errorf("a smallest batch of %d, want 1 to %d", t.MinBatch, uint32(1)<<31)
	}
	if t.PerEpoch < 1 || t.PerEpoch > maxReports {
		return fmt.Errorf("%d reports a client and epoch, want 1 to %d", t.PerEpoch, maxReports)
	}
	if t.PerCrowd < 1 || t.PerCrowd > t.PerEpoch {
		return fmt.Errorf("%d reports a client, crowd and epoch, want 1 to the %d of an epoch", t.PerCrowd, t.PerEpoch)
	}
	return nil
}

func (t *Task) validatePayload() error {
	if !slices.Contains(SizeClasses(), int(t.PayloadSize)) {
		return fmt.Errorf("payload size %d is not a size class", t.PayloadSize)
	}
	if n := t.MaxContent(); n >= int(t.PayloadSize) {
		return fmt.Errorf("payload size %d, but a payload may have %d bytes, as encoded, and one of padding", t.PayloadSize, n)
	}
	if len(t.Extensions) > maxExtensions {
		return fmt.Errorf("%d extension types, want at most %d", len(t.Extensions), maxExtensions)
	}
	for i := range t.Extensions {
		if i > 0 && t.Extensions[i-1] >= t.Extensions[i] {
			return errors.New("extension types are not strictly increasing")
		}
	}
	return nil
}

func (t *Task) validateHops() error {
	if len(t.Hops) < 2 || len(t.Hops) > maxHops {
		return fmt.Errorf("%d hops, want 2 to %d: shufflers, then the analyzer", len(t.Hops), maxHops)
	}
	for i, p := range t.Hops {
		want := Shuffler
		if i == len(t.Hops)-1 {
			want = Analyzer
		}
		if p.Role != want {
			return fmt.Errorf("hop %d is a %s, want a %s: shufflers stand first, the one analyzer last", i+1, p.Role, want)
		}
		if err := p.validate(); err != nil {
			return fmt.Errorf("hop %d: %w", i+1, err)
		}
		same := func(o Party) bool { return o.URL == p.URL || bytes.Equal(o.Identity, p.Identity) }
		if slices.ContainsFunc(t.Hops[:i], same) {
			return fmt.Errorf("hop %d has the URL or the identity of an earlier hop; hops are different organisations with different keys", i+1)
		}
	}
	return nil
}

func (p Party) validate() error {
	if len(p.Identity) != ed25519.PublicKeySize {
		return fmt.Errorf("identity has %d bytes, want %d", len(p.Identity), ed25519.PublicKeySize)
	}
	return ValidURL(p.URL)
}

// ValidURL returns an error if s is not valid as the URL of a [Party]: it must be https,
// or http on the loopback interface; lower case host; no user, query, fragment
// or trailing slash.
func ValidURL(s string) error {
	if len(s) > maxURL {
		return fmt.Errorf("URL has %d bytes, want at most %d", len(s), maxURL)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("URL %q does not parse", s)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("URL %q: want https://host or https://host/path", s)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return fmt.Errorf("URL %q: want no user, query or fragment", s)
	case strings.HasSuffix(s, "/"):
		return fmt.Errorf("URL %q: want no trailing slash", s)
	case u.Host != strings.ToLower(u.Host) || u.String() != s:
		return fmt.Errorf("URL %q is not in normal form; write %q", s, strings.ToLower(u.Scheme+"://"+u.Host)+u.EscapedPath())
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("URL %q: plain http is for the loopback interface only; use https", s)
	}
	return nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// roleWords are the words of roles, in configurations, paths and labels too.
var roleWords = [...]string{
	Shuffler: "shuffler", Analyzer: "analyzer", Leader: "leader", Helper: "helper", Collector: "collector",
	Relay: "relay", Randomness: "randomness", Gateway: "gateway",
}

// String returns the role's word.
func (r Role) String() string {
	if int(r) < len(roleWords) && roleWords[r] != "" {
		return roleWords[r]
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// MarshalText returns the role's word.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the role's word, as [ParseRole].
func (r *Role) UnmarshalText(word []byte) error {
	role, err := ParseRole(string(word))
	if err == nil {
		*r = role
	}
	return err
}

// ParseRole reads a role's word.
func ParseRole(word string) (Role, error) {
	i := slices.Index(roleWords[:], word)
	if i <= 0 {
		return 0, fmt.Errorf("role %q: want one of %s", word, strings.Join(roleWords[1:], ", "))
	}
	return Role(i), nil
}
