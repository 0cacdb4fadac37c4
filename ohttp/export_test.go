package ohttp

// Secret returns the exported secret of an exchange, and Enc its encapsulated key.
func (k responseKey) Secret() []byte { return k.secret }

// Enc returns the encapsulated key of an exchange.
func (k responseKey) Enc() []byte { return k.enc }

// OpenerOf makes the opener of an exchange whose secrets are known.
func OpenerOf(s Suite, enc, secret []byte) *ResponseOpener {
	return &ResponseOpener{responseKey{suite: s, enc: enc, secret: secret}}
}

// Header and Info are what binds an encapsulated request to its key.
func Header(id uint8, kem KEM, s Suite) []byte { return header(id, kem, s) }

// Info is the info parameter of HPKE.
func Info(header []byte) []byte { return info(header) }
