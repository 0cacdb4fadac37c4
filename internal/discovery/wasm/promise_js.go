//go:build js

package main

import (
	"errors"
	"syscall/js"
)

// promise runs f in a goroutine of its own, where it may wait for other
// promises, and settles with what it returns.
func promise(f func() (any, error)) js.Value {
	var executor js.Func
	executor = js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve, reject := args[0], args[1]
		go func() {
			defer executor.Release()
			value, err := f()
			if err != nil {
				reject.Invoke(failure(err.Error()))
				return
			}
			resolve.Invoke(value)
		}()
		return nil
	})
	return js.Global().Get("Promise").New(executor)
}

// await waits until a promise settles. What is no promise is its own value. It
// must run in a goroutine that JavaScript does not wait for.
func await(v js.Value) (js.Value, error) {
	if v.Type() != js.TypeObject || v.Get("then").Type() != js.TypeFunction {
		return v, nil
	}
	type outcome struct {
		value js.Value
		err   error
	}
	done := make(chan outcome, 1)
	resolved := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- outcome{value: args[0]}
		return nil
	})
	rejected := js.FuncOf(func(_ js.Value, args []js.Value) any {
		// The hook's error may name the page: it is not repeated.
		done <- outcome{err: errors.New("the embedder's hook failed")}
		return nil
	})
	defer resolved.Release()
	defer rejected.Release()
	v.Call("then", resolved, rejected)
	o := <-done
	return o.value, o.err
}

func rejected(text string) js.Value { return js.Global().Get("Promise").Call("reject", failure(text)) }

// failure makes an Error.
func failure(text string) js.Value { return js.Global().Get("Error").New(text) }

func bytesOf(v js.Value) []byte {
	b := make([]byte, v.Get("length").Int())
	js.CopyBytesToGo(b, v)
	return b
}

func arrayOf(b []byte) js.Value {
	v := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(v, b)
	return v
}

func texts(v js.Value) []string {
	if v.Type() != js.TypeObject {
		return nil
	}
	out := make([]string, v.Length())
	for i := range out {
		out[i] = v.Index(i).String()
	}
	return out
}
