package leader

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// A lot is a job with the reports that it is about, as they were uploaded.
type lot struct {
	job     Job
	records [][]byte
	at      string // the job's location at the helper
}

// drive works on jobs until none is due. The errors of jobs that could not go on
// are reported, one at a time.
func (l *Leader) drive(ctx context.Context, report func(error)) error {
	l.driving.Lock()
	defer l.driving.Unlock()
	d := &driver{leader: l, report: report, slots: make(chan struct{}, l.config.Workers), ended: clock.NewSignal()}
	return d.run(ctx)
}

// A driver hands jobs to workers. Reading the logs is its own work, in the order
// of the jobs, so that each log is read once.
type driver struct {
	leader *Leader
	report func(error)
	slots  chan struct{} // held by workers
	ended  clock.Signal

	mu      sync.Mutex // also held while report is called
	running int
}

func (d *driver) run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	for ctx.Err() == nil {
		// Room for one job at least, and as many as there is room for.
		select {
		case d.slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		free := cap(d.slots) - len(d.slots) + 1
		now := d.leader.now()
		jobs, err := d.leader.config.Store.Lease(ctx, d.leader.config.Node, now, now.Add(d.leader.config.LeaseTime), free)
		if err != nil {
			<-d.slots
			return fmt.Errorf("leasing jobs: %w", err)
		}
		if len(jobs) == 0 {
			<-d.slots
			if d.count() == 0 {
				break
			}
			select {
			case <-d.ended:
			case <-d.leader.wake.jobs:
			case <-ctx.Done():
			}
			continue
		}
		for i, job := range jobs {
			if i > 0 {
				d.slots <- struct{}{}
			}
			lot, err := d.leader.load(job)
			d.start()
			workers.Go(func() {
				if err == nil {
					err = d.leader.work(ctx, lot)
				} else {
					err = errors.Join(err, d.leader.postpone(ctx, job, err, 0))
				}
				<-d.slots
				d.end(err)
			})
		}
	}
	return ctx.Err()
}

func (d *driver) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running++
}

func (d *driver) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	if err != nil {
		d.report(err)
	}
	d.ended.Set()
}

func (d *driver) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running
}

// load reads a job's reports, unless the job was begun by this process and is
// still in memory. Callers drive.
func (l *Leader) load(job Job) (lot, error) {
	if l.started.has(jobKey{job.Task, job.Number}) {
		return lot{job: job}, nil
	}
	records, err := l.readReports(job)
	return lot{job: job, records: records}, err
}

func (l *Leader) readReports(job Job) ([][]byte, error) {
	k := logKey{job.Task, job.Log}
	r, err := l.readers.open(k)
	if err != nil {
		return nil, err
	}
	defer l.readers.done(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cursor.log = r.log
	records, lost, err := r.cursor.records(job.From, job.To, job.Skip)
	if lost > 0 {
		l.lostRecords(k, job.From, lost)
	}
	if r.headed {
		for i, b := range records {
			records[i] = b[min(len(b), recordHead):]
		}
	}
	return records, err
}

// A startedJobs keeps what was made of jobs that wait for the helper, so that it
// need not be made again. It holds output shares: treat it as secret.
type startedJobs struct {
	mu    sync.Mutex
	limit int
	jobs  map[jobKey]*begun
}

func newStartedJobs(limit int) *startedJobs {
	return &startedJobs{limit: limit, jobs: make(map[jobKey]*begun)}
}

func (s *startedJobs) has(k jobKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[k] != nil
}

// put keeps a job, if there is room.
func (s *startedJobs) put(k jobKey, b *begun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) < s.limit {
		s.jobs[k] = b
	}
}

// take returns a job and forgets it; nil if it is not there.
func (s *startedJobs) take(k jobKey) *begun {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.jobs[k]
	delete(s.jobs, k)
	return b
}

// dueAfter returns when a job whose attempt has failed is tried again.
func (l *Leader) dueAfter(attempts int, asked time.Duration) time.Time {
	wait := max(asked, clock.Backoff(attempts, l.config.FirstPause, l.config.LongPause))
	return l.now().Add(max(time.Second, wait))
}
