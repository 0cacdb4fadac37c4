package perms

// A Paper is a column of Table 4 of the Prochlo paper: numbers of pages.
type Paper struct {
	Naive  int    `json:"naive"`
	Action [4]int `json:"action"`
}

// paper returns the columns, by the features.
func paper() []Paper {
	return []Paper{
		{6610, [4]int{5850, 5780, 5860, 5850}},
		{12_200, [4]int{8870, 8930, 9465, 11_020}},
		{620, [4]int{440, 430, 440, 530}},
	}
}
