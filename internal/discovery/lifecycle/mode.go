package lifecycle

// A mode says where private mode is on.
type mode struct {
	off  bool           // everywhere: nothing is to be kept
	tabs map[int64]bool // tabs in private mode
}

// ignores tells whether an event is one of private mode, and forgets a tab that is
// closed.
func (m *mode) ignores(ev Event) bool {
	if !m.off && (ev.Tab == 0 || !m.tabs[ev.Tab]) {
		return false
	}
	if ev.Kind == Closed {
		delete(m.tabs, ev.Tab)
	}
	return true
}
