package vocab

// A PaperRow is what Figure 5 of the Prochlo paper shows for one sample size:
// numbers of unique words recovered.
type PaperRow struct {
	Truth     int `json:"truth"`
	NoCrowd   int `json:"no_crowd"`
	Crowd     int `json:"crowd"`     // the three experiments with crowds are one line
	Partition int `json:"partition"` // 0: not shown
	RAPPOR    int `json:"rappor"`
}

// A PaperTime is a row of Table 3 of the Prochlo paper, in seconds on 8 cores.
type PaperTime struct {
	Shuffler1        float64 `json:"encoder_and_shuffler_1"`
	Shuffler1Blinded float64 `json:"encoder_and_shuffler_1_blinded"`
	Shuffler2Blinded float64 `json:"shuffler_2_blinded"`
}

// paperRow returns what Figure 5 shows for samples of n words.
func paperRow(n int) (PaperRow, bool) {
	switch n {
	case 10_000:
		return PaperRow{4062, 46, 32, 0, 2}, true
	case 100_000:
		return PaperRow{18_665, 578, 371, 17, 15}, true
	case 1_000_000:
		return PaperRow{57_500, 5921, 3730, 222, 122}, true
	case 10_000_000:
		return PaperRow{91_260, 28_821, 21_972, 828, 240}, true
	}
	return PaperRow{}, false
}

// paperTime returns the row of Table 3 for n clients.
func paperTime(n int) (PaperTime, bool) {
	const hour = 3600
	switch n {
	case 10_000:
		return PaperTime{8, 15, 7}, true
	case 100_000:
		return PaperTime{71, 153, 64}, true
	case 1_000_000:
		return PaperTime{713, 0.4 * hour, 643}, true
	case 10_000_000:
		return PaperTime{2.0 * hour, 4.1 * hour, 1.8 * hour}, true
	}
	return PaperTime{}, false
}
