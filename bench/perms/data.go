package perms

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"math"
	"math/rand/v2"
	"sort"
	"strconv"

	"github.com/shoal-project/shoal/metric/task"
)

// The model of the Prochlo paper's Perms data (section 5.3), which is private: a page of rank r has
// a share of a feature's requests proportional to (r + shift)^-slope. Requests are as many as make
// the naive threshold find as many pages as in Table 4 of the paper; nothing was fitted to
// what private ways find.
const (
	Pages = 200_000
	slope = 1.05
	shift = 500.0
)

// A Feature is a permission that pages ask for.
type Feature struct {
	Name     string
	Requests int // one a client
}

// features are those of the paper.
func features() []Feature {
	return []Feature{{"geolocation", 4_169_000}, {"notifications", 7_640_000}, {"audio", 601_000}}
}

// Actions are what people do with a request; a bitmap has a bit for each.
func actions() []string { return []string{"granted", "denied", "dismissed", "ignored"} }

// spread is how much mixes of actions differ by page: each is a Dirichlet variable with these weights.
func spread() [4]float64 { return [4]float64{3, 1.6, 2, 1.4} }

// second is the probability that somebody reacts to a request twice.
const second = 0.05

// A mix is how people act on a page: the cumulative probabilities of the actions.
type mix [4]float64

// pagesOf draws the mix of each page, and gives the cumulative shares of requests.
func pagesOf(random *rand.Rand) ([]float64, []mix) {
	sums, mixes := make([]float64, Pages), make([]mix, Pages)
	sum := 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1)+shift, -slope)
		sums[i] = sum
		total := 0.0
		for a, weight := range spread() {
			total += gamma(random, weight)
			mixes[i][a] = total
		}
		for a := range mixes[i] {
			mixes[i][a] /= total
		}
	}
	return sums, mixes
}

// gamma draws from the Gamma distribution of a shape of at least 1 (Marsaglia and Tsang 2000).
func gamma(random *rand.Rand, shape float64) float64 {
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := random.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(random.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// A request is one report's content.
type request struct {
	page   uint32
	bitmap uint8
}

// requests draws those of a feature.
func requests(f Feature, seed uint64) iter.Seq[request] {
	random := rand.New(rand.NewChaCha8(use("data "+f.Name, seed)))
	return func(yield func(request) bool) {
		sums, mixes := pagesOf(random)
		for range f.Requests {
			u := random.Float64() * sums[len(sums)-1]
			page := sort.SearchFloat64s(sums, u)
			bitmap := uint8(1) << action(mixes[page], random)
			if random.Float64() < second {
				bitmap |= 1 << action(mixes[page], random)
			}
			if !yield(request{uint32(page), bitmap}) {
				return
			}
		}
	}
}

// use returns the seed of one use.
func use(what string, seed uint64) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("shoal perms v1 "+what+" "), seed))
}

func action(m mix, random *rand.Rand) int {
	u := random.Float64()
	a := 0
	for a < len(m)-1 && u >= m[a] {
		a++
	}
	return a
}

// pageName spells a page.
func pageName(rank uint32) string { return "page" + strconv.Itoa(int(rank)) }

func (r request) record(feature string) task.Record {
	return task.Record{pageName(r.page), feature, uint64(r.bitmap)}
}
