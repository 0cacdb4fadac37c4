//go:build duckdb && cgo && !linux

package duckdb

func confine(request) error { return nil }

func seal() error { return nil }
