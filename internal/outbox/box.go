package outbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
)

// Options are the settings of an outbox. The zero value is good.
type Options struct {
	Key        *Key          // encrypts at rest; nil means the file "key" in the directory, made when missing
	MaxEntries int           // entries at most; 0 means 10,000
	MaxBytes   int64         // of entries and caps, at most; 0 means 16 MiB
	Late       time.Duration // an entry overdue by more is given a new time; 0 means 5 minutes
	Spread     time.Duration // window in which overdue entries get their new times; 0 means 1 hour
	Backoff    time.Duration // before the first retry, doubled for each further; 0 means 1 minute
	MaxBackoff time.Duration // 0 means 2 hours

	Existing bool // open only what exists: otherwise the error is fs.ErrNotExist

	Clock clock.Clock // nil means the machine's
	Rand  io.Reader   // keys, nonces and send times; nil means crypto/rand
	FS    durable.FS  // nil means the machine's, shared between processes; another one belongs to one Box
}

func (o Options) withDefaults() Options {
	if o.MaxEntries == 0 {
		o.MaxEntries = 10_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 20
	}
	if o.Late == 0 {
		o.Late = 5 * time.Minute
	}
	if o.Spread == 0 {
		o.Spread = time.Hour
	}
	if o.Backoff == 0 {
		o.Backoff = time.Minute
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 2 * time.Hour
	}
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return o
}

// ErrClosed is what a closed [Box] answers.
var ErrClosed = errors.New("the outbox is closed")

// A Recovery reports what was wrong with a journal. All that could be read was
// kept.
type Recovery struct {
	Torn    int64    // bytes of an unfinished commit at the end, which was never acknowledged
	Damaged []Damage // stretches that were lost after they had been written
	Dropped int      // entries that were dropped because they may have been sealed in such a stretch
}

// A Box is an open outbox. It is safe for concurrent use.
type Box struct {
	o      Options
	dir    string
	shared bool // between processes, hence locked
	tags   tagger

	pendingMu sync.Mutex
	pending   []*addition // guarded by pendingMu

	sending sync.Mutex // held by the one pass that runs

	// sem is the lock of all fields below: a caller locks it by putting a value in.
	sem     chan struct{}
	closed  bool
	journal journal
	state   *state // nil: to be read
	rewrite bool   // the file's end is unknown or its version old: rewrite it before relying on it
	repairs Recovery
}

// Open opens the outbox in dir, which it makes if it is missing. It reports
// what was found damaged; that is no error.
func Open(dir string, o Options) (*Box, Recovery, error) {
	b := &Box{o: o.withDefaults(), dir: dir, shared: o.FS == nil, sem: make(chan struct{}, 1)}
	if b.o.FS == nil {
		b.o.FS = durable.OS()
	}
	if err := b.prepareDir(); err != nil {
		return nil, Recovery{}, fmt.Errorf("opening outbox %s: %w", dir, err)
	}
	b.journal = journal{fs: b.o.FS, dir: dir, rand: b.o.Rand}
	if err := b.locked(func(*session) error { return nil }); err != nil {
		return nil, Recovery{}, fmt.Errorf("opening outbox %s: %w", dir, err)
	}
	return b, b.repairs, nil
}

func (b *Box) prepareDir() error {
	if b.o.Existing {
		_, err := b.o.FS.Stat(filepath.Join(b.dir, "journal"))
		return err
	}
	return b.o.FS.MkdirAll(b.dir, 0o700)
}

// Close ends the use of the outbox. All that was accepted is durable already;
// nothing is sent.
func (b *Box) Close() error {
	b.sending.Lock()
	defer b.sending.Unlock()
	b.sem <- struct{}{}
	defer func() { <-b.sem }()
	b.closed = true
	b.state = nil
	return nil
}

// A session is one operation on the locked and current state.
type session struct {
	b       *Box
	file    durable.File
	pending []op // applied to the state, not yet durable
	compact bool // rewrite the journal at the end, if possible
	erase   bool // the same, or fail
}

// locked runs f in a session. If f fails, or its changes cannot be made
// durable, none of them counts.
func (b *Box) locked(f func(*session) error) error {
	b.sem <- struct{}{}
	defer func() { <-b.sem }()
	return b.session(f)
}

// session is locked for a caller that holds the lock.
func (b *Box) session(f func(*session) error) (err error) {
	if b.closed {
		return ErrClosed
	}
	unlock, err := b.lockDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	s := &session{b: b}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.refresh(); err != nil {
		b.state = nil
		return err
	}
	if err := f(s); err != nil {
		if len(s.pending) > 0 {
			b.state = nil
		}
		return err
	}
	return s.commit()
}

func (b *Box) lockDir() (func() error, error) {
	if !b.shared {
		return func() error { return nil }, nil
	}
	return durable.Lock(filepath.Join(b.dir, "lock"))
}

func (s *session) close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

// do applies changes; commit makes them durable.
func (s *session) do(ops ...op) {
	for _, o := range ops {
		o.apply(s.b.state)
	}
	s.pending = append(s.pending, ops...)
}

// commit writes the changes as one frame.
func (s *session) commit() error {
	b := s.b
	if len(s.pending) > 0 {
		err := s.append()
		unsynced := errors.Is(err, errUnsynced)
		if err != nil && (unsynced || !s.erase || !durable.IsFull(err)) {
			b.state = nil // to be read again without the changes
			b.rewrite = b.rewrite || unsynced
			return err
		}
		// On a full disk, what erases goes on: the shorter journal has the changes.
	}
	const small = 64 << 10
	if b.journal.end > small && b.journal.end > 4*b.state.weight() {
		s.compact = true
	}
	if !s.compact && !s.erase {
		b.journal.ensureSpare()
		return nil
	}
	err := s.rewrite()
	if err == nil {
		b.journal.ensureSpare()
	}
	if s.erase {
		return err
	}
	return nil // the changes are durable; compaction is tried again
}

