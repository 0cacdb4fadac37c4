//go:build js

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall/js"

	"github.com/shoal-project/shoal/internal/discovery/bridge"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// A host is the hooks of an embedder.
type host struct{ hooks js.Value }

func newHost(hooks js.Value) *host { return &host{hooks} }

func (h *host) has(name string) bool { return h.hooks.Get(name).Type() == js.TypeFunction }

// call calls a hook and waits for what it promises. A hook that throws fails.
func (h *host) call(name string, args ...any) (v js.Value, err error) {
	if !h.has(name) {
		return js.Undefined(), fmt.Errorf("there is no hook %s", name)
	}
	defer func() {
		if r := recover(); r != nil {
			if _, thrown := r.(js.Error); !thrown {
				panic(r)
			}
			err = fmt.Errorf("the hook %s failed", name)
		}
	}()
	return await(h.hooks.Call(name, args...))
}

// Fetch implements bridge.Host.
func (h *host) Fetch(_ context.Context, url string) (bridge.Answer, error) {
	return h.answer("fetch", url)
}

// CanRender implements bridge.Renderer.
func (h *host) CanRender() bool { return h.has("render") }

// Render implements bridge.Renderer.
func (h *host) Render(_ context.Context, url string) (bridge.Answer, error) {
	return h.answer("render", url)
}

// answer calls a hook that fetches.
func (h *host) answer(hook, url string) (bridge.Answer, error) {
	v, err := h.call(hook, url)
	if err != nil {
		return bridge.Answer{}, err
	}
	if v.Type() != js.TypeObject || v.Get("status").Type() != js.TypeNumber || !v.Get("body").InstanceOf(js.Global().Get("Uint8Array")) {
		return bridge.Answer{}, fmt.Errorf("the hook %s gave no answer", hook)
	}
	a := bridge.Answer{Status: v.Get("status").Int(), Robots: texts(v.Get("robots")), Body: bytesOf(v.Get("body"))}
	a.Rendered = v.Get("rendered").Type() == js.TypeBoolean && v.Get("rendered").Bool()
	for name, field := range map[string]*string{"address": &a.Address, "contentType": &a.ContentType} {
		if t := v.Get(name); t.Type() == js.TypeString {
			*field = t.String()
		}
	}
	return a, nil
}

// Emit implements bridge.Host.
func (h *host) Emit(line []byte) error {
	_, err := h.call("emit", string(line))
	return err
}

// Explain implements bridge.Host.
func (h *host) Explain(line []byte) {
	if h.has("explain") {
		h.call("explain", string(line)) //nolint:errcheck // nothing depends on it
	}
}

// Purge implements bridge.Host.
func (h *host) Purge(context.Context) error {
	if !h.has("purge") {
		return nil
	}
	_, err := h.call("purge")
	return err
}

// Random implements bridge.Host.
func (h *host) Random() io.Reader {
	if !h.has("random") {
		return nil
	}
	return reader{h}
}

type reader struct{ host *host }

func (r reader) Read(p []byte) (int, error) {
	v, err := r.host.call("random", len(p))
	if err != nil {
		return 0, err
	}
	if b := bytesOf(v); len(b) == len(p) {
		return copy(p, b), nil
	}
	return 0, errors.New("the hook random gave too few bytes")
}

// Store implements bridge.Host.
func (h *host) Store() lifecycle.Store {
	if !h.has("load") {
		return nil
	}
	return store{h}
}

// A store keeps records with the hooks load, apply and clear.
type store struct{ host *host }

func (s store) Load(_ context.Context, f func(key string, value []byte) error) error {
	v, err := s.host.call("load")
	if err != nil {
		return err
	}
	for i := range v.Length() {
		if err := f(v.Index(i).Index(0).String(), bytesOf(v.Index(i).Index(1))); err != nil {
			return err
		}
	}
	return nil
}

func (s store) Apply(_ context.Context, changes []lifecycle.Change) error {
	list := make([]any, len(changes))
	for i, c := range changes {
		value := js.Null()
		if c.Value != nil {
			value = arrayOf(c.Value)
		}
		list[i] = []any{c.Key, value}
	}
	_, err := s.host.call("apply", list)
	return err
}

func (s store) Clear(context.Context) error {
	_, err := s.host.call("clear")
	return err
}
