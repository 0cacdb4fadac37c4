package bundle

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/discovery"
)

// A transform reshapes a text. It has no state; false means that there is no
// value, so that the next way of the field is tried.
type transform func(page discovery.URL, text string) (string, bool)

// A transformer makes a transform of its arguments.
type transformer struct {
	least, most int // arguments; many means as many as the format allows
	about       string
	make        func(args []string) (transform, error)
}

// many is more arguments than any format allows.
const many = 1 << 10

// transformers are all transforms that there are.
func transformers() map[string]transformer {
	return map[string]transformer{
		"trim": {0, 0, "removes space at both ends and makes one space of several", func([]string) (transform, error) {
			return func(_ discovery.URL, s string) (string, bool) { return strings.Join(strings.Fields(s), " "), true }, nil
		}},
		"filterExact": {1, many, "gives no value if the text is one of the arguments", func(args []string) (transform, error) {
			return func(_ discovery.URL, s string) (string, bool) { return s, !slices.Contains(args, s) }, nil
		}},
		"oneOf": {1, many, "gives no value unless the text is one of the arguments", func(args []string) (transform, error) {
			return func(_ discovery.URL, s string) (string, bool) { return s, slices.Contains(args, s) }, nil
		}},
		"notHost": {1, many, "gives no value if the URL is on one of these hosts, or below one: a redirector, an advertisement", func(args []string) (transform, error) {
			return func(page discovery.URL, s string) (string, bool) {
				u, err := page.Resolve(s)
				if err != nil {
					return "", false
				}
				for _, host := range args {
					if u.Host() == host || strings.HasSuffix(u.Host(), "."+host) {
						return "", false
					}
				}
				return s, true
			}, nil
		}},
		"decodeBase64": {0, 0, "undoes base64, of either alphabet; no value if it is malformed or no text", func([]string) (transform, error) {
			return decodeBase64, nil
		}},
		"cutPrefix": {1, 1, "takes the argument off the beginning; no value if the text does not begin with it", func(args []string) (transform, error) {
			return func(_ discovery.URL, s string) (string, bool) { return strings.CutPrefix(s, args[0]) }, nil
		}},
		"requireURL": {0, 0, "reads the text as a link of the page and gives the whole normalised URL; no value if it is not http or https", func([]string) (transform, error) {
			return ofURL(func(u discovery.URL) (string, bool) { return u.String(), true }), nil
		}},
		"queryParam": {1, 1, "gives the decoded value of a parameter of the URL; no value if it has none", func(args []string) (transform, error) {
			return ofURL(func(u discovery.URL) (string, bool) { return queryParam(u, args[0]) }), nil
		}},
		"removeParams": {1, many, "gives the URL without these parameters; \"*\" removes all", func(args []string) (transform, error) {
			return ofURL(func(u discovery.URL) (string, bool) { return removeParams(u, args), true }), nil
		}},
		"mask": {0, 0, "gives \"scheme://host/ (PROTECTED)\" of a URL", func([]string) (transform, error) {
			return ofURL(func(u discovery.URL) (string, bool) { return u.Masked(), true }), nil
		}},
		"split":    {2, 2, "splits at the first argument and gives the part that the second counts from 0; no value if there is no such part", splitter(false)},
		"trySplit": {2, 2, "as split, but gives the text itself if there is no such part", splitter(true)},
		"decodeURIComponent": {0, 0, "undoes percent-encoding; no value if it is malformed", func([]string) (transform, error) {
			return decodeComponent, nil
		}},
		"tryDecodeURIComponent": {0, 0, "as decodeURIComponent, but gives the text itself if it is malformed", func([]string) (transform, error) {
			return func(page discovery.URL, s string) (string, bool) {
				if decoded, ok := decodeComponent(page, s); ok {
					return decoded, true
				}
				return s, true
			}, nil
		}},
		"json": {1, 1, "reads the text as JSON and gives the string, number or truth value at a path such as \"items.0.name\"", func(args []string) (transform, error) {
			path := strings.Split(args[0], ".")
			return func(_ discovery.URL, s string) (string, bool) { return fromJSON(s, path) }, nil
		}},
	}
}

