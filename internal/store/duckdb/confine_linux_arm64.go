//go:build duckdb && cgo

package duckdb

import "golang.org/x/sys/unix"

const machine = unix.AUDIT_ARCH_AARCH64

var otherCalls []uint32
