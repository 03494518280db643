package caller

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"trellis/internal/sigv4"
)

// pathForms are the forms in which signers write paths.
var pathForms = [...]sigv4.PathForm{sigv4.Encoded, sigv4.NormalizedEncoded, sigv4.Plain}

// signedOtherwise is a request that a client may have signed, different from the received one.
type signedOtherwise struct {
	request sigv4.Request
	payload string
	differs string
}

// otherwise returns the requests that the client may have signed: by a usual mistake, or before a proxy on the way changed them.
// Each differs from the received one in a single part.
func otherwise(r *sigv4.Request) []signedOtherwise {
	var all []signedOtherwise
	add := func(part string, set func(o *signedOtherwise) (signed, sent string)) {
		o := signedOtherwise{request: *r, payload: sigv4.UnsignedPayload}
		signed, sent := set(&o)
		o.differs = fmt.Sprintf("%s: the client has signed %q, and %q was received", part, signed, sent)
		all = append(all, o)
	}
	host := func(signed []byte) {
		add("the host differs", func(o *signedOtherwise) (string, string) {
			o.request.Host = signed
			return string(signed), string(r.Host)
		})
	}
	if at := bytes.LastIndexByte(r.Host, ':'); at > 0 && !bytes.HasSuffix(r.Host, []byte("]")) {
		host(r.Host[:at])
	} else {
		host(fmt.Appendf(nil, "%s:80", r.Host))
		host(fmt.Appendf(nil, "%s:443", r.Host))
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if method != string(r.Method) {
			add("the method differs", func(o *signedOtherwise) (string, string) {
				o.request.Method = []byte(method)
				return method, string(r.Method)
			})
		}
	}
	add("the path differs", func(o *signedOtherwise) (string, string) {
		path := append(bytes.Clone(r.Path), '/')
		if trimmed := bytes.TrimSuffix(r.Path, []byte("/")); len(trimmed) < len(r.Path) && len(trimmed) > 0 {
			path = trimmed
		}
		o.request.Path = path
		return string(path), string(r.Path)
	})
	if sigv4.PlaceOf(r) == sigv4.InHeader && len(r.Query) > 0 {
		add("the query differs", func(o *signedOtherwise) (string, string) {
			o.request.Query = nil
			return "", string(r.Query)
		})
	}
	add("the payload differs", func(o *signedOtherwise) (string, string) {
		sum := sha256.Sum256(nil)
		o.payload = hex.EncodeToString(sum[:])
		return o.payload + " (no body)", sigv4.UnsignedPayload
	})
	return all
}

// explain notes in a refusal how the request differs from what the client has signed: which part differs, if it is one of the
// usual ones, and the canonical requests and the strings to sign of both sides.
func (v *Verifier) explain(refusal *Refusal, r *sigv4.Request, s *sigv4.Signature, secret string) {
	canonical := s.AppendCanonicalRequest(nil, r, sigv4.UnsignedPayload, sigv4.Encoded)
	refusal.CanonicalRequest, refusal.StringToSign = string(canonical), s.StringToSign(canonical)
	refusal.Differs = "the secret differs, or more of what is signed than one usual part; compare x-trellis-canonical-request with that of the client"
	for _, o := range otherwise(r) {
		for _, form := range pathForms {
			if v.signatures.Verify(&o.request, s, secret, o.payload, form) {
				canonical = s.AppendCanonicalRequest(nil, &o.request, o.payload, form)
				refusal.Differs, refusal.SignedCanonicalRequest, refusal.SignedStringToSign = o.differs, string(canonical), s.StringToSign(canonical)
				return
			}
		}
	}
}
