package dap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/golden"
)

// Threat: bytes from a client, a peer or the network must neither crash a
// decoder, nor make it hold more than the limits allow, nor be taken for a message
// that encodes otherwise: what is signed, hashed or bound as AAD is always what
// was received.

// targets name the fuzz target of each structure.
var targetNames = map[string]string{
	"HpkeConfigList":            "FuzzHpkeConfigList",
	"UploadRequest":             "FuzzUploadRequest",
	"UploadErrors":              "FuzzUploadErrors",
	"PlaintextInputShare":       "FuzzPlaintextInputShare",
	"TaskConfiguration":         "FuzzTaskConfiguration",
	"AggregationJobInitReq":     "FuzzAggregationJobInitReq",
	"AggregationJobResp":        "FuzzAggregationJobResp",
	"AggregationJobContinueReq": "FuzzAggregationJobContinueReq",
	"CollectionJobReq":          "FuzzCollectionJobReq",
	"CollectionJobResp":         "FuzzCollectionJobResp",
	"AggregateShareReq":         "FuzzAggregateShareReq",
	"AggregateShare":            "FuzzAggregateShare",
}

// writeSeeds writes the seeds of a structure: whole, and with a length changed.
func writeSeeds(t *testing.T, v *dap.Variant, l *layout, whole []byte) {
	t.Helper()
	target := targetNames[reflect.TypeOf(l.value).Elem().Name()]
	i := slices.IndexFunc(variants(), func(o *dap.Variant) bool { return o.String() == v.String() })
	seed := func(name string, b []byte) {
		golden.Write(t, filepath.Join("testdata", "fuzz", target, v.String()+"-"+l.name+name),
			fmt.Appendf(nil, "go test fuzz v1\nbyte('\\x%02x')\n[]byte(%+q)\n", i, string(b)))
	}
	seed("", whole)
	seed("-cut", whole[:len(whole)*2/3])
	seed("-long", append(slices.Clone(whole), 0xff, 0xff, 0xff, 0xff))
}

// fuzzDecoder decodes in one of the variants.
func fuzzDecoder(f *testing.F, empty func() dap.Structure) {
	f.Fuzz(func(t *testing.T, variant byte, b []byte) {
		v := variants()[int(variant)%3]
		l := dap.Limits{Body: 1 << 16, Reports: 64, PublicShare: 1 << 10, Ciphertext: 1 << 12, Payload: 1 << 10, Extensions: 1 << 10}
		c := dap.NewCodec(v).WithLimits(l)
		m := empty()
		err := c.Decode(m, b)
		if err != nil {
			if !errors.Is(err, dap.ErrMalformed) && !errors.Is(err, dap.ErrLimit) {
				t.Fatalf("%v is neither ErrMalformed nor ErrLimit", err)
			}
		} else if again, err := c.Encode(m); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x\nis decoded, and encoded as\n%x (%v)", b, again, err)
		}
		sameAsStream(t, c, m, b, err)
	})
}

// sameAsStream checks that a stream accepts what Decode does, however the bytes
// arrive.
func sameAsStream(t *testing.T, c dap.Codec, m dap.Structure, b []byte, want error) {
	t.Helper()
	for _, wrap := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader,
	} {
		got, streamed, err := restream(c, m, wrap(bytes.NewReader(b)))
		if !streamed {
			return
		}
		if (err == nil) != (want == nil) {
			t.Fatalf("as a stream: %v, as a whole: %v", err, want)
		}
		if err == nil && !bytes.Equal(got, b) {
			t.Fatalf("as a stream\n%x\nis written as\n%x", b, got)
		}
	}
}

