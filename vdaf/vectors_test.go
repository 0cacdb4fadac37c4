package vdaf

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/crypto/field"
)

// vectorFolder holds the published test vectors: test_vec of the VDAF drafts 18
// to 22 and of the L1 bound sum draft. README.md there gives source and licence.
const vectorFolder = "testdata/vectors"

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := hex.DecodeString(s)
	*h = v
	return err
}

func raw(h []hexBytes) [][]byte {
	var b [][]byte
	for _, x := range h {
		b = append(b, x)
	}
	return b
}

// vectorFile is the schema of the VDAF draft, section "Test Vectors".
type vectorFile struct {
	Ctx        hexBytes        `json:"ctx"`
	VerifyKey  hexBytes        `json:"verify_key"`
	Shares     int             `json:"shares"`
	Length     int             `json:"length"`
	Chunk      int             `json:"chunk_length"`
	Max        uint64          `json:"max_measurement"`
	MaxValue   uint64          `json:"max_value"`
	MaxWeight  uint64          `json:"max_weight"`
	AggShares  []hexBytes      `json:"agg_shares"`
	AggResult  json.RawMessage `json:"agg_result"`
	Reports    []vectorReport  `json:"reports"`
	Operations []vectorOp      `json:"operations"`
}

type vectorReport struct {
	Measurement      json.RawMessage `json:"measurement"`
	Nonce            hexBytes        `json:"nonce"`
	Rand             hexBytes        `json:"rand"`
	PublicShare      hexBytes        `json:"public_share"`
	InputShares      []hexBytes      `json:"input_shares"`
	VerifierShares   [][]hexBytes    `json:"verifier_shares"`
	VerifierMessages []hexBytes      `json:"verifier_messages"`
	OutShares        []hexBytes      `json:"out_shares"`
}

type vectorOp struct {
	Operation  string `json:"operation"`
	Round      int    `json:"round"`
	Aggregator int    `json:"aggregator_id"`
	Report     int    `json:"report_index"`
	Success    bool   `json:"success"`
}

// typed is an instance with its measurement as JSON.
type typed interface {
	Instance
	shardJSON(t *testing.T, v *vectorFile, r *vectorReport) (*Sharded, error)
	unshardJSON(t *testing.T, shares [][]byte, count uint64) string
}

type typedOf[M, R any] struct{ *Prio3[M, R] }

func (p typedOf[M, R]) shardJSON(t *testing.T, v *vectorFile, r *vectorReport) (*Sharded, error) {
	t.Helper()
	var m M
	if err := json.Unmarshal(r.Measurement, &m); err != nil {
		t.Fatal(err)
	}
	return p.Shard(bytes.NewReader(r.Rand), v.Ctx, Nonce(r.Nonce), m)
}

