// Package shape holds the structures, enums and errors of the VPC Lattice API, generated from its published
// model. It is plain data without behaviour, so that both the control plane and the data plane may use it:
// records embed shapes as the client sent them, which is how explicit values are echoed without being copied
// from one set of structs to another.
//
// Scalars are pointers, so that an absent member differs from a zero one. An enum's empty string, a nil list
// and a nil map mean that the member is absent.
package shape

import (
	"fmt"
	"time"
)

// timeFormat is the API's timestamp: ISO 8601 with milliseconds in UTC (the model's timestampFormat iso8601).
const timeFormat = "2006-01-02T15:04:05.000Z"

// Time is a timestamp of the API.
type Time struct{ time.Time }

// NewTime returns t as a member.
func NewTime(t time.Time) *Time { return &Time{t} }

// MarshalJSON writes the timestamp with milliseconds, as AWS does.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(make([]byte, 0, len(timeFormat)+2), `"`+timeFormat+`"`), nil
}

// UnmarshalJSON reads any RFC 3339 timestamp.
func (t *Time) UnmarshalJSON(b []byte) error {
	parsed, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	if err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	t.Time = parsed
	return nil
}
