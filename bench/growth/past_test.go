package growth

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// linked is of how many epochs of the first task, the newest, there are files: pages
// look at those.
const linked = 100

// past gives the organisations a past, while their servers do not run: batches of
// all tasks until an epoch, which the shuffler has destroyed and the analyzer has
// released, as it has released the only one there is.
func (r *route) past(template analyzer.Entry, until task.Epoch) {
	r.b.Helper()
	text := must(json.Marshal(template.Manifest))(r.b)
	var manifest map[string]any
	if err := json.Unmarshal(text, &manifest); err != nil {
		r.b.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	digest := func() []byte {
		raw := make([]byte, 32)
		random.Read(raw)
		return raw
	}
	released, shuffled := r.begin(analyzing), r.begin(shuffling)
	for i, t := range r.tasks {
		for e := t.EpochAt(begin); e < until; e++ {
			if i == 0 && e == template.Epoch {
				continue
			}
			batch := digest()
			manifest["task"], manifest["metric"], manifest["epoch"] = r.ids[i].String(), t.Metric, e
			manifest["start"], manifest["end"], manifest["batch"] = t.Start(e), t.Start(e+1), fmt.Sprintf("%x", batch)
			r.exec(released, `INSERT INTO batches (batch, task, epoch, state, digest, manifest) VALUES (?, ?, ?, 2, ?, ?)`,
				batch, r.ids[i][:], int64(e), digest(), string(must(json.Marshal(manifest))(r.b)))
			r.exec(shuffled, `INSERT INTO batches (task, epoch, state, into_epoch, batch, input, output, counts) VALUES (?, ?, 7, 0, ?, ?, ?, '{}')`,
				r.ids[i][:], int64(e), batch, digest(), digest())
			if i == 0 && e+linked >= until {
				r.link(template.Epoch, e)
			}
		}
	}
	// Not all versions of the catalogue have what follows from a manifest in columns.
	for column, value := range map[string]string{
		"records": `json_extract(manifest, '$.analyzer.records')`,
		"metric":  `json_extract(manifest, '$.metric')`,
		"expires": `unixepoch(json_extract(manifest, '$.end')) + 86400 * json_extract(manifest, '$.parameters.retention_days')`,
	} {
		var has int
		if err := released.QueryRow(`SELECT count(*) FROM pragma_table_info('batches') WHERE name = ?`, column).Scan(&has); err != nil {
			r.b.Fatal(err)
		}
		if has == 1 {
			r.exec(released, `UPDATE batches SET `+column+` = `+value)
		}
	}
	for _, tx := range []*sql.Tx{released, shuffled} {
		if err := tx.Commit(); err != nil {
			r.b.Fatal(err)
		}
	}
	r.clock.Set(r.tasks[0].Start(until).Add(10 * time.Minute))
}

// begin begins a transaction in an organisation's file.
func (r *route) begin(org int) *sql.Tx {
	r.b.Helper()
	name := []string{"shuffler.db", "analyzer.db"}[org]
	db := must(sql.Open("sqlite", filepath.Join(r.configs[org].Data, name)))(r.b)
	r.b.Cleanup(func() { db.Close() })
	return must(db.Begin())(r.b)
}

func (r *route) exec(tx *sql.Tx, query string, args ...any) {
	r.b.Helper()
	if _, err := tx.Exec(query, args...); err != nil {
		r.b.Fatal(err)
	}
}

// link gives an epoch of the first task the tables of another.
func (r *route) link(from, to task.Epoch) {
	r.b.Helper()
	dir := func(e task.Epoch) string {
		return filepath.Join(r.configs[analyzing].Data, "analyzer", "batches", "tables", fmt.Sprintf("%x-%d", r.ids[0][:8], e))
	}
	if err := os.MkdirAll(dir(to), 0o700); err != nil {
		r.b.Fatal(err)
	}
	for _, f := range must(os.ReadDir(dir(from)))(r.b) {
		if err := os.Link(filepath.Join(dir(from), f.Name()), filepath.Join(dir(to), f.Name())); err != nil {
			r.b.Fatal(err)
		}
	}
}
