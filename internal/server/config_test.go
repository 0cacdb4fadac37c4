package server

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"
)

const least = "roles: [shuffler]\nurl: http://127.0.0.1:8440\n"

func noEnv(string) string { return "" }

// configKeys walks the struct and returns the dotted key of each setting with
// its value.
func configKeys(c Config) map[string]any {
	keys := map[string]any{}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			key := prefix + v.Type().Field(i).Tag.Get("yaml")
			if v.Field(i).Kind() == reflect.Struct {
				walk(key+".", v.Field(i))
				continue
			}
			keys[key] = v.Field(i).Interface()
		}
	}
	walk("", reflect.ValueOf(c))
	return keys
}

// TestDocumented compares docs/reference/config.md with the struct: every key has a
// section, no other has one, and the defaults are those in force.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/reference/config.md")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse([]byte("roles: [analyzer]\nurl: http://127.0.0.1:8440\n"), "", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile("(?m)^### `([a-z_.]+)`\n\n(Default: (?:none|`(.*)`)|Required\\.)")
	documented := map[string]bool{}
	keys := configKeys(c)
	for _, m := range section.FindAllStringSubmatch(string(b), -1) {
		value, known := keys[m[1]]
		if !known {
			t.Errorf("docs/reference/config.md documents %s, which is no key", m[1])
			continue
		}
		documented[m[1]] = true
		if strings.HasPrefix(m[2], "Required") {
			continue
		}
		have := fmt.Sprint(value)
		if list, ok := value.([]string); ok {
			have = strings.Join(list, " ")
		}
		if have != m[3] {
			t.Errorf("docs/reference/config.md: default of %s is %q, in force is %q", m[1], m[3], have)
		}
	}
	for key := range keys {
		if !documented[key] {
			t.Errorf("docs/reference/config.md does not document %s", key)
		}
	}
	for _, o := range Overrides() {
		if !strings.Contains(string(b), fmt.Sprintf("| `%s` | `%s` |", o.Name, o.Key)) {
			t.Errorf("docs/reference/config.md does not list %s for %s", o.Name, o.Key)
		}
		if _, known := keys[o.Key]; !known {
			t.Errorf("%s overrides %s, which is no key", o.Name, o.Key)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":          {least + "flors: {}\n", `line 3: unknown field "flors"`},
		"unknown nested key":   {least + "keys:\n  dri: x\n", `line 4: unknown field "dri"`},
		"key twice":            {least + "data: a\ndata: b\n", `line 4: mapping key "data" already defined`},
		"wrong type":           {least + "behind_proxy: maybe\n", "line 3:"},
		"bad duration":         {least + "keys:\n  lifetime: soon\n", `"soon" is not a duration`},
		"bad size":             {least + "batches:\n  memory: lots\n", `"lots" is not a size`},
		"not YAML":             {"roles: [shuffler\n", "line 1:"},
		"no roles":             {"url: http://127.0.0.1:8440\n", "roles: name at least one"},
		"unknown role":         {"roles: [teacher]\nurl: http://127.0.0.1:8440\n", `role "teacher": want one of`},
		"both aggregators":     {"roles: [leader, helper]\nurl: http://127.0.0.1:8440\n", "both together know every value"},
		"odd database":         {"roles: [helper]\nurl: http://127.0.0.1:8440\naggregates: {postgres: mysql://db}\n", "want a URL"},
		"password in keywords": {"roles: [helper]\nurl: http://127.0.0.1:8440\naggregates: {postgres: host=db password=secret}\n", "does not belong into this file"},
		"password":             {"roles: [helper]\nurl: http://127.0.0.1:8440\naggregates: {postgres: 'postgres://me:secret@db/helper'}\n", "does not belong into this file"},
		"leader's keys":        {"roles: [helper]\nurl: http://127.0.0.1:8440\nleader: {first_pause: 2s}\n", "which is not among roles"},
		"short lease":          {"roles: [leader]\nurl: http://127.0.0.1:8440\nleader: {lease_time: 1s}\n", "leader.lease_time: 1s is not from 1m to 1d"},
		"pauses":               {"roles: [leader]\nurl: http://127.0.0.1:8440\nleader: {first_pause: 2m, longest_pause: 1m}\n", "leader.longest_pause: 1m is not from 2m to 1d"},
		"no pause":             {"roles: [leader]\nurl: http://127.0.0.1:8440\nleader: {first_pause: 1ms}\n", "leader.first_pause"},
		"short timeout":        {"roles: [leader]\nurl: http://127.0.0.1:8440\nleader: {collection_timeout: 1m}\n", "leader.collection_timeout"},
		"large jobs":           {"roles: [leader]\nurl: http://127.0.0.1:8440\nleader: {job_reports: 10001}\n", "leader.job_reports: 10001"},
		"short memory":         {"roles: [helper]\nurl: http://127.0.0.1:8440\naggregates: {expiry: 1h}\n", "aggregates.expiry"},
		"helper's rate":        {"roles: [helper]\nurl: http://127.0.0.1:8440\nhelper: {peer_reports: -1}\n", "helper.peer_reports: -1 is below 0"},
		"helper's burst":       {"roles: [helper]\nurl: http://127.0.0.1:8440\nhelper: {task_burst: 9}\n", "without helper.task_reports"},
		"helper's pace":        {"roles: [helper]\nurl: http://127.0.0.1:8440\nhelper: {body_time: 2s}\n", "helper.body_time: 2s is below helper.body_pause, 5s"},
		"helper's memory":      {"roles: [helper]\nurl: http://127.0.0.1:8440\nhelper: {body_memory: 1KiB}\n", "helper.body_memory"},
		"little memory":        {"roles: [helper]\nurl: http://127.0.0.1:8440\naggregates: {replay_memory: 1MiB}\n", "aggregates.replay_memory: 1MiB is below 16MiB"},
		"nobody's opening":     {least + "leader: {open_at_upload: true}\n", "leader: its keys"},
		"nobody's helper":      {least + "helper: {queue: 5}\n", "only a helper uses these limits"},
		"nobody's database":    {least + "aggregates: {postgres: 'host=db'}\n", "aggregates.postgres"},
		"role twice":           {"roles: [shuffler, shuffler]\nurl: http://127.0.0.1:8440\n", "named twice"},
		"no url":               {"roles: [shuffler]\n", "url: missing"},
		"plain url":            {"roles: [shuffler]\nurl: http://shuffler.example\n", "must be https"},
		"slash":                {"roles: [shuffler]\nurl: https://shuffler.example/\n", "ends with a slash"},
		"plain off loopback":   {least + "listen: 0.0.0.0:80\n", "off loopback without TLS"},
		"plain on a name":      {least + "listen: shuffler.example:80\n", "off loopback without TLS"},
		"proxy and TLS":        {least + "behind_proxy: true\ntls: {cert_file: a, key_file: b}\n", "the proxy ends TLS"},
		"half a certificate":   {least + "tls: {cert_file: a}\n", "belong together"},
		"half a client":        {"roles: [leader]\nurl: http://127.0.0.1:8440\ntls: {client_cert_file: a}\n", "client_cert_file and client_key_file belong together"},
		"another half":         {"roles: [leader]\nurl: http://127.0.0.1:8440\ntls: {client_key_file: a}\n", "client_cert_file and client_key_file belong together"},
		"nobody to show it to": {"roles: [helper]\nurl: http://127.0.0.1:8440\ntls: {client_cert_file: a, client_key_file: b}\n", "tls.client_cert_file: only a leader or a collector"},
		"nobody who asks":      {least + "tls: {cert_file: a, key_file: b, client_ca_file: c}\n", "tls.client_ca_file: only a leader or a helper"},
		"asking without TLS":   {"roles: [helper]\nurl: http://127.0.0.1:8440\ntls: {client_ca_file: c}\n", "tls.client_ca_file: the public listener has no TLS"},
		"asking by proxy":      {"roles: [helper]\nurl: https://helper.example\nbehind_proxy: true\ntls: {client_ca_file: c}\n", "tls.client_ca_file: behind_proxy"},
		"own collector":        {"roles: [leader, collector]\nurl: https://leader.example\ntls: {cert_file: a, key_file: b, client_ca_file: c}\n", "this organisation's own collector"},
		"console off loopback": {"roles: [analyzer]\nurl: http://127.0.0.1:8440\nconsole: {listen: '0.0.0.0:1'}\n", "console.listen"},
		"ops off loopback":     {least + "ops: {listen: '0.0.0.0:1'}\n", "ops.listen"},
		"no public listener":   {least + "listen: 'off'\n", "cannot be off"},
		"threshold floor":      {least + "floors: {min_threshold: 1}\n", "floors.min_threshold: 1 is below 2"},
		"epsilon floor":        {least + "floors: {max_epsilon: 17}\n", "floors.max_epsilon"},
		"delta floor":          {least + "floors: {max_delta: 0.1}\n", "floors.max_delta"},
		"no mandatory suite":   {least + "keys: {kems: [p256]}\n", "x25519 is the mandatory suite"},
		"overlap":              {least + "keys: {lifetime: 2d, overlap: 36h}\n", "keys.overlap"},
		"owner":                {least + "tasks: {owners: [me]}\n", "tasks.owners[0]"},
		"stage":                {least + "shuffler: {stage: fast}\n", `shuffler.stage: "fast" is not one of [plain oblivious]`},
		"stage's memory":       {least + "shuffler: {stage: oblivious}\n", "batches.memory: with shuffler.stage oblivious 100000000 reports (intake.max_batch_reports) need 6696MiB at least, and it is 512MiB"},
		"nobody's stage":       {"roles: [analyzer]\nurl: http://127.0.0.1:8440\nshuffler: {stage: oblivious}\n", "shuffler: only a shuffler"},
		"level":                {least + "log: {level: loud}\n", "log.level"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text), "", noEnv)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q in it", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q is more than one line", err)
			}
		})
	}
}

