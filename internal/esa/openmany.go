package esa

import (
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// A Sealed is one layer of a report that is to be opened as one of an epoch.
type Sealed struct {
	Layer []byte
	Epoch task.Epoch
}

// OpenMany opens several layers: result i is what [Opener.Open] makes of
// sealed[i], with the cause for the error. Layers that are sealed to one key of
// [X25519] are opened together, which is several times faster; 64 at a time
// serve well, or a multiple of it. Other layers are opened one by one. A report
// that is refused costs itself only. The results do not alias the layers, but
// for Opened.Report, which is the layer itself.
func (o *Opener) OpenMany(sealed []Sealed) []Opened {
	results := make([]Opened, len(sealed))
	groups := make(map[*PrivateKey]*sameKey)
	for i, s := range sealed {
		var l Layer
		h, key, err := o.check(s.Layer, s.Epoch)
		switch {
		case err != nil:
		case key.key.Many() == nil:
			l, err = o.open(&h, key, s.Layer)
		default:
			group := groups[key]
			if group == nil {
				group = &sameKey{}
				groups[key] = group
			}
			err = group.add(i, h, s.Layer)
		}
		results[i] = Opened{Layer: l, Cause: CauseOf(err), Report: s.Layer}
	}
	for key, group := range groups {
		group.open(o, key, results)
	}
	return results
}

// sameKey is the layers of a batch that are sealed to one key of X25519.
type sameKey struct {
	at      []int // their places in the batch
	headers []Header
	points  [][hpke.Size]byte // the encapsulated keys
}

// add adds the layer at place i, which has been checked.
func (g *sameKey) add(i int, h Header, layer []byte) error {
	enc, err := parseEncapsulated(X25519, layer[headerSize:headerSize+encapsulatedSize(X25519)])
	if err != nil {
		return refuse(CauseDecrypt, err.Error())
	}
	g.at = append(g.at, i)
	g.headers = append(g.headers, h)
	g.points = append(g.points, [hpke.Size]byte(enc))
	return nil
}

// open opens the layers, which are the reports of their results so far.
func (g *sameKey) open(o *Opener, key *PrivateKey, results []Opened) {
	many := key.key.Many()
	shared := many.Agree(g.points)
	var factors [][hpke.ExportSize]byte
	for from := 0; from < len(shared); {
		h := &g.headers[from] // of this layer and some more
		end := from + 1
		for end < len(shared) && g.headers[end] == *h {
			end++
		}
		info := layerInfo(h)
		receiver := many.Receiver(info[:])
		keys := receiver.Derive(shared[from:end], g.points[from:end])
		if o.hop.unblinds > 0 {
			factors = receiver.Export(shared[from:end], g.points[from:end], o.hop.factorLabel())
		}
		for i := range keys {
			r := &results[g.at[from+i]]
			plaintext, err := keys[i].Open(nil, r.Report[:headerSize], r.Report[headerSize+1+pointSize:])
			if err != nil {
				r.Cause = CauseDecrypt
				continue
			}
			layer, err := o.read(r.Report[:headerSize], plaintext)
			if o.hop.unblinds > 0 {
				o.hop.readFactors(&layer, factors[i])
			}
			r.Layer, r.Cause = layer, CauseOf(err)
		}
		from = end
	}
}
