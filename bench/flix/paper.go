package flix

// A Paper is a row of Table 5 of the Prochlo paper.
type Paper struct {
	Users   float64 `json:"users"`
	Reports float64 `json:"reports"`
	Plain   float64 `json:"no_privacy"`
	Private float64 `json:"private"`
}

// paper returns the row of a number of movies, nil if the table lacks it.
func paper(movies int) *Paper {
	switch movies {
	case 200:
		return &Paper{90e3, 1.77e6, 0.9579, 0.9595}
	case 2000:
		return &Paper{353e3, 335e6, 0.9414, 0.9420}
	case 18_000:
		return &Paper{480e3, 22.6e9, 0.9222, 0.9242}
	}
	return nil
}
