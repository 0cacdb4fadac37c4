package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// A Config describes what one organisation runs. Every key has a usable zero value;
// docs/reference/config.md gives the reason for each. Relative paths are relative to the
// folder of the file.
type Config struct {
	Organisation string            `yaml:"organisation"`
	Roles        []task.Role       `yaml:"roles"`
	URL          string            `yaml:"url"`
	Listen       string            `yaml:"listen"`
	BehindProxy  bool              `yaml:"behind_proxy"`
	Data         string            `yaml:"data"`
	TLS          TLSConfig         `yaml:"tls"`
	Keys         KeysConfig        `yaml:"keys"`
	Tasks        TasksConfig       `yaml:"tasks"`
	Floors       FloorsConfig      `yaml:"floors"`
	Intake       IntakeConfig      `yaml:"intake"`
	Batches      BatchesConfig     `yaml:"batches"`
	Aggregates   AggregatesConfig  `yaml:"aggregates"`
	Credentials  CredentialsConfig `yaml:"credentials"`
	Shuffler     ShufflerConfig    `yaml:"shuffler"`
	Leader       LeaderConfig      `yaml:"leader"`
	Helper       HelperConfig      `yaml:"helper"`
	Relay        RelayConfig       `yaml:"relay"`
	Ops          ListenerConfig    `yaml:"ops"`
	Console      ConsoleConfig     `yaml:"console"`
	Log          LogConfig         `yaml:"log"`
	Shutdown     Duration          `yaml:"shutdown_timeout"`
}

// roles lists the roles of an organisation that a server can play, in the order in which
// they are opened.
var roles = []task.Role{task.Shuffler, task.Analyzer, task.Leader, task.Helper, task.Collector, task.Randomness, task.Relay}

// onCrowdRoute reports whether the role is one of the crowd route.
func onCrowdRoute(r task.Role) bool { return r == task.Shuffler || r == task.Analyzer }

// TLSConfig selects where the certificates of the public listener come from: two
// files, or ACME, or (on loopback and behind a proxy) nowhere. The other files are
// for mutual TLS between organisations.
type TLSConfig struct {
	CertFile       string     `yaml:"cert_file"`
	KeyFile        string     `yaml:"key_file"`
	ACME           ACMEConfig `yaml:"acme"`
	ClientCAFile   string     `yaml:"client_ca_file"`
	ClientCertFile string     `yaml:"client_cert_file"`
	ClientKeyFile  string     `yaml:"client_key_file"`
	PeerCAFile     string     `yaml:"peer_ca_file"`
}

// ACMEConfig asks for certificates by the ACME protocol.
type ACMEConfig struct {
	Domains   []string `yaml:"domains"`
	Email     string   `yaml:"email"`
	Directory string   `yaml:"directory"`
}

// KeysConfig sets where keys are and how long they live.
type KeysConfig struct {
	Dir        string   `yaml:"dir"`
	KEMs       []string `yaml:"kems"`
	Lifetime   Duration `yaml:"lifetime"`
	Overlap    Duration `yaml:"overlap"`
	Grace      Duration `yaml:"grace"`
	Announce   Duration `yaml:"announce"`
	PolicyFile string   `yaml:"policy_file"`
}

// TasksConfig selects which tasks the organisation serves.
type TasksConfig struct {
	Owners  []string `yaml:"owners"`
	Bundles []string `yaml:"bundles"`
}

// FloorsConfig bounds what a task may ask for. A task below a floor is refused.
type FloorsConfig struct {
	MinThreshold uint32  `yaml:"min_threshold"`
	MinBatch     uint32  `yaml:"min_batch"`
	MaxEpsilon   float64 `yaml:"max_epsilon"`
	MaxDelta     float64 `yaml:"max_delta"`
	AllowNaive   bool    `yaml:"allow_naive"`
	MaxPerEpoch  uint32  `yaml:"max_per_epoch"`
	MaxPerCrowd  uint32  `yaml:"max_per_crowd"`
	RequireNoise bool    `yaml:"require_noise"`

	// The greatest epsilon of all metrics of one owner together; 0 is no limit.
	MaxMonthEpsilon float64 `yaml:"max_epsilon_month"`
	MaxYearEpsilon  float64 `yaml:"max_epsilon_year"`
}

