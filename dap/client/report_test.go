package client_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/shoal-project/shoal/dap/client"
)

// All 16 bytes of a report ID are random, and nothing else is: two reports must
// never have the same, and an ID must not identify its client.
func TestReportIDs(t *testing.T) {
	source := bytes.Repeat([]byte{0xa7}, 16)
	id, err := client.NewReportID(bytes.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(id[:], source) {
		t.Errorf("ID %x of the randomness %x", id, source)
	}
	if _, err := client.NewReportID(bytes.NewReader(source[:15])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("15 bytes of randomness: %v, want %v", err, io.ErrUnexpectedEOF)
	}
	broken := errors.New("no randomness")
	if _, err := client.NewReportID(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v, want the reader's error", err)
	}
}
