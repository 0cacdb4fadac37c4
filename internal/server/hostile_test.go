package server

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
)

// stall begins to hand over a batch that is signed and never comes.
func (w *world) stall() {
	w.t.Helper()
	identity, err := LoadIdentity(w.a.config().identityPath())
	if err != nil {
		w.t.Fatal(err)
	}
	h, err := esa.NewBatchHeader(w.task, w.id, 0, w.task.EpochAt(w.clock.Now()), 1000, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var file strings.Builder
	out, err := esa.NewBatchWriter(&file, h, identity)
	if err != nil {
		w.t.Fatal(err)
	}
	for range 1000 {
		if err := out.Write(make([]byte, h.RowSize)); err != nil {
			w.t.Fatal(err)
		}
	}
	if _, err := out.Close(); err != nil {
		w.t.Fatal(err)
	}
	seal, err := esa.ReadBatchSeal(strings.NewReader(file.String()), int64(file.Len()))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := net.Dial("tcp", w.b.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "PUT /tasks/%v/batches/%v HTTP/1.1\r\nHost: x\r\nContent-Type: application/shoal-batch;v=1\r\nShoal-Batch-Seal: %s\r\nContent-Length: %d\r\n\r\n%s",
		w.id, h.ID, base64.RawURLEncoding.EncodeToString(seal), file.Len(), file.String()[:file.Len()/2])
}

// arriving waits until n batches are on their way in.
func (w *world) arriving(n int) {
	w.t.Helper()
	for range 500 {
		found, err := filepath.Glob(filepath.Join(w.b.config().analyzerDir(), "received", "*.tmp"))
		if err != nil {
			w.t.Fatal(err)
		}
		if len(found) >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("there are no %d batches on their way in", n)
}

// A hop that hands over slowly holds up neither the tasks that are added
// meanwhile nor anybody else's requests.
func TestSlowBatchHoldsUpNothing(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	w.stall()
	w.arriving(1)
	second := strings.Replace(question, "  fruit:", "  tree:", 1)
	b, err := w.build(fmt.Sprintf(second, "http://"+w.a.address, w.a.identity, "http://"+w.b.address, w.b.identity)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	url, token := "http://"+w.b.server.Addr("ops")+"/api/v1/tasks", w.b.token(ScopeTasks, ScopeRead)
	if status, _, body := call(t, http.MethodPost, url, token, b); status != http.StatusCreated {
		t.Errorf("adding a task: status %d: %s", status, body)
	}
	if status, _, _ := get(t, "http://"+w.b.address+"/keys/analyzer", ""); status != http.StatusOK {
		t.Errorf("keys: status %d", status)
	}
}

// Slow hand-overs take no slots of other requests.
func TestSlowBatchesHaveTheirOwnSlots(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	for range batchSlots {
		w.stall()
	}
	w.arriving(batchSlots)
	url := "http://" + w.b.address
	if status, _, _ := get(t, url+"/keys/analyzer", ""); status != http.StatusOK {
		t.Errorf("keys: status %d", status)
	}
	path := "/tasks/" + w.id.String() + "/batches/" + esa.BatchID{}.String()
	if status, header, _ := call(t, http.MethodPut, url+path, "", nil); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("one batch too many: status %d", status)
	}
}

// A data folder may have any name: tasks that were added at run time are there
// again after a restart.
func TestAddedTasksInAnOddFolder(t *testing.T) {
	w := newWorld(t)
	c := w.b.config()
	c.Data = filepath.Join(t.TempDir(), "a[b]*?")
	c.Tasks.Bundles = nil
	bundle, err := os.ReadFile(filepath.Join(w.b.dir, "tasks.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.saveAdded(bundle, [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	identity, err := LoadIdentity(c.identityPath())
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRegistry(c, identity.Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.load(w.clock.Now()); err != nil || len(r.tasks) != 1 {
		t.Errorf("%d tasks, %v; want the one that was added", len(r.tasks), err)
	}
}