// IntakeConfig bounds what the first hop accepts.
type IntakeConfig struct {
	MaxBatchReports int64 `yaml:"max_batch_reports"`
	MaxConcurrent   int   `yaml:"max_concurrent"`
	MaxPerNetwork   int   `yaml:"max_per_network"`
}

// BatchesConfig bounds the work on batches.
type BatchesConfig struct {
	MaxBytes Size     `yaml:"max_bytes"`
	Memory   Size     `yaml:"memory"`
	Workers  int      `yaml:"workers"`
	Tick     Duration `yaml:"tick"`
}

// ListenerConfig is the listener of operations: health, metrics, management.
type ListenerConfig struct {
	Listen string `yaml:"listen"`
}

// ConsoleConfig is the listener of the console.
type ConsoleConfig struct {
	Listen string   `yaml:"listen"`
	Hosts  []string `yaml:"hosts"`
}

// LogConfig sets what is logged and how.
type LogConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// Off as an address switches a listener off.
const Off = "off"

// Lower bounds of the floors themselves: no configuration goes below them.
const (
	leastThreshold = 2
	leastBatch     = 2
	mostEpsilon    = 16
	mostDelta      = 1e-3
)

// Load reads, completes and validates the configuration in the file name.
// Unknown keys, duplicate keys and values of a wrong type are errors with a
// line number.
func Load(name string) (Config, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("reading config: %s does not exist: write one with \"shoal init\"", name)
	}
	if err != nil {
		return Config{}, fmt.Errorf("reading config: %w", err)
	}
	c, err := Parse(b, filepath.Dir(name), os.Getenv)
	if err != nil {
		return Config{}, inFile(name, err)
	}
	return c, nil
}

// inFile names the file of an error, on each line of one that [errors.Join] made.
func inFile(name string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s: %w", name, err)
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, inFile(name, e))
	}
	return errors.Join(all...)
}

// Parse reads a configuration whose relative paths are relative to dir. The
// variables of [Overrides] win over the file.
func Parse(b []byte, dir string, getenv func(string) string) (Config, error) {
	c, err := decode(b)
	if err != nil {
		return Config{}, err
	}
	for _, o := range Overrides() {
		if v := getenv(o.Name); v != "" {
			*o.field(&c) = v
		}
	}
	c = c.withDefaults(dir)
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// decode reads the file strictly. The decoder panics on some malformed
// documents (a tag on a scalar where a list belongs); that too is an error of
// the file.
func decode(b []byte) (c Config, err error) {
	defer func() {
		if recover() != nil {
			c, err = Config{}, errors.New("not valid YAML: the decoder cannot read it; look for tags (!...) and anchors, which are not needed here")
		}
	}()
	if err := bounded(b); err != nil {
		return Config{}, err
	}
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		return Config{}, yamlError(err)
	}
	return c, nil
}

// bounded refuses what no configuration needs and the decoder takes for ever
// over: a very large file, and brackets within brackets.
func bounded(b []byte) error {
	const maxFile, maxDepth = 1 << 20, 32
	if len(b) > maxFile {
		return fmt.Errorf("the file has %d bytes, want at most %d", len(b), maxFile)
	}
	depth := 0
	for _, c := range b {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		if depth > maxDepth {
			return fmt.Errorf("brackets are nested more than %d deep", maxDepth)
		}
	}
	return nil
}

// yamlError makes one line of the decoder's error: position and message.
func yamlError(err error) error {
	var e yaml.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("not valid YAML: %s", firstLine(err.Error()))
	}
	if t := e.GetToken(); t != nil && t.Position != nil {
		return fmt.Errorf("line %d: %s", t.Position.Line, firstLine(e.GetMessage()))
	}
	return errors.New(firstLine(e.GetMessage()))
}

// firstLine returns one line that is fit for a terminal: the decoder's message
// may quote the file.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, line)
}

// An Override is an environment variable that wins over a key of the file.
type Override struct {
	Name  string // SHOAL_...
	Key   string // dotted, as in docs/reference/config.md
	field func(*Config) *string
}

