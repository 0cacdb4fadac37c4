package vdaf_test

import (
	"crypto/rand"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/vdaf"
)

// check represents the error handling of a real program.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Three clients report a bucket each; leader and helper verify and aggregate,
// and a collector adds up.
func Example() {
	hist, err := vdaf.Histogram(4, 0)
	check(err)
	ctx := []byte("dap task 1")
	key := new(vdaf.VerifyKey) // known to the aggregators alone
	_, err = rand.Read(key[:])
	check(err)
	leader, err := hist.NewVerifier(key, ctx, 0)
	check(err)
	helper, err := hist.NewVerifier(key, ctx, 1)
	check(err)

	leaderSum, helperSum := hist.NewAggregateShare(), hist.NewAggregateShare()
	for _, bucket := range []int{2, 0, 2} {
		// The client.
		var nonce vdaf.Nonce
		_, err := rand.Read(nonce[:])
		check(err)
		shares, err := hist.Shard(rand.Reader, ctx, nonce, bucket)
		check(err)

		// The aggregators.
		state, toHelper, err := leader.LeaderInit(&vdaf.Report{
			Nonce: nonce, PublicShare: shares.PublicShare, InputShare: shares.InputShares[0],
		})
		check(err)
		helperOut, toLeader, err := helper.HelperInit(&vdaf.Report{
			Nonce: nonce, PublicShare: shares.PublicShare, InputShare: shares.InputShares[1],
		}, toHelper)
		check(err)
		leaderOut, err := leader.LeaderFinish(state, toLeader)
		check(err)
		check(leaderSum.Add(leaderOut))
		check(helperSum.Add(helperOut))
	}

	// The collector.
	counts, err := hist.Unshard([][]byte{leaderSum.Bytes(), helperSum.Bytes()}, 3)
	check(err)
	fmt.Println(counts)
	// Output: [1 0 2 0]
}

// A helper verifies a request of many reports at once.
func ExampleBatch() {
	count, err := vdaf.Count()
	check(err)
	key, ctx := &vdaf.VerifyKey{}, []byte("dap task 2")
	leader, err := count.NewVerifier(key, ctx, 0)
	check(err)
	helper, err := count.NewVerifier(key, ctx, 1)
	check(err)

	var atLeader, atHelper []vdaf.Report
	for i := range 100 {
		nonce := vdaf.Nonce{byte(i)}
		s, err := count.Shard(rand.Reader, ctx, nonce, i%4 == 0)
		check(err)
		atLeader = append(atLeader, vdaf.Report{Nonce: nonce, PublicShare: s.PublicShare, InputShare: s.InputShares[0]})
		atHelper = append(atHelper, vdaf.Report{Nonce: nonce, PublicShare: s.PublicShare, InputShare: s.InputShares[1]})
	}
	atHelper[3].InputShare[0] ^= 1 // a bad report harms only itself

	leaderBatch, err := leader.NewBatch()
	check(err)
	leaderBatch.VerifyInit(atLeader)
	var toHelper [][]byte
	for i := range atLeader {
		toHelper = append(toHelper, leaderBatch.Outbound(i))
	}
	helperBatch, err := helper.NewBatch()
	check(err)
	check(helperBatch.HelperInit(atHelper, toHelper))

	sum, rejected := count.NewAggregateShare(), 0
	for i := range atHelper {
		if err := helperBatch.AddTo(sum, i); err != nil {
			rejected++
		}
	}
	fmt.Println("rejected:", rejected)
	// Output: rejected: 1
}

// Message sizes follow from the parameters, before any work is done.
func ExampleInstance_sizes() {
	for _, chunk := range []int{1, 10, 0} {
		h, err := vdaf.Histogram(1000, chunk)
		check(err)
		s := h.Sizes()
		fmt.Printf("%s: leader %d, helper %d bytes\n", h.Name(), s.LeaderShare, s.HelperShare)
	}
	// Output:
	// Prio3Histogram(1000, chunk 1): leader 48816, helper 64 bytes
	// Prio3Histogram(1000, chunk 10): leader 20432, helper 64 bytes
	// Prio3Histogram(1000, chunk 33): leader 18096, helper 64 bytes
}

// Gradients of 10,000 elements, each clipped to [-1, 1] and quantised to 8 bits.
func ExampleLInfGradient() {
	const dim, clients = 10_000, 3
	grad, err := vdaf.LInfGradient(dim, 1, 8)
	check(err)
	ctx := []byte("round 7")
	key := &vdaf.VerifyKey{}
	leader, err := grad.NewVerifier(key, ctx, 0)
	check(err)
	helper, err := grad.NewVerifier(key, ctx, 1)
	check(err)

	want := make([]float64, dim)
	sums := []*vdaf.AggregateShare{grad.NewAggregateShare(), grad.NewAggregateShare()}
	for c := range clients {
		g := make([]float64, dim)
		for i := range g {
			g[i] = math.Sin(float64(i * (c + 1)))
			want[i] += g[i]
		}
		nonce := vdaf.Nonce{byte(c)}
		s, err := grad.Shard(rand.Reader, ctx, nonce, g)
		check(err)
		state, msg, err := leader.LeaderInit(&vdaf.Report{Nonce: nonce, PublicShare: s.PublicShare, InputShare: s.InputShares[0]})
		check(err)
		helperOut, msg, err := helper.HelperInit(&vdaf.Report{Nonce: nonce, PublicShare: s.PublicShare, InputShare: s.InputShares[1]}, msg)
		check(err)
		leaderOut, err := leader.LeaderFinish(state, msg)
		check(err)
		check(sums[0].Add(leaderOut))
		check(sums[1].Add(helperOut))
	}

	got, err := grad.Unshard([][]byte{sums[0].Bytes(), sums[1].Bytes()}, clients)
	check(err)
	worst := 0.0
	for i := range got {
		worst = max(worst, math.Abs(got[i]-want[i]))
	}
	fmt.Println("within the documented error:", worst <= clients*1.0/255)
	// Output: within the documented error: true
}

// Sparse updates whose absolute values add up to at most 1: the proof holds each
// client to that norm.
func ExampleL1Gradient() {
	grad, err := vdaf.L1Gradient(4, 1, 16)
	check(err)
	ctx, nonce := []byte("round 8"), vdaf.Nonce{}
	s, err := grad.Shard(rand.Reader, ctx, nonce, []float64{0.5, 0, -0.25, 0})
	check(err)
	sums := make([][]byte, 2)
	states, shares := make([]*vdaf.VerifyState, 2), make([][]byte, 2)
	var v *vdaf.Verifier
	for id := range 2 {
		v, err = grad.NewVerifier(&vdaf.VerifyKey{}, ctx, id)
		check(err)
		states[id], shares[id], err = v.VerifyInit(&vdaf.Report{Nonce: nonce, PublicShare: s.PublicShare, InputShare: s.InputShares[id]})
		check(err)
	}
	msg, err := v.Combine(shares)
	check(err)
	for id := range 2 {
		sums[id], err = v.Next(states[id], msg)
		check(err)
	}
	got, err := grad.Unshard(sums, 1)
	check(err)
	fmt.Printf("%.4f\n", got)
	_, err = grad.Shard(rand.Reader, ctx, nonce, []float64{0.8, 0, -0.25, 0})
	fmt.Println(err)
	// Output:
	// [0.5000 0.0000 -0.2500 0.0000]
	// vdaf: Prio3L1BoundSum(8, 65536, chunk 11): gradient of L1 norm 1.05, at most 1 is possible
}