func (s *session) append() error {
	var buf cryptobyte.Builder
	for _, o := range s.pending {
		encodeOp(&buf, o)
	}
	plain, err := buf.Bytes()
	if err != nil {
		return fmt.Errorf("encoding a commit: %w", err)
	}
	s.pending = nil
	return s.b.journal.append(s.file, plain)
}

// rewrite compacts the journal.
func (s *session) rewrite() error {
	if err := s.close(); err != nil { // some systems rename no open file
		return fmt.Errorf("closing the journal: %w", err)
	}
	s.b.state.forgetTasks()
	if err := s.b.journal.write(s.b.state.snapshot); err != nil {
		s.b.state = nil
		return err
	}
	s.b.rewrite = false
	return nil
}

// refresh brings the state up to the present content of the files.
func (s *session) refresh() error {
	b := s.b
	if b.journal.key == nil {
		if err := b.prepareKey(); err != nil {
			return err
		}
	}
	f, h, err := b.journal.openFile()
	if errors.Is(err, errNoJournal) {
		return s.begin()
	}
	if err != nil {
		return err
	}
	s.file = f
	if b.state != nil && string(h.salt) == string(b.journal.salt) {
		err = s.follow(h)
	} else {
		err = s.load(h)
	}
	b.rewrite = b.rewrite || h.legacy()
	if err != nil || !b.rewrite {
		return err
	}
	if err := s.rewrite(); err != nil {
		return err
	}
	s.file, _, err = b.journal.openFile()
	return err
}

func (b *Box) prepareKey() error {
	key := b.o.Key
	if key == nil {
		k, err := loadKey(b.o.FS, filepath.Join(b.dir, "key"), b.journal.name(), b.o.Rand)
		if err != nil {
			return err
		}
		key = k
	}
	tags, err := key.tagger()
	if err != nil {
		return fmt.Errorf("deriving the key of the caps: %w", err)
	}
	b.journal.key, b.tags = key, tags
	return nil
}

// begin makes the first journal; also when somebody has removed the directory. A
// spare without a journal is what is left of an outbox whose contributions are not
// known: the running epochs take nothing more.
func (s *session) begin() error {
	b := s.b
	lost := b.journal.hasSpare()
	if err := b.o.FS.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("making the outbox: %w", err)
	}
	if err := b.prepareKey(); err != nil {
		return err
	}
	b.state = newState()
	if lost {
		b.repairs.Damaged = append(b.repairs.Damaged, Damage{})
		freeze{millis(b.o.Clock.Now().UnixMilli())}.apply(b.state)
	}
	if err := s.rewrite(); err != nil {
		return err
	}
	b.journal.ensureSpare()
	var err error
	s.file, _, err = b.journal.openFile()
	return err
}

// load reads the whole journal.
func (s *session) load(h header) error {
	b := s.b
	if err := b.journal.use(h); err != nil {
		return err
	}
	b.state = newState()
	if err := s.readOn(h.synced); err != nil {
		return err
	}
	// An earlier process may have died before its own sync; what follows builds
	// on what was read here.
	if err := s.file.Sync(); err != nil {
		b.rewrite = true
		return fmt.Errorf("syncing the journal: %w", err)
	}
	if err := b.o.FS.SyncDir(b.dir); err != nil {
		return fmt.Errorf("syncing the outbox: %w", err)
	}
	return nil
}

// follow reads what other processes have added.
func (s *session) follow(h header) error {
	end := s.b.journal.end
	if err := s.readOn(h.synced); err != nil {
		return err
	}
	if s.b.journal.end == end {
		return nil
	}
	if err := s.file.Sync(); err != nil { // its author may have died before
		s.b.rewrite = true
		return fmt.Errorf("syncing the journal: %w", err)
	}
	return nil
}

// readOn applies the frames behind the known end. A stretch that is lost, in
// between or at the end although the frames up to synced were there once, may
// have sealed any entry that is not sealed, and may have used any cap: such
// entries are dropped unless a later frame seals them, and the running epochs
// take nothing more.
func (s *session) readOn(synced uint64) error {
	b := s.b
	data, err := b.journal.tail(s.file)
	if err != nil {
		return err
	}
	suspects := map[ID]bool{}
	apply := func(o op) { o.apply(b.state) }
	suspect := func() {
		for id, e := range b.state.entries {
			suspects[id] = suspects[id] || e.Stage == Waiting
		}
	}
	fd, err := b.journal.read(data, apply, suspect)
	if err != nil {
		return err
	}
	if synced >= b.journal.frame { // the end is lost
		fd.damaged = append(fd.damaged, Damage{b.journal.end, fd.torn})
		fd.torn = 0
		suspect()
	}
	b.repairs.Torn += fd.torn
	if len(fd.damaged) == 0 {
		return nil
	}
	b.repairs.Damaged = append(b.repairs.Damaged, fd.damaged...)
	for id, suspect := range suspects {
		if e := b.state.entries[id]; suspect && e != nil && e.Stage == Waiting {
			done{id, Damaged}.apply(b.state)
			b.repairs.Dropped++
		}
	}
	freeze{millis(b.o.Clock.Now().UnixMilli())}.apply(b.state)
	// The stretch may have ended an enrolment; a client that still takes part enrols again.
	for q := range b.state.enrolled {
		leave(q).apply(b.state)
	}
	b.rewrite = true // the file is replaced by what could be read
	return nil
}

// Recovery returns what was found wrong since Open.
func (b *Box) Recovery() Recovery {
	b.sem <- struct{}{}
	defer func() { <-b.sem }()
	return b.repairs
}
