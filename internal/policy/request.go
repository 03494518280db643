package policy

import (
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Request is what policies are asked about. One goroutine at a time uses it, while the memory of its texts must not change.
type Request struct {
	Caller Caller
	// Action is "service:Operation".
	Action string
	// Resource is an ARN. Path follows it: that of a request through the network, without the query.
	Resource, Path string
	// Now is the value of aws:CurrentTime and aws:EpochTime.
	Now time.Time
	// Values has the values of all condition keys that are not the caller's or above.
	Values Values

	rfc3339, epoch [32]byte
}

// Values gives the values of condition keys.
type Values interface {
	// Value returns the value of a key at a position, of which the first is 0, and the position of the next one, which
	// is None if the request has no value there. It is Undecided if the request has several values, of which IAM would
	// take one or the other: a condition on such a key does not let a statement allow, and does not keep one from
	// denying.
	Value(key *Key, from int) (value string, next int)
}

// What Value returns instead of a position.
const (
	None      = -1
	Undecided = -2
)

// One returns a value as the only one of its key, or none if it is empty.
func One(value string, from int) (string, int) {
	if value == "" || from > 0 {
		return "", None
	}
	return value, 1
}

// value returns the value of a key at a position, as Values does.
func (r *Request) value(key *Key, from int) (string, int) {
	if key.own {
		return r.own(key, from)
	}
	if r.Values == nil {
		return "", None
	}
	return r.Values.Value(key, from)
}

// own returns the values of the keys that are not in Values.
func (r *Request) own(key *Key, from int) (string, int) {
	c := &r.Caller
	switch key.id {
	case idCurrentTime:
		return One(View(r.Now.UTC().AppendFormat(r.rfc3339[:0], time.RFC3339)), from)
	case idEpochTime:
		return One(View(strconv.AppendInt(r.epoch[:0], r.Now.Unix(), 10)), from)
	case idMultiFactorAuthPresent:
		if c.TokenIssued == "" {
			// Only temporary credentials say whether their owner used a second factor. Trellis's STS never asks for one.
			return "", None
		}
		return One("false", from)
	case idPrincipalAccount:
		return One(c.Account, from)
	case idPrincipalARN:
		return One(c.principalARN(), from)
	case idPrincipalIsService, idViaAWSService: // no service of AWS calls Trellis
		return One("false", from)
	case idPrincipalOrgID:
		return One(c.OrgID, from)
	case idPrincipalOrgPaths:
		if from < len(c.OrgPaths) {
			return c.OrgPaths[from], from + 1
		}
		return "", None
	case idPrincipalTag:
		return Tag(c.Tags, key.Part, from)
	case idPrincipalType:
		return One(c.kind(), from)
	case idResourceAccount:
		return One(accountOf(r.Resource), from)
	case idTokenIssueTime:
		return One(c.TokenIssued, from)
	case idUserID:
		if c.Anonymous() {
			return One("anonymous", from) // IAM, aws:userid.
		}
		return One(c.UserID, from)
	case idUserName:
		return One(c.userName(), from)
	}
	return "", None
}

// Tag returns the value of a tag as the value of a condition key. The names of condition keys, of which its key is a part, are
// compared without regard to case. Of several tags whose keys differ only in case, IAM takes one or the other, and does not
// say which one (IAM, Controlling access to AWS resources using tags). Here, whoever chooses the tags must not choose the
// answer.
func Tag(tags map[string]string, key string, from int) (value string, next int) {
	count := 0
	for k, v := range tags {
		if strings.EqualFold(k, key) {
			count++
			value = v
		}
	}
	switch {
	case count > 1:
		return "", Undecided
	case count == 0 || from > 0:
		return "", None
	}
	return value, 1
}

// isNow reports whether a key is the time of the request.
func (k *Key) isNow() bool { return k.id == idCurrentTime || k.id == idEpochTime }

// accountOf returns the account in an ARN.
func accountOf(arn string) string {
	for range 4 {
		_, rest, found := strings.Cut(arn, ":")
		if !found {
			return ""
		}
		arn = rest
	}
	account, _, _ := strings.Cut(arn, ":")
	return account
}

// View returns bytes as a text without copying them. The text is valid as long as the bytes do not change.
func View(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
