package kind

import "math"

// A Row is one number of a result.
type Row struct {
	Label    string  // of the bucket, the category, the index
	Estimate float64 // may be below zero, or above what is possible, where there is noise
	StdDev   float64 // of the noise in the estimate; 0 without noise
	// The ends of an interval that holds the number without noise in 95 cases of
	// 100 or more; infinite where a mean has no bound.
	Low, High float64
}

// A Result is what the reports of one batch add up to.
type Result struct {
	Reports uint64 // in the batch: exact, whatever the noise
	// Answered is how many clients had a value, where that is measured: a mean,
	// or a histogram with presence hidden. Nil elsewhere.
	Answered *Row
	Rows     []Row
}

// A spread is how far noise moves one element: by no more than wide in 95 cases of
// 100, and its deviation.
type spread struct{ wide, deviation float64 }

func (s spread) over(x float64) spread { return spread{s.wide / x, s.deviation / x} }

func (s spread) row(label string, x float64) Row {
	return Row{Label: label, Estimate: x, StdDev: s.deviation, Low: x - s.wide, High: x + s.wide}
}

// mean divides the sum of values from 0 to top by the number of clients that have
// one. Both have noise, that of the number a top-th as wide. The interval has every
// mean m that the two are no evidence against: sum - m clients is within what noise
// moves it, which is the root of 1 + (m/top)^2 times that of one element (Fieller
// 1954). Half a step is added to wide, since a noise of whole numbers that is cut at
// wide reaches half a step further where it is not cut at one of them. It holds m
// for 95 % or more whatever the number of clients.
func (s spread) mean(label string, sum, clients, top float64) Row {
	r := Row{Label: label, Estimate: math.NaN(), StdDev: math.Inf(1), Low: math.Inf(-1), High: math.Inf(1)}
	if clients < 1 {
		return r
	}
	r.Estimate = sum / clients
	share := min(max(r.Estimate/top, 0), 1)
	r.StdDev = s.deviation / clients * math.Hypot(1, share) // to first order
	// a m^2 - 2 b m + sum^2 - wide^2 <= 0
	wide := s.wide + 0.5
	w := wide / top
	a, b := clients*clients-w*w, sum*clients
	switch {
	case s.wide == 0:
		r.Low, r.High = r.Estimate, r.Estimate
	case a > 0:
		root := math.Sqrt(max(0, clients*clients*wide*wide+w*w*(sum*sum-wide*wide)))
		r.Low, r.High = (b-root)/a, (b+root)/a
	} // else any mean, since there may be no client
	return r
}
