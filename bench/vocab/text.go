package vocab

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/shoal-project/shoal/dp"
)

// String returns the tables: Figure 5 and Table 3 of the paper beside ours.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Unique words recovered (Prochlo paper, Figure 5); seed %d; each cell: here / paper\n\n", r.Seed)
	r.wordTable(&b)
	b.WriteByte('\n')
	r.notes(&b)
	if r.hasSealed() {
		b.WriteString("\nSeconds with all layers of encryption (Prochlo paper, Table 3)\n\n")
		r.timeTable(&b)
		b.WriteString("\nTwo shufflers over blinded crowds, of which neither can name one. Crowd IDs alone: in this construction / in the paper's, El Gamal on P-256.\n\n")
		r.blindedTable(&b)
		b.WriteString("\nThe paper's seconds are of 8 cores, with gRPC between processes; here files take its place.\n")
	}
	b.WriteString("\nSeconds without encryption\n\n")
	r.secondsTable(&b)
	return b.String()
}

func table(b *strings.Builder, rows ...[]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t\n", strings.Join(row, "\t"))
	}
	_ = w.Flush() // a Builder takes everything
}

// ofPaper writes the paper's figure behind another, if it is there.
func ofPaper(paper *PaperRow, of func(*PaperRow) int) string {
	if paper == nil || of(paper) == 0 {
		return " / -"
	}
	return " / " + thousands(of(paper))
}

func beside(here int, paper *PaperRow, of func(*PaperRow) int) string {
	return thousands(here) + ofPaper(paper, of)
}

// String writes the mean and the deviation of the words found.
func (d Decoded) String() string {
	if d.Words < 10 {
		return fmt.Sprintf("%.1f ±%.1f", d.Words, d.Deviation)
	}
	return fmt.Sprintf("%s ±%.0f", thousands(int(math.Round(d.Words))), d.Deviation)
}

func (r *Result) wordTable(b *strings.Builder) {
	rows := [][]string{{"sample", "ground truth", "NoCrowd", "Crowd", "Secret-Crowd", "ours", "RAPPOR", "Partition", "(parts)"}}
	for _, row := range r.Rows {
		rows = append(rows, []string{
			thousands(row.Size),
			beside(row.Truth, row.Paper, func(p *PaperRow) int { return p.Truth }),
			beside(row.NoCrowd, row.Paper, func(p *PaperRow) int { return p.NoCrowd }),
			beside(row.Crowd, row.Paper, func(p *PaperRow) int { return p.Crowd }),
			beside(row.SecretCrowd, row.Paper, func(p *PaperRow) int { return p.Crowd }),
			fmt.Sprintf("%s = %.2f x Crowd", thousands(row.Ours), float64(row.Ours)/float64(max(1, row.Crowd))),
			row.RAPPOR.String() + ofPaper(row.Paper, func(p *PaperRow) int { return p.RAPPOR }),
			row.Partition.String() + ofPaper(row.Paper, func(p *PaperRow) int { return p.Partition }),
			"(" + strconv.Itoa(row.Partitions) + ")",
		})
	}
	table(b, rows...)
}

func (r *Result) notes(b *strings.Builder) {
	fmt.Fprintf(b, "Crowd         %s; delta(%v) = %s\n", r.Crowd.Name, r.Crowd.Epsilon, dp.Figure(r.Crowd.Delta))
	fmt.Fprintf(b, "Secret-Crowd  the same batch, %d of n secret sharing\n", quorum)
	fmt.Fprintf(b, "NoCrowd       %d of n secret sharing, one crowd for all; no differential privacy\n", quorum)
	fmt.Fprintf(b, "ours          noisy count, %s; delta(%v) = %s\n", r.Ours.Name, r.Ours.Epsilon, dp.Figure(r.Ours.Delta))
	fmt.Fprintf(b, "RAPPOR        epsilon %d for a word against none, 5%% chance of any false word; mean of %d collections\n", localEpsilon, r.Collections)
	for _, row := range r.Rows {
		how := "shares really made and recovered"
		if !row.Shares {
			how = "words sent plain, and shares counted"
		}
		fmt.Fprintf(b, "%s: %s; false words: RAPPOR %.1f, Partition %.1f\n", thousands(row.Size), how, row.RAPPOR.False, row.Partition.False)
	}
	b.WriteString("All sizes run through threshold and permutation on the local engine, without public-key layers.\n")
}

func (r *Result) hasSealed() bool {
	for _, row := range r.Rows {
		if row.Sealed != nil {
			return true
		}
	}
	return false
}

func (r *Result) timeTable(b *strings.Builder) {
	rows := [][]string{{"clients", "bytes", "cores", "encode", "open", "threshold", "Encoder+Shuffler 1", "paper", "hand over", "analyze", "words"}}
	for _, row := range r.Rows {
		s := row.Sealed
		if s == nil {
			continue
		}
		paper := "-"
		if s.Paper != nil {
			paper = seconds(s.Paper.Shuffler1)
		}
		rows = append(rows, []string{
			thousands(row.Size), strconv.Itoa(s.ReportBytes), strconv.Itoa(s.Cores), seconds(s.Encode), seconds(s.Open), seconds(s.Threshold),
			seconds(s.Encode + s.Open + s.Threshold), paper, seconds(s.HandOver), seconds(s.Analyze), thousands(s.Words),
		})
	}
	table(b, rows...)
}

// blindedTable has the columns of Table 3 that are of two shufflers.
func (r *Result) blindedTable(b *strings.Builder) {
	rows := [][]string{{"clients", "bytes", "encode", "shuffler 1", "Encoder+Shuffler 1", "paper", "Shuffler 2", "paper", "crowd IDs: clients", "shuffler 1", "shuffler 2"}}
	for _, row := range r.Rows {
		s := row.Blinded
		if s == nil {
			continue
		}
		first, second := "-", "-"
		if row.Sealed.Paper != nil {
			first, second = seconds(row.Sealed.Paper.Shuffler1Blinded), seconds(row.Sealed.Paper.Shuffler2Blinded)
		}
		beside := func(part func(*CrowdSeconds) float64) string {
			return seconds(part(&s.XOnly)) + " / " + seconds(part(&s.ElGamal))
		}
		rows = append(rows, []string{
			thousands(row.Size), strconv.Itoa(s.ReportBytes), seconds(s.Encode), seconds(s.Shuffler1), seconds(s.Encode + s.Shuffler1), first, seconds(s.Shuffler2), second,
			beside(func(c *CrowdSeconds) float64 { return c.Encode }), beside(func(c *CrowdSeconds) float64 { return c.Shuffler1 }), beside(func(c *CrowdSeconds) float64 { return c.Shuffler2 }),
		})
	}
	table(b, rows...)
}

func (r *Result) secondsTable(b *strings.Builder) {
	rows := [][]string{{"sample", "draw and encode", "threshold and permute", "permute (NoCrowd)", "recover", "RAPPOR", "Partition"}}
	for _, row := range r.Rows {
		s := row.Seconds
		rows = append(rows, []string{
			thousands(row.Size), seconds(s.Draw), seconds(s.Threshold), seconds(s.NoCrowd), seconds(s.Recover), seconds(s.RAPPOR), seconds(s.Partition),
		})
	}
	table(b, rows...)
}

func seconds(s float64) string {
	if s >= 100 {
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	}
	return strconv.FormatFloat(s, 'f', 1, 64) + " s"
}

// thousands writes a number with its digits in groups of three.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
