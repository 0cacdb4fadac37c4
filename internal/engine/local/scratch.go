package local

import (
	"context"

	"github.com/shoal-project/shoal/internal/engine"
)

var _ engine.Scratcher = (*Engine)(nil)

// Scratch makes a file under a name like that of a dataset. It implements
// [engine.Scratcher].
func (e *Engine) Scratch(ctx context.Context, name string) (engine.Scratch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d, f, err := e.take(name, []engine.Column{{Name: "byte", Width: 1}})
	if err != nil {
		return nil, err
	}
	e.publish(d, 0)
	return f, nil
}
