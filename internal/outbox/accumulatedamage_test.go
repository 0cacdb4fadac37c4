package outbox

import (
	"bytes"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// Threat: after a flipped bit on the disk, a device takes part again whose person
// has left, or sends a second report of an epoch, or one of which it is not known
// what it holds.
func TestDamageEndsEnrolments(t *testing.T) {
	fsys := durable.Mem()
	o := Options{FS: fsys, Clock: clock.NewVirtual(noon)}
	b, _, err := Open("box", o)
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range []string{"left", "stays"} {
		if err := b.Enrol(Enrolment{Task: task.ID{1}, TaskBytes: []byte("task"), Owner: "o", Metric: metric, Since: noon}); err != nil {
			t.Fatal(err)
		}
	}
	con := Contribution{
		Task: task.ID{1}, TaskBytes: []byte("task"), Owner: "o", Metric: "stays", Start: noon.Add(-time.Hour), End: noon.Add(time.Hour),
		PerEpoch: 1, PerCrowd: 1, At: noon, From: noon.Add(time.Hour), MaxDelay: time.Hour, SendBy: noon.Add(2 * time.Hour), NotAfter: noon.Add(3 * time.Hour),
		Method: task.Aggregate, Reports: []Report{{Record: []byte("zero"), Crowd: []byte("all")}},
	}
	if vs, err := b.Add(con); err != nil || vs[0] != Accepted {
		t.Fatal(vs, err)
	}
	if ok, err := b.Amend(con.Task, con.Epoch, false, func(Entry) (Report, error) { return Report{Record: []byte("one")}, nil }); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if n, err := b.Leave(func(e Enrolment) bool { return e.Metric == "left" }); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := b.Enrol(Enrolment{Task: task.ID{1}, Owner: "o", Metric: "last", Since: noon}); err != nil {
		t.Fatal(err)
	}
	_ = b.Close()
	good, err := durable.ReadFile(fsys, "box/journal")
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for i := headerSize; i < len(good); i++ {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if err := durable.WriteFile(fsys, "box/journal", bad, 0o600); err != nil {
			t.Fatal(err)
		}
		b, rec, err := Open("box", o)
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		list, err := b.Enrolments()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if rec.Damaged != nil && e.Metric != "last" || e.Metric == "left" {
				t.Fatalf("byte %d: still enrolled in %q", i, e.Metric)
			}
		}
		if rec.Damaged != nil {
			damaged++
			entries, err := b.List()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if string(e.Record) != "one" {
					t.Fatalf("byte %d: a report with %q waits, but %q was acknowledged", i, e.Record, "one")
				}
			}
			if vs, err := b.Add(con); err != nil || vs[0] == Accepted {
				t.Fatalf("byte %d: a second report of the epoch: %v, %v", i, vs, err)
			}
		}
		_ = b.Close()
	}
	if damaged == 0 {
		t.Error("nothing was taken for damage")
	}
}
