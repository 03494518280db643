package sigv4

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"sync"
)

// Verifier checks signatures. It remembers the keys that it derives from secrets: for ECDSA, deriving one costs as much as
// checking a signature; for HMAC, it takes four rounds. The zero value is ready to use, by many goroutines at once.
type Verifier struct {
	signingKeys keyCache[*signingKey]
	publicKeys  keyCache[*ecdsa.PublicKey]
	scratch     sync.Pool // of *scratch
}

// scratch is the memory in which a signature is checked.
type scratch struct{ canonical, toSign, before, cacheKey, sum []byte }

// maxScratch is the size of memory that is kept for the next signature.
const maxScratch = 64 << 10

// Verify reports whether a request carries the signature of a secret, with the path in one of the forms.
func (v *Verifier) Verify(r *Request, s *Signature, secret, payload string, forms ...PathForm) bool {
	m, ok := v.scratch.Get().(*scratch)
	if !ok {
		m = new(scratch)
	}
	defer func() {
		if cap(m.canonical) <= maxScratch {
			v.scratch.Put(m)
		}
	}()
	check := v.checker(m, s, secret)
	if check == nil {
		return false
	}
	m.before = m.before[:0]
	for _, form := range forms {
		if form == NormalizedEncoded && isNormal(r.Path) && slices.Contains(forms, Encoded) {
			continue // The two are the same.
		}
		m.canonical = s.AppendCanonicalRequest(m.canonical[:0], r, payload, form)
		m.toSign = s.appendStringToSign(m.toSign[:0], m.canonical)
		if bytes.Equal(m.toSign, m.before) {
			continue // The forms do not differ for this path, and comparing takes long with ECDSA.
		}
		if check(m.toSign) {
			return true
		}
		m.before = append(m.before[:0], m.toSign...)
	}
	return false
}

// checker returns the function that checks a string to sign, or nil if the signature is malformed.
func (v *Verifier) checker(m *scratch, s *Signature, secret string) func(toSign []byte) bool {
	signature, ok := decodeHex(s.Hex)
	if !ok {
		return nil
	}
	if s.Algorithm == ECDSA {
		key := v.publicKey(m, s.AccessKeyID, secret)
		return func(toSign []byte) bool {
			sum := sha256.Sum256(toSign)
			return key != nil && ecdsa.VerifyASN1(key, sum[:], signature)
		}
	}
	key, remembered := v.signingKey(m, s, secret)
	return func(toSign []byte) bool {
		// The comparison takes constant time, so that nobody can measure how much of a guess was right.
		m.sum = key.appendSum(m.sum[:0], toSign)
		if !hmac.Equal(m.sum, signature) {
			return false
		}
		if !remembered { // A client without a valid secret must not fill the cache.
			v.signingKeys.keep(m.cacheKey, key)
		}
		return true
	}
}

// decodeHex decodes digits in lower case, as signers write them: a signature has one form.
func decodeHex(s string) ([]byte, bool) {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'F' {
			return nil, false
		}
	}
	b, err := hex.DecodeString(s)
	return b, err == nil
}

// signingKey is a key that a secret has for a scope. It keeps hashes that have read the key: a new one costs as much as a
// signature, and would read it again.
type signingKey struct {
	key    []byte
	hashes sync.Pool // of hash.Hash
}

// appendSum appends the HMAC of a text.
func (k *signingKey) appendSum(b, text []byte) []byte {
	h, ok := k.hashes.Get().(hash.Hash)
	if !ok {
		h = hmac.New(sha256.New, k.key)
	}
	h.Reset()
	h.Write(text)
	b = h.Sum(b)
	k.hashes.Put(h)
	return b
}

// signingKey returns the key of a secret for the scope of a signature. It is kept under m.cacheKey.
func (v *Verifier) signingKey(m *scratch, s *Signature, secret string) (key *signingKey, remembered bool) {
	m.cacheKey = m.cacheKey[:0]
	for _, part := range []string{secret, s.Date, s.Region, s.Service} {
		m.cacheKey = append(m.cacheKey, part...)
		m.cacheKey = append(m.cacheKey, 0)
	}
	if key, ok := v.signingKeys.get(m.cacheKey); ok {
		return key, true
	}
	sum := []byte("AWS4" + secret)
	for _, part := range []string{s.Date, s.Region, s.Service, scopeEnd} {
		sum = hmacSHA256(sum, []byte(part))
	}
	return &signingKey{key: sum}, false
}

// publicKey returns the key of a secret for ECDSA, or nil if there is none. It is kept at once, since it depends on nothing that
// a client without a secret can choose.
func (v *Verifier) publicKey(m *scratch, accessKeyID, secret string) *ecdsa.PublicKey {
	m.cacheKey = append(append(append(m.cacheKey[:0], accessKeyID...), 0), secret...)
	if key, ok := v.publicKeys.get(m.cacheKey); ok {
		return key
	}
	key, err := derivePrivateKey(accessKeyID, secret)
	if err != nil {
		return nil
	}
	v.publicKeys.keep(m.cacheKey, &key.PublicKey)
	return &key.PublicKey
}

func hmacSHA256(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}
