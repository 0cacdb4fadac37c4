package server

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// A Duration is a length of time that is written as Go writes it, with days
// added: 90s, 36h, 7d.
type Duration time.Duration

// D returns d as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String writes d in the form that ParseDuration reads.
func (d Duration) String() string {
	const day = Duration(24 * time.Hour)
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// ParseDuration reads a whole number of days (7d) or what
// [time.ParseDuration] reads.
func ParseDuration(s string) (Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil || n < 0 || n > 100_000 {
			return 0, fmt.Errorf("%q is not a duration such as 90s, 36h or 7d", s)
		}
		return Duration(n) * Duration(24*time.Hour), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 90s, 36h or 7d", s)
	}
	return Duration(d), nil
}

// UnmarshalYAML implements the YAML decoder's interface.
func (d *Duration) UnmarshalYAML(b []byte) error {
	s, err := scalar(b)
	if err != nil {
		return err
	}
	*d, err = ParseDuration(s)
	return err
}

// MarshalYAML implements the YAML encoder's interface.
func (d Duration) MarshalYAML() ([]byte, error) { return []byte(d.String()), nil }

// A Size is a number of bytes: 4096, 64KiB, 512MiB, 2GiB.
type Size int64

var units = [...]struct {
	suffix string
	bytes  Size
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String writes s in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// ParseSize reads the form that [Size.String] writes.
func ParseSize(text string) (Size, error) {
	number, factor := text, Size(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.suffix); ok {
			number, factor = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(factor) {
		return 0, fmt.Errorf("%q is not a size such as 4096, 64KiB, 512MiB or 2GiB", text)
	}
	return Size(n) * factor, nil
}

// UnmarshalYAML implements the YAML decoder's interface.
func (s *Size) UnmarshalYAML(b []byte) error {
	text, err := scalar(b)
	if err != nil {
		return err
	}
	*s, err = ParseSize(text)
	return err
}

// MarshalYAML implements the YAML encoder's interface.
func (s Size) MarshalYAML() ([]byte, error) { return []byte(s.String()), nil }

// scalar reads one YAML scalar as text.
func scalar(b []byte) (string, error) {
	var s string
	if err := yaml.Unmarshal(b, &s); err != nil {
		return "", fmt.Errorf("want a single value, got %q", firstLine(string(b)))
	}
	return s, nil
}
