package health

import "time"

// sleeper lets keepSchedule sleep. All but sleep are called with the lock of the Checker held.
type sleeper interface {
	// set says when the next sleep ends at the latest; the zero time is never. An earlier wake no longer counts.
	set(at time.Time)
	// wake ends the sleep, or the next one.
	wake()
	sleep()
}

// alarm is a sleeper that waits only for time.
type alarm struct {
	timer *time.Timer
	woken chan struct{}
}

func newAlarm() *alarm {
	a := &alarm{timer: time.NewTimer(0), woken: make(chan struct{}, 1)}
	a.timer.Stop()
	return a
}

func (a *alarm) set(at time.Time) {
	if at.IsZero() {
		a.timer.Stop()
	} else {
		a.timer.Reset(time.Until(at))
	}
}

func (a *alarm) wake() {
	select {
	case a.woken <- struct{}{}:
	default:
	}
}

func (a *alarm) sleep() {
	select {
	case <-a.timer.C:
	case <-a.woken:
	}
}
