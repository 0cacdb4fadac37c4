package shuffler

import (
	"net/http"

	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/metric/task"
)

// getKeys serves the shuffler's own key config.
func (s *Shuffler) getKeys(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	config := s.keys.Config
	s.mu.Unlock()
	keyring.Serve(w, keyring.ConfigType, config)
}

// getTaskKeys serves what a client needs to seal a report: the key config of
// each hop, in order. The shuffler passes on what the later hops have signed;
// it cannot put in keys of its own.
func (s *Shuffler) getTaskKeys(w http.ResponseWriter, r *http.Request) {
	h := s.hosted(r)
	if h == nil || h.hop != 0 {
		hop.UnknownTask.Write(w, 0)
		return
	}
	s.mu.Lock()
	list := task.KeyConfigList{s.keys.Config}
	s.mu.Unlock()
	for _, p := range h.task.Hops[1:] {
		signed, err := s.peers.Get(r.Context(), p)
		if err != nil {
			hop.Unavailable.Write(w, 0)
			return
		}
		list = append(list, signed.Bytes)
	}
	body, err := list.Encode()
	if err != nil {
		hop.Unavailable.Write(w, 0)
		return
	}
	keyring.Serve(w, KeysType, body)
}
