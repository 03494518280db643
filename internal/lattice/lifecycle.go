package lattice

import "time"

// Phase is the operation that is under way on a resource.
type Phase string

// The phases. The zero Phase means that no operation is under way.
const (
	PhaseCreate Phase = "CREATE"
	PhaseUpdate Phase = "UPDATE"
	PhaseDelete Phase = "DELETE"
)

// Lifecycle is the state machine of a resource: a phase is in progress until a moment, and then it has
// succeeded or failed. The status follows from the time, so no second write is needed to finish a phase;
// only the end of a deletion removes the record.
type Lifecycle struct {
	Phase          Phase     `json:"phase,omitempty"`
	Until          time.Time `json:"until,omitzero"`
	FailureCode    string    `json:"failureCode,omitempty"`
	FailureMessage string    `json:"failureMessage,omitempty"`
}

// StatusActive is the status of a resource without a phase. The other statuses are a phase followed by _IN_PROGRESS or
// _FAILED. All enums of statuses in the API use these words.
const StatusActive = "ACTIVE"

// Status returns the resource's status at a time, in the words of the API.
func (l Lifecycle) Status(now time.Time) string {
	switch {
	case l.Phase == "":
		return StatusActive
	case now.Before(l.Until) || l.Phase == PhaseDelete && l.FailureCode == "":
		return string(l.Phase) + "_IN_PROGRESS"
	case l.FailureCode != "":
		return string(l.Phase) + "_FAILED"
	default:
		return StatusActive
	}
}

// Failure returns the failure's code and message once the phase has failed, and empty strings before.
func (l Lifecycle) Failure(now time.Time) (code, message string) {
	if now.Before(l.Until) {
		return "", ""
	}
	return l.FailureCode, l.FailureMessage
}

// Deleting reports whether the resource is being deleted: it no longer carries traffic, whatever its status says.
func (l Lifecycle) Deleting() bool { return l.Phase == PhaseDelete && l.FailureCode == "" }
