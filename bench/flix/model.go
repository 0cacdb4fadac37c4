package flix

import "math"

// moments are the sufficient statistics of section 5.5 of the paper: of each movie how many ratings
// there are of each number of stars, and of each pair of movies how many users rated both, with
// the sums of stars and of products. They may be estimates, and then are not whole or below 0.
type moments struct {
	movies int
	stars  [][ratingsMost]float64
	both   []float64 // [i*movies+j], symmetric
	sum    []float64 // of the stars of i over users of j, too
	prod   []float64
	noise  []float64 // how many reports the estimate of both rests on, as variance; nil: both itself
}

// weight returns what a pair of movies counts in a fit, as a number of reports, and by what its sums
// are to be divided so that they have the mean of that many: an estimate counts as its inverse variance.
func (m *moments) weight(at int) (w, scale float64) {
	w = m.both[at]
	if m.noise == nil || w <= 0 {
		return w, 1
	}
	scale = w / max(m.noise[at], w)
	return w * scale, scale
}

func newMoments(movies int) *moments {
	n := movies * movies
	return &moments{movies: movies, stars: make([][ratingsMost]float64, movies), both: make([]float64, n), sum: make([]float64, n), prod: make([]float64, n)}
}

// add adds a pair of ratings of one user, of different movies.
func (m *moments) add(a, b rating, weight float64) {
	x, y := float64(a.stars), float64(b.stars)
	i, j := int(a.movie)*m.movies+int(b.movie), int(b.movie)*m.movies+int(a.movie)
	m.both[i] += weight
	m.both[j] += weight
	m.sum[i] += weight * x
	m.sum[j] += weight * y
	m.prod[i] += weight * x * y
	m.prod[j] += weight * x * y
}

// A model predicts ratings: means of movies, and covariances of a low rank beside a variance
// of each movie's own.
type model struct {
	mean []float64
	own  []float64       // variance that is not in common
	load [][rank]float64 // what is
}

const (
	rank   = 5   // of the covariance
	rounds = 12  // of the factorisation
	ridge  = 150 // reports that a load of 0 is worth: of 20, 60, 150 and 400 the best without privacy
	pull   = 10  // ratings of a movie of which the mean of all is worth as much
	least  = 0.3 // of a movie's own variance
)

// newModel fits the model to moments.
func newModel(m *moments) *model {
	model := &model{make([]float64, m.movies), make([]float64, m.movies), make([][rank]float64, m.movies)}
	var all, total float64
	for _, stars := range m.stars {
		for s, n := range stars {
			n = max(n, 0)
			all, total = all+n*float64(s+1), total+n
		}
	}
	all /= max(total, 1)
	variance := make([]float64, m.movies)
	for i, stars := range m.stars {
		sum, n, square := all*pull, float64(pull), 0.0
		for s, c := range stars {
			c = max(c, 0)
			sum, n = sum+c*float64(s+1), n+c
		}
		model.mean[i] = sum / n
		for s, c := range stars {
			d := float64(s+1) - model.mean[i]
			square += max(c, 0) * d * d
		}
		variance[i] = (square + pull) / n
	}
	model.factorise(m)
	for i := range model.own {
		common := 0.0
		for _, l := range model.load[i] {
			common += l * l
		}
		model.own[i] = max(variance[i]-common, least)
	}
	return model
}

// factorise fits loads to the covariances, each weighted by the users that it comes from, by
// alternating least squares. The first factor begins as a constant: how high somebody rates.
func (l *model) factorise(m *moments) {
	n := m.movies
	for i := range l.load {
		l.load[i][0] = 0.4
		for k := 1; k < rank; k++ { // any beginning that is not degenerate
			l.load[i][k] = 0.2 * math.Sin(float64(i+1)*float64(k)*1.7)
		}
	}
	next := make([][rank]float64, n)
	for range rounds {
		for i := range n {
			var a [rank][rank]float64
			var b [rank]float64
			for k := range a {
				a[k][k] = ridge
			}
			for j := range n {
				w, scale := m.weight(i*n + j)
				if i == j || w <= 0 {
					continue
				}
				// The sum of (x - mean i)(y - mean j).
				c := scale*(m.prod[i*n+j]-l.mean[j]*m.sum[i*n+j]-l.mean[i]*m.sum[j*n+i]) + w*l.mean[i]*l.mean[j]
				for k, q := range l.load[j] {
					b[k] += c * q
					for h := range k + 1 {
						a[k][h] += w * q * l.load[j][h]
					}
				}
			}
			next[i] = solve(&a, b)
		}
		for i := range next {
			for k := range next[i] {
				l.load[i][k] = (l.load[i][k] + next[i][k]) / 2
			}
		}
	}
}

// solve solves a x = b for a positive definite matrix, of which the lower half is given, by Cholesky's
// decomposition.
func solve(a *[rank][rank]float64, b [rank]float64) [rank]float64 {
	for i := range rank {
		for j := range i + 1 {
			s := a[i][j]
			for k := range j {
				s -= a[i][k] * a[j][k]
			}
			if i == j {
				a[i][i] = math.Sqrt(max(s, 1e-9))
			} else {
				a[i][j] = s / a[j][j]
			}
		}
	}
	for i := range rank {
		for k := range i {
			b[i] -= a[i][k] * b[k]
		}
		b[i] /= a[i][i]
	}
	for i := rank - 1; i >= 0; i-- {
		for k := i + 1; k < rank; k++ {
			b[i] -= a[k][i] * b[k]
		}
		b[i] /= a[i][i]
	}
	return b
}

// predict returns what a user with known ratings gives to movies: the conditional mean.
func (l *model) predict(known, of []rating) []float64 {
	var a [rank][rank]float64
	var b [rank]float64
	for k := range a {
		a[k][k] = 1
	}
	for _, r := range known {
		q, v := &l.load[r.movie], l.own[r.movie]
		d := float64(r.stars) - l.mean[r.movie]
		for k := range rank {
			b[k] += q[k] * d / v
			for h := range k + 1 {
				a[k][h] += q[k] * q[h] / v
			}
		}
	}
	z := solve(&a, b)
	out := make([]float64, len(of))
	for i, r := range of {
		out[i] = l.mean[r.movie]
		for k := range rank {
			out[i] += l.load[r.movie][k] * z[k]
		}
		out[i] = min(max(out[i], 1), ratingsMost)
	}
	return out
}

// squared adds up squared squared.
type squared struct{ squares, n float64 }

func (e *squared) add(predicted []float64, of []rating) {
	for i, r := range of {
		d := predicted[i] - float64(r.stars)
		e.squares, e.n = e.squares+d*d, e.n+1
	}
}

func (e *squared) rmse() float64 { return math.Sqrt(e.squares / max(e.n, 1)) }

// moments returns those of all users as they are, and how many reports the users would send
// without a cap.
func (w *world) moments(seed uint64) (*moments, int) {
	m := newMoments(w.size.Movies)
	reports := 0
	for n := range w.size.Users {
		known := w.draw(n, seed).known
		reports += len(known) * (len(known) + 1) / 2
		for i, a := range known {
			m.stars[a.movie][a.stars-1]++
			for _, b := range known[:i] {
				m.add(a, b, 1)
			}
		}
	}
	return m, reports
}

// test returns the errors of a model and of its means on the ratings that were held out.
func (w *world) test(l *model, seed uint64) (e, means squared) {
	for n := range w.size.Users {
		if u := w.draw(n, seed); len(u.held) > 0 {
			e.add(l.predict(u.known, u.held), u.held)
			means.add(l.predict(nil, u.held), u.held)
		}
	}
	return e, means
}