func TestParsePaths(t *testing.T) {
	env := map[string]string{"SHOAL_DATA": "/var/lib/shoal", "SHOAL_LISTEN": "127.0.0.1:1"}
	c, err := Parse([]byte(least+"tasks: {bundles: [a, /b]}\n"), "/etc/shoal", func(n string) string { return env[n] })
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Data, c.Keys.Dir, c.Listen, c.Tasks.Bundles[0], c.Tasks.Bundles[1], c.TLS.CertFile}
	want := []string{"/var/lib/shoal", "/etc/shoal/keys", "127.0.0.1:1", "/etc/shoal/a", "/b", ""}
	if !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
}

// TestPrintedIsRead: what config print shows means the same.
func TestPrintedIsRead(t *testing.T) {
	c, err := Parse([]byte(least), "/etc/shoal", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text, "/elsewhere", noEnv)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if fmt.Sprint(configKeys(c)) != fmt.Sprint(configKeys(again)) {
		t.Errorf("printed and read again:\n%s", text)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if err == nil || !strings.Contains(err.Error(), "shoal init") {
		t.Errorf("error %v does not say how to get a file", err)
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{"7d": 168 * time.Hour, "36h": 36 * time.Hour, "90s": 90 * time.Second, "0s": 0} {
		if d, err := ParseDuration(text); err != nil || d.D() != want {
			t.Errorf("ParseDuration(%q) = %v, %v", text, d.D(), err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "7 days", "999999999d"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, d)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1.5GiB", "9999999999TiB", "1GB"} {
		if s, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %v, want an error", text, s)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, 1e17).Draw(t, "duration"))
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%v reads as %v, %v", d, again, err)
		}
		s := Size(rapid.Int64Range(0, 1<<62).Draw(t, "size"))
		if again, err := ParseSize(s.String()); err != nil || again != s {
			t.Fatalf("%v reads as %v, %v", s, again, err)
		}
	})
}

// FuzzParse: no text makes the reader panic, and what is accepted is valid.
func FuzzParse(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte("roles: [analyzer]\nurl: https://a.example\nlisten: ':443'\ntls:\n  acme: {domains: [a.example]}\nkeys: {lifetime: 30d}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b, "/etc/shoal", noEnv)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("accepted and not valid: %v", err)
		}
	})
}

// A file that somebody else wrote neither keeps the reader busy for minutes nor
// writes to the terminal what it wants.
func TestHostileFiles(t *testing.T) {
	for name, text := range map[string]string{
		"nested": strings.Repeat("[", 100_000), "nested keys": "tls: " + strings.Repeat("{a: ", 5000),
		"large": "#" + strings.Repeat(" ", 2<<20), "escapes": "\"\\e[31mred\\a\": 1\n",
	} {
		_, err := Parse([]byte(text), "/etc/shoal", noEnv)
		if err == nil || strings.ContainsFunc(err.Error(), unicode.IsControl) || len(err.Error()) > 300 {
			t.Errorf("%s: %q, want a short line without control characters", name, err)
		}
	}
}
