// Package bhttp encodes and decodes HTTP messages in the binary form of RFC
// 9292, media type message/bhttp: requests and responses, of known and of
// indeterminate length, with informational responses, trailers and padding.
//
// # Use
//
// [Request] and [Response] are messages as the format has them. FromHTTP and
// HTTP translate them from and to the types of net/http:
//
//	m, err := bhttp.RequestFromHTTP(r, limits)
//	encoded, err := m.Append(nil, bhttp.KnownLength)
//	encoded, err = bhttp.Pad(encoded, 1024)
//
//	m, err := bhttp.DecodeRequest(encoded, limits)
//	r, err := m.HTTP(ctx)
//
// An encoding is a function of the message alone: equal messages have equal
// bytes, because header fields that come from net/http are sorted by name.
//
// # Strictness
//
// What RFC 9292 calls invalid is refused, and so is what RFC 9113, section 8,
// calls malformed. Both directions hold to the same rules, so that whatever this
// package encodes, it decodes. Beyond the RFCs it refuses: CONNECT requests and
// status 101, which mean nothing outside a connection; pseudo-fields of
// extensions, because it knows no extension; control characters in field values;
// framing and routing fields in trailers; userinfo in an authority.
//
// Messages are bounded by [Limits] before anything is allocated for them: the
// memory of a decoded message is proportional to its encoded length, and its
// field lines and informational responses are counted. Content is a slice of the
// input where it is in one piece.
//
// Errors name fields and lengths, never values: a message may be private, and
// errors end up in logs. Time depends on what is decoded.
//
// # Compatibility
//
// The examples of RFC 9292, section 5, and messages of another implementation
// are in testdata. Reason phrases, chunk extensions, transfer codings and header
// compression have no place in the format.
package bhttp
