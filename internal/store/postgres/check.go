package postgres

import (
	"context"
	"fmt"
)

// Check connects to a database with the settings of a store, changes nothing, and
// returns its version and what an operator should know of: transactions that are
// left open, statements that wait for locks, fsync off.
func Check(ctx context.Context, connection string) (version string, warnings []string, err error) {
	d, err := connect(ctx, connection)
	if err != nil {
		return "", nil, err
	}
	defer d.Close()
	var open, waiting int
	var fsync string
	err = d.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'),
		(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND now() - state_change > interval '10 s'),
		(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND now() - query_start > interval '2 s')`).
		Scan(&version, &fsync, &open, &waiting)
	if err != nil {
		return "", nil, err
	}
	if open > 0 {
		warnings = append(warnings, fmt.Sprintf("%d transactions are idle for more than 10 s: they may hold locks, see pg_stat_activity", open))
	}
	if waiting > 0 {
		warnings = append(warnings, fmt.Sprintf("%d statements wait for a lock for more than 2 s: pg_blocking_pids shows which transactions hold them", waiting))
	}
	if fsync != "on" {
		warnings = append(warnings, "fsync is off: what was acknowledged is lost in a crash of the server's machine")
	}
	return version, warnings, nil
}
