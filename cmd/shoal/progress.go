package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// progress draws one line about long work on a terminal, and nothing elsewhere.
// Its methods are safe for concurrent use.
type progress struct {
	w  io.Writer // nil if nothing is shown
	mu sync.Mutex
	at time.Time // when the line was last drawn
	on string    // the stage that the line is about

	shown int // which part of the work the line is about
}

// newProgress draws on w if that is a terminal.
func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{}
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("TERM") == "dumb" {
		return &progress{}
	}
	return &progress{w: w}
}

// show draws how far a stage is; total 0 means unknown.
func (p *progress) show(stage string, done, total int) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if stage == p.on && now.Sub(p.at) < 100*time.Millisecond && done != total {
		return
	}
	p.on, p.at = stage, now
	if total == 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s …", stage)
		return
	}
	const width = 30
	full := done * width / total
	fmt.Fprintf(p.w, "\r\x1b[K%-22s [%s%s] %d/%d", stage, strings.Repeat("━", full), strings.Repeat(" ", width-full), done, total)
}

// parts returns what shows each of n parts of the work that go on at the same time. A part
// is drawn while it is in front.
func (p *progress) parts(n int) []func(stage string, done, total int) {
	all := make([]func(string, int, int), n)
	for i := range all {
		all[i] = func(stage string, done, total int) {
			p.mu.Lock()
			front := p.shown == i
			p.mu.Unlock()
			if front {
				p.show(stage, done, total)
			}
		}
	}
	return all
}

// front chooses the part that is drawn.
func (p *progress) front(part int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = part
}

// clear removes the line.
func (p *progress) clear() {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.on != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.on = ""
	}
}
