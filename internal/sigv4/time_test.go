package sigv4

import (
	"testing"
	"time"
)

// FuzzTime compares the parser and the formatter of times with package time.
func FuzzTime(f *testing.F) {
	for _, text := range []string{
		"20260102T030405Z", "20240229T235959Z", "20230229T000000Z", "20260431T000000Z", "20261301T000000Z", "20260100T000000Z",
		"20260102T240000Z", "20260102T006000Z", "20260102T000060Z", "00000101T000000Z", "99991231T235959Z", "2026010 T030405Z",
		"20260102t030405Z", "20260102T030405z", "20260102T030405", "", "+0260102T030405Z", "2026-1-2T03:04:05",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := time.Parse(TimeFormat, text)
		valid := err == nil && len(text) == len(TimeFormat) // time.Parse takes fractions of a second, too.
		got, ok := parseTime(text)
		if ok != valid || ok && !got.Equal(want) {
			t.Fatalf("%q is %v, %v, want %v (%v)", text, got, ok, want, err)
		}
		if ok && string(appendTime(nil, got)) != want.Format(TimeFormat) {
			t.Fatalf("%v is written as %s", got, appendTime(nil, got))
		}
	})
}
