// Package sigv4 computes what AWS's Signature Version 4 and 4A sign: it reads the signature that a request carries, builds
// the canonical request and the string to sign, derives keys and compares. It sees a small view of a request, so that the API
// port and the services share it, whatever serves them. It does not know whose keys are whose. Its callers decide which
// signatures they accept.
//
// Sources: IAM User Guide, "AWS Signature Version 4 for API requests", and for SigV4A the signers of AWS's SDKs.
package sigv4

// Request is a signed request. All texts are as they were received.
type Request struct {
	Method []byte
	// Path is the escaped path.
	Path []byte
	// Query is the query without its question mark.
	Query []byte
	// Host is the host that the client asked for, with its port if it named one.
	Host    []byte
	Headers Headers
}

// Headers is a lookup in the header lines of a request. It need not have a line for the host.
type Headers interface {
	// Header returns the value of the first line of a name (in lower case) at or after the position from, and the position
	// from which the search goes on. The first search starts at 0. If there is no such line, next is negative and the value
	// nil.
	Header(name string, from int) (value []byte, next int)
}

// header returns the first value of a header, or nil.
func (r *Request) header(name string) []byte {
	value, _ := r.Headers.Header(name, 0)
	return value
}
