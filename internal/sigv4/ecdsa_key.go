package sigv4

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"math/big"
)

// derivePrivateKey derives the key of SigV4A from an access key: candidates from the key derivation function of NIST
// SP 800-108 4.1 (HMAC in counter mode), of which the first in range counts, plus one (FIPS 186-4 B.4.2).
func derivePrivateKey(accessKeyID, secret string) (*ecdsa.PrivateKey, error) {
	curve := elliptic.P256()
	nMinusTwo := new(big.Int).Sub(curve.Params().N, big.NewInt(2))
	for counter := 1; counter <= 254; counter++ {
		h := hmac.New(sha256.New, []byte("AWS4A"+secret))
		h.Write([]byte{0, 0, 0, 1}) // the number of the only block
		h.Write([]byte(ECDSA))
		h.Write([]byte{0})
		h.Write([]byte(accessKeyID))
		h.Write([]byte{byte(counter), 0, 0, 1, 0}) // and the length of the key in bits
		candidate := new(big.Int).SetBytes(h.Sum(nil))
		if candidate.Cmp(nMinusTwo) > 0 {
			continue
		}
		candidate.Add(candidate, big.NewInt(1))
		return ecdsa.ParseRawPrivateKey(curve, candidate.FillBytes(make([]byte, 32)))
	}
	return nil, errors.New("no ECDSA key can be derived from the access key")
}
