//go:build duckdb && cgo

package duckdb

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// headroom is the address space beside DuckDB's memory: stacks of threads,
// arenas of the allocator, what Go reserves, and what DuckDB does not count
// while it behaves.
const headroom = 1 << 30

// confine limits the process before it reads anything: no files written, no
// core dump, bounded processor time and address space.
func confine(r request) error {
	signal.Ignore(syscall.SIGXFSZ)
	space, err := addressSpace()
	if err != nil {
		return fmt.Errorf("confining the process: %w", err)
	}
	seconds := uint64((r.Limits.Time+grace)/time.Second)*uint64(r.Limits.Threads+1) + 1
	for _, limit := range []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_FSIZE, 0},
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_CPU, seconds},
		{unix.RLIMIT_AS, space + uint64(r.Limits.Memory) + headroom},
	} {
		if err := unix.Setrlimit(limit.resource, &unix.Rlimit{Cur: limit.value, Max: limit.value}); err != nil {
			return fmt.Errorf("confining the process: limit %d: %w", limit.resource, err)
		}
	}
	if r.Background {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10) // a courtesy, not a protection
	}
	return nil
}

// addressSpace returns how much the process has reserved so far.
func addressSpace() (uint64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, _, _ := bytes.Cut(b, []byte(" "))
	n, err := strconv.ParseUint(string(pages), 10, 64)
	return n * uint64(os.Getpagesize()), err
}

// forbidden are the system calls that open, change, start or reach something
// outside of the process, as far as all machines have them. Those of one
// machine are in otherCalls.
var forbidden = []uint32{
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_OPEN_TREE,
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT,
	unix.SYS_TRUNCATE, unix.SYS_FCHMODAT, unix.SYS_FCHOWNAT, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_CHROOT,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KILL, unix.SYS_PIDFD_OPEN,
	unix.SYS_IO_URING_SETUP, unix.SYS_BPF, unix.SYS_USERFAULTFD, unix.SYS_PERF_EVENT_OPEN, unix.SYS_UNSHARE, unix.SYS_SETNS,
}

// Offsets in the structure that a filter sees.
const (
	callOffset    = 0
	machineOffset = 4
)

// seal makes the kernel refuse, in all threads and permanently, every call of
// forbidden: whatever a query does to DuckDB, the process opens no file.
func seal() error {
	calls := append(forbidden, otherCalls...)
	program := filter(calls)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("sealing the process: %w", err)
	}
	head := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&head)))
	runtime.KeepAlive(program)
	if e != 0 {
		return fmt.Errorf("sealing the process: the kernel takes no filter of system calls: %w", e)
	}
	return nil
}

// filter is the program that the kernel asks about each call.
func filter(calls []uint32) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	refuse := answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	program := []unix.SockFilter{
		load(machineOffset),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: machine, Jt: 1}, // numbers of another machine's calls mean other calls
		answer(unix.SECCOMP_RET_KILL_PROCESS),
		load(callOffset),
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: 1 << 30, Jf: 1}, // the x32 numbers
		refuse,
	}
	for _, c := range calls {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: c, Jf: 1}, refuse)
	}
	return append(program, answer(unix.SECCOMP_RET_ALLOW))
}
