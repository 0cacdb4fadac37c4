//go:build js

package main

import (
	"context"
	"syscall/js"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/bridge"
)

func main() {
	js.Global().Set("shoalDiscovery", js.ValueOf(map[string]any{
		"open": js.FuncOf(open),
		"sign": js.FuncOf(sign),
	}))
	select {} // the functions above are called until the page goes
}

// open is shoalDiscovery.open.
func open(_ js.Value, args []js.Value) any {
	if len(args) != 2 || args[0].Type() != js.TypeString || args[1].Type() != js.TypeObject {
		return rejected("open: want options, as a string, and hooks")
	}
	options, hooks := args[0].String(), args[1]
	return promise(func() (any, error) {
		o, err := bridge.ParseOptions([]byte(options))
		if err != nil {
			return nil, err
		}
		s, err := bridge.Open(context.Background(), o, newHost(hooks))
		if err != nil {
			return nil, err
		}
		return session(s), nil
	})
}

// session makes the object that open resolves to.
func session(s *bridge.Session) js.Value {
	object := js.ValueOf(map[string]any{})
	var methods []js.Func
	method := func(name string, f func(args []js.Value) any) {
		m := js.FuncOf(func(_ js.Value, args []js.Value) any { return f(args) })
		methods = append(methods, m)
		object.Set(name, m)
	}
	method("handle", func(args []js.Value) any {
		if len(args) != 1 || args[0].Type() != js.TypeString {
			return rejected("handle: want an event, as a string")
		}
		line := args[0].String()
		return promise(func() (any, error) {
			return nil, s.Handle(context.Background(), []byte(line))
		})
	})
	// What waits for the engine must not keep JavaScript waiting: a hook that the
	// engine waits for could never answer.
	method("stats", func([]js.Value) any {
		return promise(func() (any, error) {
			b, err := s.Stats()
			return string(b), err
		})
	})
	method("update", func(args []js.Value) any {
		if len(args) != 1 || !args[0].InstanceOf(js.Global().Get("Uint8Array")) {
			return rejected("update: want a signed bundle, as a Uint8Array")
		}
		signed := bytesOf(args[0])
		return promise(func() (any, error) {
			version, err := s.Update(context.Background(), signed, time.Now())
			return float64(version), err
		})
	})
	method("judge", func(args []js.Value) any {
		if len(args) != 1 || args[0].Type() != js.TypeString {
			return rejected("judge: want an address")
		}
		address := args[0].String()
		return promise(func() (any, error) {
			b, err := s.Judge(address)
			return string(b), err
		})
	})
	method("clean", func(args []js.Value) any {
		if len(args) != 2 || args[0].Type() != js.TypeString || !args[1].InstanceOf(js.Global().Get("Uint8Array")) {
			return rejected("clean: want an address and a Uint8Array")
		}
		address, shown := args[0].String(), bytesOf(args[1])
		return promise(func() (any, error) {
			b, err := s.Clean(context.Background(), address, shown)
			return string(b), err
		})
	})
	method("close", func([]js.Value) any {
		for _, m := range methods {
			m.Release()
		}
		return nil
	})
	return object
}

// sign is shoalDiscovery.sign.
func sign(_ js.Value, args []js.Value) any {
	if len(args) != 3 || args[0].Type() != js.TypeString || args[1].Type() != js.TypeObject || !args[2].InstanceOf(js.Global().Get("Uint8Array")) {
		return rejected("sign: want an address, an array and a Uint8Array")
	}
	address, robots, body := args[0].String(), texts(args[1]), bytesOf(args[2])
	return promise(func() (any, error) {
		b, err := bridge.Sign(address, robots, body)
		return string(b), err
	})
}