// Overrides lists the environment variables that are read. They are paths and
// addresses, which differ between a machine and a container; no secret is
// taken from the environment, since child processes and crash dumps see it.
func Overrides() []Override {
	return []Override{
		{"SHOAL_LISTEN", "listen", func(c *Config) *string { return &c.Listen }},
		{"SHOAL_DATA", "data", func(c *Config) *string { return &c.Data }},
		{"SHOAL_KEYS_DIR", "keys.dir", func(c *Config) *string { return &c.Keys.Dir }},
		{"SHOAL_TLS_CERT_FILE", "tls.cert_file", func(c *Config) *string { return &c.TLS.CertFile }},
		{"SHOAL_TLS_KEY_FILE", "tls.key_file", func(c *Config) *string { return &c.TLS.KeyFile }},
		{"SHOAL_OPS_LISTEN", "ops.listen", func(c *Config) *string { return &c.Ops.Listen }},
		{"SHOAL_CONSOLE_LISTEN", "console.listen", func(c *Config) *string { return &c.Console.Listen }},
	}
}

// withDefaults returns c with every zero value replaced by its meaning and
// every path made absolute or relative to the working folder.
func (c Config) withDefaults(dir string) Config {
	day := Duration(24 * time.Hour)
	orElse(&c.Organisation, "unnamed organisation")
	orElse(&c.Listen, "127.0.0.1:8440")
	orElse(&c.Data, "data")
	orElse(&c.Keys.Dir, "keys")
	orElse(&c.Keys.Lifetime, 7*day)
	orElse(&c.Keys.Overlap, day)
	orElse(&c.Keys.Grace, 7*day)
	orElse(&c.Keys.Announce, day)
	orElse(&c.Floors.MinThreshold, 10)
	orElse(&c.Floors.MinBatch, 20)
	orElse(&c.Floors.MaxEpsilon, 4)
	orElse(&c.Floors.MaxDelta, 1e-5)
	orElse(&c.Floors.MaxPerEpoch, 1000)
	orElse(&c.Floors.MaxPerCrowd, 1)
	orElse(&c.Intake.MaxBatchReports, 100_000_000)
	orElse(&c.Intake.MaxConcurrent, 1024)
	orElse(&c.Intake.MaxPerNetwork, 256)
	orElse(&c.Batches.MaxBytes, 64<<30)
	orElse(&c.Batches.Memory, 512<<20)
	orElse(&c.Batches.Tick, Duration(30*time.Second))
	orElse(&c.Aggregates.Expiry, 28*day)
	orElse(&c.Aggregates.Node, "leader")
	orElse(&c.Aggregates.ReplayMemory, 256<<20)
	c.Shuffler.withDefaults()
	c.Leader = c.Leader.withDefaults()
	c.Helper.withDefaults()
	c.Relay.withDefaults(c.BehindProxy)
	orElse(&c.Ops.Listen, "127.0.0.1:9440")
	orElse(&c.Console.Listen, c.consoleDefault())
	orElse(&c.Log.Level, "info")
	orElse(&c.Log.Format, "text")
	orElse(&c.Shutdown, Duration(20*time.Second))
	if len(c.Keys.KEMs) == 0 {
		c.Keys.KEMs = []string{"x25519"}
	}
	for _, p := range []*string{
		&c.Data, &c.Keys.Dir, &c.Keys.PolicyFile, &c.TLS.CertFile, &c.TLS.KeyFile,
		&c.TLS.ClientCAFile, &c.TLS.ClientCertFile, &c.TLS.ClientKeyFile, &c.TLS.PeerCAFile,
	} {
		*p = under(dir, *p)
	}
	c.Tasks.Bundles = slices.Clone(c.Tasks.Bundles)
	for i := range c.Tasks.Bundles {
		c.Tasks.Bundles[i] = under(dir, c.Tasks.Bundles[i])
	}
	return c
}

