package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/cmd/shoal/internal/demo"
)

// said is an answer.
type said string

func (s said) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, string(s))
	return err
}

// TestDemoParts: parts run at the same time, their answers are shown in order, and the
// first error ends all of them and is the one that is reported.
func TestDemoParts(t *testing.T) {
	play := func(parts func(ctx context.Context) []demoPart) (string, error) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var out bytes.Buffer
		err := new(demoCmd).play(ctx, cancel, parts(ctx), demo.Config{}, &env{ctx: ctx, stdout: &out}, newProgress(io.Discard))
		return out.String(), err
	}
	second := make(chan struct{})
	out, err := play(func(context.Context) []demoPart {
		return []demoPart{
			func(c demo.Config) (written, error) {
				c.Progress("waiting", 0, 0)
				<-second
				return said("first "), nil
			},
			func(demo.Config) (written, error) {
				close(second)
				return said("second"), nil
			},
		}
	})
	if err != nil || out != "first second" {
		t.Errorf("%q, %v", out, err)
	}
	broken := errors.New("a server refused a report")
	out, err = play(func(ctx context.Context) []demoPart {
		waits := func(demo.Config) (written, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return []demoPart{waits, func(demo.Config) (written, error) { return nil, broken }, waits}
	})
	if !errors.Is(err, broken) || out != "" {
		t.Errorf("%q, %v, want %v", out, err, broken)
	}
	c := new(demoCmd)
	if err := c.ended(newProgress(io.Discard), context.Canceled); !strings.Contains(err.Error(), "interrupted") {
		t.Error(err)
	}
}