func (p typedOf[M, R]) unshardJSON(t *testing.T, shares [][]byte, count uint64) string {
	t.Helper()
	r, err := p.Unshard(shares, count)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// countJSON is Count with the draft's integers for measurements.
type countJSON struct{ typedOf[bool, uint64] }

func (p countJSON) shardJSON(t *testing.T, v *vectorFile, r *vectorReport) (*Sharded, error) {
	t.Helper()
	var m int
	if err := json.Unmarshal(r.Measurement, &m); err != nil {
		t.Fatal(err)
	}
	return p.Shard(bytes.NewReader(r.Rand), v.Ctx, Nonce(r.Nonce), m == 1)
}

func must[M, R any](t *testing.T) func(p *Prio3[M, R], err error) typed {
	return func(p *Prio3[M, R], err error) typed {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return typedOf[M, R]{p}
	}
}

// higherDegree is the circuit of the same name in the draft's tests: a gadget
// of degree 3 that is zero for 0, 1 and 2.
func higherDegree() (*Prio3[uint64, uint64], error) {
	f := field.Field64()
	circ, err := newPointCircuit(f, 1, []field.F64{0, 2, f.Sub(0, 3), 1})
	if err != nil {
		return nil, err
	}
	circ.outLen, circ.decode = 1, copyTo[field.F64]
	c, err := newConfig(0xFFFFFFFF, "Prio3HigherDegree", nil, nil)
	return &Prio3[uint64, uint64]{
		Instance: finish(c, f, circ, 1, turboShake),
		encode:   func(dst []uint8, m uint64) error { dst[0] = uint8(m); return nil },
		result:   single,
	}, err
}

// vectorInstance makes the instance of a vector file.
func vectorInstance(t *testing.T, name string, v *vectorFile) typed {
	t.Helper()
	shares := Shares(v.Shares)
	switch name {
	case "Prio3Count":
		p, err := Count(shares)
		if err != nil {
			t.Fatal(err)
		}
		return countJSON{typedOf[bool, uint64]{p}}
	case "Prio3Sum":
		return must[uint64, uint64](t)(Sum(v.Max, shares))
	case "Prio3SumVec":
		return must[[]uint64, []uint64](t)(SumVec(v.Length, v.Max, v.Chunk, shares))
	case "Prio3SumVecWithMultiproof":
		return must[[]uint64, []uint64](t)(multiproof(0xFFFFFFFF, turboShake, v.Length, v.Max, v.Chunk, 3, []Option{shares}))
	case "Prio3Histogram":
		return must[int, []uint64](t)(Histogram(v.Length, v.Chunk, shares))
	case "Prio3MultihotCountVec":
		return must[[]bool, []uint64](t)(MultihotCountVec(v.Length, v.MaxWeight, v.Chunk, shares))
	case "Prio3L1BoundSum":
		return must[[]uint64, []uint64](t)(L1BoundSum(v.Length, v.MaxValue, v.Chunk, shares))
	case "Prio3HigherDegree":
		return must[uint64, uint64](t)(higherDegree())
	}
	t.Fatalf("no instance for the vectors of %s", name)
	return nil
}

// TestVectors runs every operation of every published Prio3 vector, and fails
// if a Prio3 file of the folder has not been run.
func TestVectors(t *testing.T) {
	entries, err := os.ReadDir(vectorFolder)
	if err != nil {
		t.Fatal(err)
	}
	var all, run []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "Prio3") {
			continue
		}
		all = append(all, e.Name())
		t.Run(strings.TrimSuffix(e.Name(), ".json"), func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(vectorFolder, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			runVector(t, e.Name(), b)
			run = append(run, e.Name())
		})
	}
	if !slices.Equal(all, run) || len(run) < 26 {
		t.Errorf("ran %d of %d Prio3 files: %v", len(run), len(all), run)
	}
	t.Logf("ran %d files: %s", len(run), strings.Join(run, " "))
}

