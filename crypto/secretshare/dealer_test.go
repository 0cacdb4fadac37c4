package secretshare

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
)

// TestDealer: members of one root recover each other's records, which differ, and
// shares are those of the x that the caller names.
func TestDealer(t *testing.T) {
	const threshold = 20
	root := Root{7}
	r, err := NewRecoverer(binding, threshold)
	if err != nil {
		t.Fatal(err)
	}
	var shares []Share
	var sealed [][]byte
	var tag Tag
	var label [32]byte
	for i := range threshold + 10 {
		d, err := NewDealer(root, binding, threshold)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && (tag != d.Tag() || label != d.Derive("crowd")) {
			t.Fatal("members of one root have different tags")
		}
		tag, label = d.Tag(), d.Derive("crowd")
		x := XAt([16]byte{byte(i + 1)})
		shares = append(shares, Join(x, d.Value(x)))
		s, err := d.Seal(fmt.Appendf(nil, "record %d", i), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if len(s) != len(fmt.Sprintf("record %d", i))+RecordOverhead {
			t.Fatalf("a sealed record of %d bytes", len(s))
		}
		sealed = append(sealed, s)
		d.Close()
		if d.Tag() == tag {
			t.Fatal("a closed dealer still has its secret")
		}
	}
	shares[3][ShareSize-1] ^= 1
	shares[9] = shares[8]
	if _, err := r.RecoverTag(tag, shares[:threshold-1], rand.Reader); !errors.Is(err, ErrTooFew) {
		t.Fatalf("t-1 shares: %v, want ErrTooFew", err)
	}
	res, err := r.RecoverTag(tag, shares, rand.Reader)
	if err != nil || res.Distinct != threshold+8 || res.Forged != 1 || res.Duplicate != 1 || res.Message != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	if r.Derive("crowd") != label || r.Derive("tag") == label {
		t.Fatal("labels differ between dealer and recoverer, or not from each other")
	}
	for i, s := range sealed {
		record, err := r.Open(s)
		if err != nil || string(record) != fmt.Sprintf("record %d", i) {
			t.Fatalf("record %d: %q, %v", i, record, err)
		}
	}
	for i := range len(sealed[0]) * 8 {
		bad := bytes.Clone(sealed[0])
		bad[i/8] ^= 1 << (i % 8)
		if _, err := r.Open(bad); !errors.Is(err, ErrRecord) {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
	}
	for n := range RecordOverhead {
		if _, err := r.Open(sealed[0][:n]); !errors.Is(err, ErrRecord) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	tag[0] ^= 1
	if _, err := r.RecoverTag(tag, shares, rand.Reader); !errors.Is(err, ErrNoKey) {
		t.Fatalf("another tag: %v, want ErrNoKey", err)
	}
}

// TestDealerHides: equal records have different ciphertexts, and neither the tag nor
// the label of one binding occurs in another.
func TestDealerHides(t *testing.T) {
	d, err := NewDealer(Root{7}, binding, 2)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewDealer(Root{7}, Binding("another epoch"), 2)
	if err != nil {
		t.Fatal(err)
	}
	if d.Tag() == other.Tag() || d.Derive("crowd") == other.Derive("crowd") || d.Value(XAt([16]byte{1})) == other.Value(XAt([16]byte{1})) {
		t.Error("two bindings have something in common")
	}
	a, err := d.Seal([]byte("m"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Seal([]byte("m"), rand.Reader)
	if err != nil || bytes.Equal(a[:Overhead], b[:Overhead]) {
		t.Errorf("equal records show: %v", err)
	}
	if _, err := d.Seal(nil, failing{}); err == nil {
		t.Error("sealed without randomness")
	}
	if s := fmt.Sprintf("%v %+v %#v %v", d, d, d, *d); bytes.Contains([]byte(s), []byte("{")) {
		t.Errorf("a dealer prints as %s", s)
	}
	for _, u := range [][16]byte{{}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
		share := Join(XAt(u), [ValueSize]byte{})
		if p, ok := parseShare(&share); !ok || p.x.isZero() {
			t.Errorf("the share at %x is not well-formed", u)
		}
	}
	if _, err := NewDealer(Root{}, binding, 1); err == nil {
		t.Error("threshold 1 accepted")
	}
}
