//go:build duckdb && cgo

package duckdb

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestSeal holds the kernel to its part: even code that has taken over the
// worker opens no file, writes none, reaches no host and starts no program. It
// runs again in a process of its own, which is sealed permanently.
func TestSeal(t *testing.T) {
	const marker = "SHOAL_TEST_SEAL"
	if os.Getenv(marker) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^TestSeal$", "-test.v")
		cmd.Env = []string{marker + "=" + t.TempDir()}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	dir := os.Getenv(marker)
	open, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	if err := confine(request{Limits: Limits{}.withDefaults()}); err != nil {
		t.Fatal(err)
	}
	if err := seal(); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool) // a thread of its own: the filter holds in all of them
	go func() {
		defer close(done)
		_, err := os.ReadFile("/etc/passwd")
		refused(t, "reading a file", err, syscall.EPERM)
		refused(t, "making a file", os.WriteFile(filepath.Join(dir, "new"), nil, 0o600), syscall.EPERM)
		_, err = open.Write([]byte("x"))
		refused(t, "writing to an open file", err, syscall.EFBIG)
		refused(t, "removing a file", os.Remove(filepath.Join(dir, "open")), syscall.EPERM)
		refused(t, "renaming a file", os.Rename(filepath.Join(dir, "open"), filepath.Join(dir, "b")), syscall.EPERM)
		_, err = net.Dial("tcp", "127.0.0.1:9")
		refused(t, "reaching a host", err, syscall.EPERM)
		_, err = os.StartProcess("/bin/true", nil, &os.ProcAttr{})
		refused(t, "starting a program", err, syscall.EPERM)
	}()
	<-done
}

func refused(t *testing.T, what string, err error, want syscall.Errno) {
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