// restream reads a message of m's type as a stream and writes it as one.
func restream(c dap.Codec, m dap.Structure, in io.Reader) (out []byte, streamed bool, err error) {
	var buf bytes.Buffer
	switch m.(type) {
	case *dap.UploadRequest:
		err = pipe(c.ReadUploadRequest(in), c.WriteUploadRequest(&buf))
	case *dap.UploadErrors:
		err = pipe(c.ReadUploadErrors(in), c.WriteUploadErrors(&buf))
	case *dap.AggregationJobResp:
		err = pipe(c.ReadAggregationJobResp(in), c.WriteAggregationJobResp(&buf))
	case *dap.AggregationJobContinueReq:
		step, s, headerErr := c.ReadAggregationJobContinueReq(in)
		if err = headerErr; err == nil {
			err = pipe(s, c.WriteAggregationJobContinueReq(&buf, step))
		}
	case *dap.AggregationJobInitReq:
		h, s, headerErr := c.ReadAggregationJobInitReq(in)
		if err = headerErr; err == nil {
			var w *dap.Writer[dap.VerifyInit]
			if w, err = c.WriteAggregationJobInitReq(&buf, &h); err == nil {
				err = pipe(s, w)
			}
		}
	default:
		return nil, false, nil
	}
	return buf.Bytes(), true, err
}

func pipe[T any](s *dap.Stream[T], w *dap.Writer[T]) error {
	for e, err := range s.All() {
		if err != nil {
			return err
		}
		if err := w.Write(&e); err != nil {
			return err
		}
	}
	return w.Close()
}

func FuzzHpkeConfigList(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.HpkeConfigList) })
}

func FuzzUploadRequest(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.UploadRequest) })
}

func FuzzUploadErrors(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.UploadErrors) })
}

func FuzzPlaintextInputShare(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.PlaintextInputShare) })
}

func FuzzAggregationJobInitReq(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.AggregationJobInitReq) })
}

func FuzzAggregationJobResp(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.AggregationJobResp) })
}

func FuzzAggregationJobContinueReq(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.AggregationJobContinueReq) })
}

func FuzzCollectionJobReq(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.CollectionJobReq) })
}

func FuzzCollectionJobResp(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.CollectionJobResp) })
}

func FuzzAggregateShareReq(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.AggregateShareReq) })
}

func FuzzAggregateShare(f *testing.F) {
	fuzzDecoder(f, func() dap.Structure { return new(dap.AggregateShare) })
}

// FuzzTaskConfiguration also makes tasks of what decodes.
func FuzzTaskConfiguration(f *testing.F) {
	f.Fuzz(func(t *testing.T, variant byte, b []byte) {
		v := variants()[int(variant)%3]
		made, err := dap.NewTask(v, dap.TaskprovID(b), b)
		if err != nil {
			if abort := dap.AbortOf(err); abort == nil || abort.Type != dap.ProblemInvalidTask {
				t.Fatalf("%v is no invalidTask", err)
			}
			return
		}
		if again, err := dap.NewCodec(v).Encode(made.Config()); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x\nis a task, and encoded as\n%x (%v)", b, again, err)
		}
	})
}

// FuzzTexts covers the decoders of texts and of single fields.
func FuzzTexts(f *testing.F) {
	f.Add("AAECAwQFBgcICQoLDA0ODw")
	f.Add("application/ppm-dap;message=upload-req;version=09")
	f.Add(`{"type":"urn:ietf:params:ppm:dap:error:batchOverlap","unsupported_extensions":[23,42]}`)
	f.Add("shoal-dap-key:AQAgAAEAAQAgAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AAQID")
	f.Add("\x00\x01\x00\x00\x00\x02\x00\x01\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := dap.ParseAggregationJobID(s); err == nil && id.String() != s {
			t.Errorf("%q is an ID, written %q", s, id)
		}
		if id, err := dap.ParseTaskID(s); err == nil && id.String() != s {
			t.Errorf("%q is an ID, written %q", s, id)
		}
		if list, err := dap.Extensions(s).List(); err == nil {
			again, err := dap.NewExtensions(list...)
			if err != nil || string(again) != s {
				t.Errorf("%x is a list of extensions, written %x (%v)", s, again, err)
			}
		}
		if k, err := dapkey.Parse(s); err == nil {
			text, err := k.Text()
			if err != nil {
				t.Fatalf("%q is a key, not written: %v", s, err)
			}
			if again, err := dapkey.Parse(text); err != nil || !equal(again.Config().PublicKey, k.Config().PublicKey) || again.ID() != k.ID() {
				t.Errorf("%q is a key, written %q, which is another (%v)", s, text, err)
			}
		}
		_, _ = dap.ParseMediaType(s)
		_, _ = dap.ParseDocument([]byte(s))
	})
}
