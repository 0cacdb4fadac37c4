package sdktest_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/task"
)

// A hostile client has one credential of each shuffler, and keeps no cap. It reaches the
// parties directly, or through the task's relay.
type hostile struct {
	w    *requiring
	id   task.ID
	way  *relay.Way // nil: directly
	keys []task.Key
	have map[string]*arc.Credential // by the issuer's identity
}

func newHostile(w *requiring) *hostile {
	w.t.Helper()
	h := &hostile{w: w, have: map[string]*arc.Credential{}}
	var err error
	h.id, err = w.task.ID()
	must(w.t, err)
	if w.task.Relayed() {
		h.way, err = relay.NewClient(w.transport(), w.clock).Way(w.task)
		must(w.t, err)
		h.keys, err = h.way.HopKeys(w.t.Context(), w.task)
		must(w.t, err)
	} else {
		list, err := task.ParseKeyConfigList(h.do(w.task.Hops[0], false, http.MethodGet, "/tasks/"+h.id.String()+"/keys", "", nil))
		must(w.t, err)
		configs, err := list.Open(w.task, w.clock.Now())
		must(w.t, err)
		h.keys, err = esa.ChooseKeys(w.task, configs, w.clock.Now())
		must(w.t, err)
	}
	code := w.invite()
	for _, p := range w.task.Hops {
		if len(w.task.Presentations(p)) > 0 {
			h.have[string(p.Identity)] = h.obtain(p, code)
		}
	}
	return h
}

// do makes a request to a party, and returns the answer of a success.
func (h *hostile) do(p task.Party, issuing bool, method, path, mediaType string, body []byte) []byte {
	h.w.t.Helper()
	b, status := h.try(p, issuing, method, path, mediaType, body)
	if status/100 != 2 {
		h.w.t.Errorf("%s %s: HTTP %d: %s", method, path, status, b)
	}
	return b
}

func (h *hostile) try(p task.Party, issuing bool, method, path, mediaType string, body []byte) ([]byte, int) {
	h.w.t.Helper()
	rt, err := http.RoundTripper(&http.Transport{DisableKeepAlives: true}), error(nil)
	if h.way != nil && issuing {
		rt, err = h.way.Issuance(p)
	} else if h.way != nil {
		rt, err = h.way.Transport(p)
	}
	must(h.w.t, err)
	r, err := http.NewRequestWithContext(h.w.t.Context(), method, p.URL+path, bytes.NewReader(body))
	must(h.w.t, err)
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	resp, err := rt.RoundTrip(r)
	must(h.w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(h.w.t, err)
	return b, resp.StatusCode
}

// obtain gets the credential of the present period by the protocol alone.
func (h *hostile) obtain(p task.Party, code string) *arc.Credential {
	h.w.t.Helper()
	slot, _ := credential.SlotOf(h.w.task, p, h.epoch())
	path := "/tasks/" + h.id.String() + "/credentials/" + p.Role.String() + "/" + strconv.FormatInt(slot.Start, 10)
	keys, err := relay.CredentialSlot(h.w.task, slot).Open(h.do(p, false, http.MethodGet, path, "", nil))
	must(h.w.t, err)
	public, err := arc.ParsePublicKey(keys[1 : 1+arc.PublicKeySize])
	must(h.w.t, err)
	secrets, request, err := arc.NewRequest(rand.Reader, slot.RequestContext())
	must(h.w.t, err)
	body := append(append([]byte{1}, request.Bytes()...), make([]byte, 8)...)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(code))), code...)
	response, err := arc.ParseResponse(h.do(p, true, http.MethodPost, path, credential.RequestType, body))
	must(h.w.t, err)
	cr, err := secrets.Finalize(public, request, response)
	must(h.w.t, err)
	return cr
}

func (h *hostile) epoch() task.Epoch { return h.w.task.EpochAt(h.w.clock.Now()) }

