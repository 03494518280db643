package catalog

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// pageDigestSize is how much of a digest precedes the position in a token.
const pageDigestSize = 12

// Token encodes a place for a client, who asks for what comes after it. It carries a digest of the question, so that a token
// of another list is refused instead of leading to an arbitrary place. It is no secret: a place shows nothing beyond the list
// itself.
func (c Cursor) Token(question string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", question, c.Revision, c.Key))
	b := binary.AppendUvarint(sum[:pageDigestSize], uint64(c.Revision))
	return base64.RawURLEncoding.EncodeToString(append(b, c.Key...))
}

// ParseToken returns the place that a token encodes, if it was given for the same question.
func ParseToken(token, question string) (Cursor, bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < pageDigestSize {
		return Cursor{}, false
	}
	revision, n := binary.Uvarint(b[pageDigestSize:])
	if n <= 0 {
		return Cursor{}, false
	}
	c := Cursor{Revision: int64(revision), Key: string(b[pageDigestSize+n:])}
	return c, c.Token(question) == token
}