func runVector(t *testing.T, file string, b []byte) {
	var v vectorFile
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(file, "_")
	p := vectorInstance(t, name, &v)
	verifiers := make([]*Verifier, v.Shares)
	for i := range verifiers {
		key := VerifyKey(v.VerifyKey)
		var err error
		if verifiers[i], err = p.NewVerifier(&key, v.Ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	states := map[[2]int]*VerifyState{}
	for i, op := range v.Operations {
		if err := runOp(t, &v, op, p, verifiers, states); (err == nil) != op.Success {
			t.Fatalf("operation %d, %+v: error %v", i, op, err)
		}
	}
}

func runOp(t *testing.T, v *vectorFile, op vectorOp, p typed, verifiers []*Verifier, states map[[2]int]*VerifyState) error {
	t.Helper()
	same := func(what string, got, want []byte) {
		t.Helper()
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: got\n%x, want\n%x", what, got, want)
		}
	}
	var r *vectorReport
	if op.Operation != "aggregate" && op.Operation != "unshard" {
		r = &v.Reports[op.Report]
	}
	key := [2]int{op.Report, op.Aggregator}
	switch op.Operation {
	case "shard":
		s, err := p.shardJSON(t, v, r)
		if err != nil {
			return err
		}
		same("public share", s.PublicShare, r.PublicShare)
		for i, in := range s.InputShares {
			same("input share", in, r.InputShares[i])
		}
		checkSizes(t, p.Sizes(), v, r)
	case "verify_init":
		s, share, err := verifiers[op.Aggregator].VerifyInit(&Report{Nonce(r.Nonce), r.PublicShare, r.InputShares[op.Aggregator]})
		if err != nil {
			return err
		}
		same("verifier share", share, r.VerifierShares[0][op.Aggregator])
		states[key] = s
	case "verifier_shares_to_message":
		msg, err := verifiers[0].Combine(raw(r.VerifierShares[0]))
		if err != nil {
			return err
		}
		same("verifier message", msg, r.VerifierMessages[0])
	case "verify_next":
		out, err := verifiers[op.Aggregator].Next(states[key], r.VerifierMessages[0])
		if err != nil {
			return err
		}
		same("output share", out, r.OutShares[op.Aggregator])
	case "aggregate":
		a := p.NewAggregateShare()
		for i := range v.Reports {
			if err := a.Add(v.Reports[i].OutShares[op.Aggregator]); err != nil {
				return err
			}
		}
		same("aggregate share", a.Bytes(), v.AggShares[op.Aggregator])
	case "unshard":
		var want bytes.Buffer
		if err := json.Compact(&want, v.AggResult); err != nil {
			t.Fatal(err)
		}
		if got := p.unshardJSON(t, raw(v.AggShares), uint64(len(v.Reports))); got != want.String() {
			t.Fatalf("aggregate: got %s, want %s", got, &want)
		}
	default:
		t.Fatalf("unknown operation %q", op.Operation)
	}
	return nil
}

// checkSizes holds the promised message sizes equal to those of the vector.
func checkSizes(t *testing.T, s Sizes, v *vectorFile, r *vectorReport) {
	t.Helper()
	got := []int{s.Rand, s.PublicShare, s.LeaderShare, s.HelperShare, s.VerifierShare, s.VerifierMessage, s.AggregateShare}
	want := []int{len(r.Rand), len(r.PublicShare), len(r.InputShares[0]), len(r.InputShares[1]), len(r.VerifierShares[0][0]), len(r.VerifierMessages[0]), len(v.AggShares[0])}
	if !slices.Equal(got, want) {
		t.Errorf("sizes %v, want %v", got, want)
	}
}

// TestXOFVectors checks both XOFs: XofTurboShake128.json of the draft, and the
// vector that libprio-rs publishes for XofHmacSha256Aes128.
func TestXOFVectors(t *testing.T) {
	t.Run("turboShake", func(t *testing.T) {
		b, err := os.ReadFile(filepath.Join(vectorFolder, "XofTurboShake128.json"))
		if err != nil {
			t.Fatal(err)
		}
		checkXOFVector(t, turboShake, b)
	})
	t.Run("hmacAES", func(t *testing.T) {
		b, err := os.ReadFile("testdata/XofHmacSha256Aes128.json")
		if err != nil {
			t.Fatal(err)
		}
		checkXOFVector(t, hmacAES, b)
	})
}

func checkXOFVector(t *testing.T, kind xofKind, b []byte) {
	t.Helper()
	var v struct {
		Binder  hexBytes `json:"binder"`
		DST     hexBytes `json:"dst"`
		Seed    hexBytes `json:"seed"`
		Length  int      `json:"length"`
		Derived hexBytes `json:"derived_seed"`
		Vec     hexBytes `json:"expanded_vec_field128"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	head := []byte{byte(len(v.DST))}
	if kind == turboShake {
		head = append(head, 0)
	}
	head = append(head, v.DST...)
	if kind == turboShake {
		head = append(head, byte(len(v.Seed)))
	}
	msg := slices.Concat(head, v.Seed, v.Binder)
	x, err := newXOFRunner(kind)
	if err != nil {
		t.Fatal(err)
	}
	seed, vec := make([]byte, 32), make([]byte, 16*v.Length)
	x.add(seed, msg, len(head))
	x.add(vec, msg, len(head))
	x.flush()
	if !bytes.Equal(seed, v.Derived) || !bytes.Equal(vec, v.Vec) {
		t.Error("the XOF gives other bytes")
	}
	r, err := kind.stream(msg, len(head))
	if err != nil {
		t.Fatal(err)
	}
	again := make([]byte, len(vec))
	for rest := again; len(rest) > 0; {
		n := min(len(rest), 7)
		if _, err := r.Read(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if !bytes.Equal(again, vec) {
		t.Error("the XOF as a stream gives other bytes")
	}
}
