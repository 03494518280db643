package trellistest

import (
	"fmt"
	"testing"
	"time"
)

// awaitLimit keeps a condition that never holds from hanging a test. Machines can be very busy.
const awaitLimit = 2 * time.Minute

// Await waits until a condition holds, and fails the test if that takes too long. It checks the condition again and again,
// on the test's goroutine; what says in the failure what the test waited for.
func Await(t testing.TB, condition func() bool, what string, args ...any) {
	t.Helper()
	for limit := time.Now().Add(awaitLimit); ; {
		began := time.Now()
		if condition() {
			return
		}
		now := time.Now()
		if now.After(limit) {
			t.Fatalf("in %s it has not come to be so: %s", awaitLimit, fmt.Sprintf(what, args...))
		}
		// What takes long to check, such as a page, must not take a processor from what the test waits for.
		time.Sleep(min(max(2*time.Millisecond, 3*now.Sub(began)), 100*time.Millisecond)) // Sleeps: a pause between two checks is all that it is.
	}
}

// Receive waits for what comes by a channel, or for the channel's end, and fails the test if that takes too long; what says
// in the failure what the test waited for.
func Receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case received := <-from:
		return received
	case <-time.After(awaitLimit):
		t.Fatalf("after %s this does not hold yet: %s", awaitLimit, what)
		panic("unreachable")
	}
}

// AwaitStill waits until a count has begun to grow, and has then not grown for half a second: what makes it grow has to
// wait for something. On a machine that is too busy it may return early; the test proves less then, and must not fail.
func AwaitStill(t testing.TB, count func() int64) {
	t.Helper()
	last, since := int64(0), time.Now()
	Await(t, func() bool {
		if now := count(); now == 0 || now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) >= 500*time.Millisecond
	}, "a count stands still")
}
