package main

import (
	"math"
	"math/rand/v2" //nolint:depguard // training and its tests draw from a seed and keep no secret

	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

const (
	inputs = tokenmodel.Features
	hidden = tokenmodel.Hidden
)

// A sample is the features of a token and whether it is a secret.
type sample struct {
	v      tokenmodel.Vector
	secret bool
}

// normalise sets the network's offsets and scales so that each input has mean
// zero and standard deviation one over the samples.
func normalise(n *tokenmodel.Network, samples []sample) {
	for i := range inputs {
		var sum, squares float64
		for _, s := range samples {
			x := float64(s.v[i])
			sum += x
			squares += x * x
		}
		mean := sum / float64(len(samples))
		dev := math.Sqrt(squares/float64(len(samples)) - mean*mean)
		n.Offset[i] = int32(math.Round(mean))
		n.Scale[i] = int32(math.Round(256 * 65536 / max(dev, 1)))
	}
}

// A float network is trained, then rounded. Parameters: weights, biases, output
// weights, output bias.
type parameters [hidden*inputs + hidden + hidden + 1]float64

// learn trains the network with Adam on the logistic loss. A harmless token
// that is called secret costs more than a secret that is missed.
func learn(r *rand.Rand, n *tokenmodel.Network, samples []sample, epochs int) {
	const (
		batch     = 128
		falseCost = 3
	)
	normalise(n, samples)
	var p, m, v, grad parameters
	for i := range hidden * inputs {
		p[i] = r.NormFloat64() * math.Sqrt(2.0/inputs)
	}
	for i := range hidden {
		p[hidden*inputs+hidden+i] = r.NormFloat64() * math.Sqrt(1.0/hidden)
	}
	step := 0
	order := r.Perm(len(samples))
	steps := epochs * (len(samples) / batch)
	for range epochs {
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for at := 0; at+batch <= len(order); at += batch {
			grad = parameters{}
			for _, i := range order[at : at+batch] {
				weight := 1.0
				if !samples[i].secret {
					weight = falseCost
				}
				backward(&p, &grad, n.Input(&samples[i].v), samples[i].secret, weight/batch)
			}
			step++
			rate := 0.004 * (1 - float64(step)/float64(steps+1))
			c1, c2 := 1-math.Pow(0.9, float64(step)), 1-math.Pow(0.999, float64(step))
			for i := range p {
				m[i] = 0.9*m[i] + 0.1*grad[i]
				v[i] = 0.999*v[i] + 0.001*grad[i]*grad[i]
				p[i] -= rate * (m[i]/c1/(math.Sqrt(v[i]/c2)+1e-8) + 1e-4*p[i])
			}
		}
	}
	round(n, &p)
}

// backward adds the gradient of one sample.
func backward(p, grad *parameters, in [inputs]int32, secret bool, weight float64) {
	var x [inputs]float64
	for i := range x {
		x[i] = float64(in[i]) / 256
	}
	const out = hidden*inputs + hidden
	var act [hidden]float64
	z := p[out+hidden]
	for h := range hidden {
		sum := p[hidden*inputs+h]
		for i := range x {
			sum += p[h*inputs+i] * x[i]
		}
		act[h] = max(sum, 0)
		z += p[out+h] * act[h]
	}
	d := 1 / (1 + math.Exp(-z))
	if secret {
		d--
	}
	d *= weight
	grad[out+hidden] += d
	for h := range hidden {
		grad[out+h] += d * act[h]
		if act[h] <= 0 {
			continue
		}
		dh := d * p[out+h]
		grad[hidden*inputs+h] += dh
		for i := range x {
			grad[h*inputs+i] += dh * x[i]
		}
	}
}

func round(n *tokenmodel.Network, p *parameters) {
	weight := func(w float64) int16 { return int16(max(-32767, min(32767, math.Round(w*1024)))) }
	bias := func(b float64) int32 { return int32(math.Round(b * 1024 * 256)) }
	for h := range hidden {
		for i := range inputs {
			n.Weights[h][i] = weight(p[h*inputs+i])
		}
		n.Biases[h] = bias(p[hidden*inputs+h])
		n.Out[h] = weight(p[hidden*inputs+hidden+h])
	}
	n.OutBias = bias(p[hidden*inputs+2*hidden])
}