// consoleDefault: only an analyzer and a collector have results to show.
func (c Config) consoleDefault() string {
	if c.releases() {
		return "127.0.0.1:8450"
	}
	return Off
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

func under(dir, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// Has reports whether the organisation plays role r.
func (c Config) Has(r task.Role) bool { return slices.Contains(c.Roles, r) }

// Validate reports all that is wrong with a completed configuration, by key and
// joined by [errors.Join].
func (c Config) Validate() error {
	return errors.Join(
		c.validateRoles(), c.validateURL(), c.validateListeners(), c.validateTLS(),
		c.validateKeys(), c.validateFloors(), c.validateLimits(), c.validateCredentials(), c.validateShuffler(),
	)
}

// A failed condition of a key and what is wrong with its value.
type failed struct {
	when bool
	what error
}

// allOf joins what is wrong by the conditions that hold.
func allOf(conditions ...failed) error {
	var errs []error
	for _, c := range conditions {
		if c.when {
			errs = append(errs, c.what)
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateRoles() error {
	if len(c.Roles) == 0 {
		return fmt.Errorf("roles: name at least one of %s", joinRoles(roles))
	}
	for i, r := range c.Roles {
		if !slices.Contains(roles, r) {
			return fmt.Errorf("roles: %q is not one of %s", r, joinRoles(roles))
		}
		if slices.Contains(c.Roles[:i], r) {
			return fmt.Errorf("roles: %s is named twice", r)
		}
	}
	return errors.Join(c.validateAggregates(), c.validateRelay())
}

func (c Config) validateURL() error {
	if c.URL == "" {
		return errors.New("url: missing: the base URL by which tasks name this organisation")
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("url: %q is not a base URL such as https://shuffler.example", c.URL)
	}
	if strings.HasSuffix(c.URL, "/") {
		return fmt.Errorf("url: %q ends with a slash: leave it off, tasks name parties without", c.URL)
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopbackHost(u.Hostname()):
	default:
		return fmt.Errorf("url: %q must be https (http only on loopback)", c.URL)
	}
	return nil
}

func (c Config) validateListeners() error {
	if c.Listen == Off {
		return errors.New("listen: the public listener cannot be off")
	}
	for _, l := range []struct{ key, addr string }{
		{"listen", c.Listen}, {"ops.listen", c.Ops.Listen}, {"console.listen", c.Console.Listen},
	} {
		if l.addr == Off {
			continue
		}
		if _, _, err := net.SplitHostPort(l.addr); err != nil {
			return fmt.Errorf("%s: %q is not HOST:PORT", l.key, l.addr)
		}
	}
	if c.Console.Listen != Off && !isLoopbackAddr(c.Console.Listen) {
		return fmt.Errorf("console.listen: %q is not a loopback address: the console has no login; reach it through a tunnel or an authenticating proxy on this machine", c.Console.Listen)
	}
	if c.Console.Listen != Off && !c.releases() {
		return errors.New("console.listen: only an analyzer or a collector has results to show; set it to off")
	}
	if c.Ops.Listen != Off && !isLoopbackAddr(c.Ops.Listen) && !c.TLS.Enabled() && !c.BehindProxy {
		return fmt.Errorf("ops.listen: %q is off loopback and tls is not set: tokens would travel in the clear", c.Ops.Listen)
	}
	return nil
}

func (c Config) validateTLS() error {
	t := c.TLS
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("tls: cert_file and key_file belong together")
	}
	if t.CertFile != "" && len(t.ACME.Domains) > 0 {
		return errors.New("tls: either cert_file and key_file or acme, not both")
	}
	if len(t.ACME.Domains) == 0 && (t.ACME.Email != "" || t.ACME.Directory != "") {
		return errors.New("tls.acme.domains: missing")
	}
	if c.BehindProxy && t.Enabled() {
		return errors.New("behind_proxy: the proxy ends TLS; remove the tls keys or set it to false")
	}
	for _, d := range t.ACME.Domains {
		if isLoopbackHost(d) && t.ACME.Directory == "" {
			return fmt.Errorf("tls.acme.domains: no authority certifies %q: use http on loopback, or cert_file and key_file", d)
		}
	}
	if !t.Enabled() && !c.BehindProxy && c.Listen != Off && !isLoopbackAddr(c.Listen) {
		return fmt.Errorf("listen: %q is off loopback without TLS: set tls, or behind_proxy if a proxy on the way ends TLS", c.Listen)
	}
	return c.validateMutual()
}

// Enabled reports whether the listeners off loopback speak TLS.
func (t TLSConfig) Enabled() bool { return t.CertFile != "" || len(t.ACME.Domains) > 0 }

func (c Config) validateKeys() error {
	k := c.Keys
	var errs []error
	if !slices.Contains(k.KEMs, "x25519") {
		errs = append(errs, errors.New("keys.kems: x25519 is the mandatory suite and must be among them"))
	}
	for i, name := range k.KEMs {
		if _, err := hpke.ParseKEM(name); err != nil {
			errs = append(errs, fmt.Errorf("keys.kems: %w", err))
		}
		if slices.Contains(k.KEMs[:i], name) {
			errs = append(errs, fmt.Errorf("keys.kems: %s is named twice", name))
		}
	}
	errs = append(errs, allOf(
		failed{k.Lifetime < Duration(time.Minute) || k.Lifetime > Duration(400*24*time.Hour), fmt.Errorf("keys.lifetime: %s is not between 1m and 400d", k.Lifetime)},
		failed{k.Overlap <= 0 || k.Overlap*2 > k.Lifetime, fmt.Errorf("keys.overlap: %s must be positive and at most half of keys.lifetime (%s)", k.Overlap, k.Lifetime)},
		failed{k.Grace < 0, fmt.Errorf("keys.grace: %s is negative", k.Grace)},
		failed{k.Announce < Duration(time.Minute), fmt.Errorf("keys.announce: %s is below 1m", k.Announce)},
	))
	for i, o := range c.Tasks.Owners {
		if _, err := parseOwner(o); err != nil {
			errs = append(errs, fmt.Errorf("tasks.owners[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateFloors() error {
	f := c.Floors
	return allOf(
		failed{f.MinThreshold < leastThreshold, fmt.Errorf("floors.min_threshold: %d is below %d: a crowd of one is a person", f.MinThreshold, leastThreshold)},
		failed{f.MinBatch < leastBatch, fmt.Errorf("floors.min_batch: %d is below %d", f.MinBatch, leastBatch)},
		failed{!(f.MaxEpsilon > 0 && f.MaxEpsilon <= mostEpsilon), fmt.Errorf("floors.max_epsilon: %g is not in (0, %d]", f.MaxEpsilon, mostEpsilon)},
		failed{!(f.MaxDelta > 0 && f.MaxDelta <= mostDelta), fmt.Errorf("floors.max_delta: %g is not in (0, %g]", f.MaxDelta, mostDelta)},
		failed{!(f.MaxMonthEpsilon >= 0), fmt.Errorf("floors.max_epsilon_month: %g is below 0", f.MaxMonthEpsilon)},
		failed{!(f.MaxYearEpsilon >= 0), fmt.Errorf("floors.max_epsilon_year: %g is below 0", f.MaxYearEpsilon)},
	)
}

func (c Config) validateLimits() error {
	return allOf(
		failed{c.Intake.MaxBatchReports < 1, fmt.Errorf("intake.max_batch_reports: %d is below 1", c.Intake.MaxBatchReports)},
		failed{c.Intake.MaxConcurrent < 1, fmt.Errorf("intake.max_concurrent: %d is below 1", c.Intake.MaxConcurrent)},
		failed{c.Intake.MaxPerNetwork < 1, fmt.Errorf("intake.max_per_network: %d is below 1", c.Intake.MaxPerNetwork)},
		failed{c.Batches.MaxBytes < 1<<20, fmt.Errorf("batches.max_bytes: %s is below 1MiB", c.Batches.MaxBytes)},
		failed{c.Batches.Memory < 16<<20, fmt.Errorf("batches.memory: %s is below 16MiB", c.Batches.Memory)},
		failed{c.Batches.Workers < 0, fmt.Errorf("batches.workers: %d is negative", c.Batches.Workers)},
		failed{c.Batches.Tick < Duration(time.Second), fmt.Errorf("batches.tick: %s is below 1s", c.Batches.Tick)},
		failed{c.Shutdown < 0, fmt.Errorf("shutdown_timeout: %s is negative", c.Shutdown)},
		failed{!slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level), fmt.Errorf("log.level: %q is not one of debug, info, warn, error", c.Log.Level)},
		failed{!slices.Contains([]string{"text", "json"}, c.Log.Format), fmt.Errorf("log.format: %q is not one of text, json", c.Log.Format)},
	)
}

// isLoopbackAddr reports whether a listen address can only be reached from
// this machine. A name other than localhost is not resolved and counts as
// public.
func isLoopbackAddr(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