// report seals a record of a crowd with chosen nonces, of the epoch and of the crowd.
func (h *hostile) report(program string, nonces [2]uint32) []byte {
	h.w.t.Helper()
	tk := h.w.task
	enc, err := encoder.New(tk, h.id)
	must(h.w.t, err)
	fragments, err := enc.Encode(sdktest.Use(program, "time"), rand.Reader)
	must(h.w.t, err)
	sealer, err := esa.NewSealer(tk, h.id, h.keys)
	must(h.w.t, err)
	tag := enc.Tag(fragments[0], h.epoch())
	report, err := sealer.SealShowing(h.epoch(), []esa.CrowdTag{tag}, fragments[0].Payload, func(i int, digest [sha256.Size]byte) ([][]byte, error) {
		var all [][]byte
		for k, of := range credential.ContextsOf(tk, tk.Hops[i], h.epoch(), tag[:]) {
			ctx, err := arc.NewContext(of.Data[:], of.Limit)
			if err != nil {
				return nil, err
			}
			p, err := h.have[string(tk.Hops[i].Identity)].Present(rand.Reader, ctx, nonces[k], credential.Binding(h.id, digest))
			if err != nil {
				return nil, err
			}
			all = append(all, p.Bytes())
		}
		return all, nil
	})
	must(h.w.t, err)
	return report
}

// flood sends reports, several at a time.
func (h *hostile) flood(reports [][]byte) {
	h.w.t.Helper()
	var wait sync.WaitGroup
	for _, report := range reports {
		wait.Go(func() {
			h.do(h.w.task.Hops[0], false, http.MethodPost, "/tasks/"+h.id.String()+"/reports", "application/shoal-report;v=1", report)
		})
	}
	wait.Wait()
}

// TestHostileClientThroughServers covers a client that has one credential and keeps no cap:
// over whole servers, one shuffler or two, directly and through relay and gateway, many
// reports at a time and over a restart, it counts at most per_crowd times in a crowd and
// per_epoch times in all, and nobody else counts less.
func TestHostileClientThroughServers(t *testing.T) {
	crowds := []string{"ape", "bat", "cat", "dog", "eel"}
	for name, roles := range map[string][]task.Role{
		"directly":                     {task.Shuffler, task.Analyzer},
		"two shufflers":                {task.Shuffler, task.Shuffler, task.Analyzer},
		"relay":                        {task.Shuffler, task.Analyzer, task.Relay},
		"two shufflers behind a relay": {task.Shuffler, task.Shuffler, task.Analyzer, task.Relay},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRequiringOf(t, roles, func(tk *task.Task) { tk.PerEpoch, tk.PerCrowd = 3, 1 })
			w.startAll()
			w.tick() // the relay signs the keys of credentials
			honest := map[string]int{}
			var clients []*shoal.Client
			for i := range 5 {
				c := w.client(w.invite(), "")
				clients = append(clients, c)
				for k := range 3 {
					program := crowds[(i+k)%len(crowds)]
					honest[program]++
					if o := c.Record("api_use", sdktest.Use(program, "files")); !o.Queued() {
						t.Fatal(o.Err)
					}
				}
			}
			h := newHostile(w)
			for round := range 2 {
				var reports [][]byte
				for i := range uint32(10) { // two to each crowd, with all nonces that there are
					reports = append(reports, h.report(crowds[i%5], [2]uint32{i % 3, 0}))
				}
				h.flood(append(reports, reports[:3]...)) // some twice
				if round == 0 {
					w.all[0].stop()
					must(t, w.run(w.all[0], w.invited))
				}
			}
			if sent := w.pass(w.sendEnd(), clients...); sent != 15 {
				t.Errorf("honest clients sent %d reports, want 15", sent)
			}
			w.clock.Forward(midnight.Add(day).Add(14 * time.Hour))
			extra := 0
			got := w.release()
			for _, program := range crowds {
				more := got[program] - honest[program]
				if more < 0 || more > 1 {
					t.Errorf("crowd %s has %d reports beside %d of honest clients, want at most 1", program, more, honest[program])
				}
				extra += more
			}
			if extra < 1 || extra > 3 {
				t.Errorf("the hostile client counts %d times, want 1 to 3", extra)
			}
		})
	}
}
