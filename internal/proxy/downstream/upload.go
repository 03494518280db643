package downstream

import "sync/atomic"

// Upload is what the goroutine that sends the body of a request waits for, and until when. The sweeper reads it.
type Upload struct {
	state    atomic.Int32
	deadline atomic.Int64
}

// What an upload waits for.
const (
	uploadNone int32 = iota
	// UploadReads says that it waits for the client.
	UploadReads
	// UploadWrites says that it waits for the target.
	UploadWrites
)

// Await states what the upload waits for from now on, for so many milliseconds at most.
func (u *Upload) Await(state int32, clock *Clock, timeout int64) {
	u.deadline.Store(clock.Now() + timeout)
	u.state.Store(state)
}

// End states that the upload has ended.
func (u *Upload) End() { u.state.Store(uploadNone) }