// A TransformInfo describes a transform for people.
type TransformInfo struct {
	Name  string
	About string
}

// Transforms lists the transforms that rules may use, by name.
func Transforms() []TransformInfo {
	var list []TransformInfo
	for name, t := range transformers() {
		i := len(list)
		for i > 0 && list[i-1].Name > name {
			i--
		}
		list = append(list[:i], append([]TransformInfo{{name, t.about}}, list[i:]...)...)
	}
	return list
}

func compileTransform(words []string, most bounds) (transform, error) {
	if len(words) == 0 {
		return nil, errors.New("transform: empty")
	}
	t, ok := transformers()[words[0]]
	args := words[1:]
	switch {
	case !ok:
		return nil, fmt.Errorf("transform %q: unknown", words[0])
	case most == boundsOf(format1) && newTransform(words[0]):
		return nil, fmt.Errorf("transform %q: wants format 2", words[0])
	case len(args) < t.least || len(args) > min(t.most, most.arguments):
		return nil, fmt.Errorf("transform %q: %d arguments, want %d to %d", words[0], len(args), t.least, min(t.most, most.arguments))
	case tooLong(args):
		return nil, fmt.Errorf("transform %q: an argument is empty or too long", words[0])
	}
	made, err := t.make(args)
	if err != nil {
		return nil, fmt.Errorf("transform %q: %w", words[0], err)
	}
	return made, nil
}

// newTransform reports whether devices of format 1 do not know a transform.
func newTransform(name string) bool {
	switch name {
	case "oneOf", "notHost", "decodeBase64", "cutPrefix":
		return true
	}
	return false
}

// ofURL reads a text as a link of the page.
func ofURL(f func(discovery.URL) (string, bool)) transform {
	return func(page discovery.URL, s string) (string, bool) {
		u, err := page.Resolve(s)
		if err != nil || s == "" {
			return "", false
		}
		return f(u)
	}
}

func queryParam(u discovery.URL, name string) (string, bool) {
	for part := range strings.SplitSeq(u.Query(), "&") {
		key, value, _ := strings.Cut(part, "=")
		if unescapeForm(key) == name {
			return unescapeForm(value), true
		}
	}
	return "", false
}

func removeParams(u discovery.URL, names []string) string {
	whole := u.WithoutFragment().String()
	before, _, found := strings.Cut(whole, "?")
	if !found {
		return u.String()
	}
	var kept []string
	for part := range strings.SplitSeq(u.Query(), "&") {
		key, _, _ := strings.Cut(part, "=")
		if !slices.Contains(names, "*") && !slices.Contains(names, unescapeForm(key)) {
			kept = append(kept, part)
		}
	}
	if len(kept) > 0 {
		before += "?" + strings.Join(kept, "&")
	}
	if f := u.Fragment(); f != "" {
		before += "#" + f
	}
	return before
}

func splitter(try bool) func([]string) (transform, error) {
	return func(args []string) (transform, error) {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 0 || n > 1000 {
			return nil, errors.New("want a separator and a number from 0 to 1000")
		}
		return func(_ discovery.URL, s string) (string, bool) {
			rest := s
			for range n {
				_, after, ok := strings.Cut(rest, args[0])
				if !ok {
					return s, try
				}
				rest = after
			}
			part, _, _ := strings.Cut(rest, args[0])
			return part, true
		}, nil
	}
}

func decodeComponent(_ discovery.URL, s string) (string, bool) {
	decoded, err := url.PathUnescape(s)
	return decoded, err == nil && utf8.ValidString(decoded)
}

func decodeBase64(_ discovery.URL, s string) (string, bool) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	decoded, err := base64.RawStdEncoding.DecodeString(s)
	return string(decoded), err == nil && utf8.Valid(decoded)
}

func fromJSON(s string, path []string) (string, bool) {
	var value any
	if err := json.Unmarshal([]byte(s), &value); err != nil {
		return "", false
	}
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return "", false
			}
			value = v[i]
		default:
			return "", false
		}
	}
	switch v := value.(type) {
	case string:
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
