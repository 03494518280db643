package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/api"
	"trellis/internal/audit"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// answers is an authenticator that returns an error, or nil.
type answers struct {
	err   error
	asked int
}

func (a *answers) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	a.asked++
	return api.Caller{}, a.err
}

// attempt asks for a request's caller and returns the code of the error, "" for success.
func attempt(t *testing.T, a api.Authenticator, source, accessKeyID string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/services", nil)
	r.RemoteAddr = source
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+accessKeyID+"/20260102/us-west-2/vpc-lattice/aws4_request, SignedHeaders=host, Signature=00")
	_, err := a.Authenticate(r, nil)
	if err == nil {
		return ""
	}
	coded, ok := errors.AsType[interface {
		error
		ErrorCode() string
	}](err)
	if !ok {
		t.Fatalf("the error is %v", err)
	}
	return coded.ErrorCode()
}

var mismatch = refuse(codeMismatch, "The signature does not match.")

func TestClientGetsTheReasonBeforeItIsToldToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFailures(slog.New(slog.DiscardHandler), nil)
		service := &answers{err: mismatch}
		first, second := f.Guard(service), f.Guard(service)
		for n := range failuresAtOnce {
			if code := attempt(t, []api.Authenticator{first, second}[n%2], "192.0.2.1:5", "AKID"); code != codeMismatch {
				t.Fatalf("attempt %d is answered %q", n, code)
			}
		}
		asked := service.asked
		if code := attempt(t, first, "192.0.2.1:6", "AKID"); code != "ThrottlingException" || service.asked != asked {
			t.Errorf("the next one is answered %q, and its signature was looked at: %t", code, service.asked != asked)
		}
		// The others have not failed.
		for _, other := range [][2]string{{"192.0.2.2:5", "AKID"}, {"192.0.2.1:5", "AKIE"}} {
			if code := attempt(t, first, other[0], other[1]); code != codeMismatch {
				t.Errorf("%s at %s is answered %q", other[1], other[0], code)
			}
		}
		time.Sleep(time.Second)
		if code := attempt(t, first, "192.0.2.1:5", "AKID"); code != codeMismatch {
			t.Errorf("a second later the client is answered %q", code)
		}
		if code := attempt(t, first, "192.0.2.1:5", "AKID"); code != "ThrottlingException" {
			t.Errorf("at once after that the client is answered %q, want ThrottlingException", code)
		}
	})
}

func TestClientIsToldHowLongToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewFailures(slog.New(slog.DiscardHandler), nil).Guard(&answers{err: mismatch})
		r := httptest.NewRequest("GET", "/services", nil)
		var err error
		for range failuresAtOnce + 1 {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-west-2/vpc-lattice/aws4_request")
			_, err = a.Authenticate(r, nil)
		}
		throttled, ok := errors.AsType[*shape.ThrottlingException](err)
		if !ok || throttled.HTTPStatus() != 429 || throttled.RetryAfterSeconds == nil || *throttled.RetryAfterSeconds != 1 {
			t.Errorf("the error is %#v", err)
		}
	})
}

func TestCorrectSignatureClearsTheCountOfItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &answers{}
		a := NewFailures(slog.New(slog.DiscardHandler), nil).Guard(service)
		for range 20 {
			service.err = mismatch
			for range failuresAtOnce - 1 {
				if code := attempt(t, a, "192.0.2.1:5", "AKID"); code != codeMismatch {
					t.Fatalf("answered %q", code)
				}
			}
			service.err = nil
			if code := attempt(t, a, "192.0.2.1:5", "AKID"); code != "" {
				t.Fatalf("the right signature is answered %q", code)
			}
		}
	})
}

func TestManyKeysFromOneSourceAreSlowedDownAndProvenOnesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, source := range map[string]func(n int) string{
			"IPv4":           func(n int) string { return fmt.Sprintf("192.0.2.1:%d", 1000+n) },
			"IPv4 in IPv6":   func(n int) string { return fmt.Sprintf("[::ffff:192.0.2.1]:%d", 1000+n) },
			"a /64 of IPv6":  func(n int) string { return fmt.Sprintf("[2001:db8::%x:%x]:443", n, n) },
			"a link's zones": func(n int) string { return fmt.Sprintf("[fe80::1%%eth%d]:443", n) },
		} {
			service := &answers{}
			a := NewFailures(slog.New(slog.DiscardHandler), nil).Guard(service)
			attempt(t, a, source(0), "PROVEN")
			service.err = mismatch
			for n := range sourceFailuresAtOnce {
				if code := attempt(t, a, source(n), fmt.Sprintf("AKID%d", n)); code != codeMismatch {
					t.Fatalf("%s: attempt %d is answered %q", name, n, code)
				}
			}
			if code := attempt(t, a, source(1), "ANOTHER"); code != "ThrottlingException" {
				t.Errorf("%s: the next key is answered %q", name, code)
			}
			service.err = nil
			if code := attempt(t, a, source(2), "PROVEN"); code != "" {
				t.Errorf("%s: a key that has signed correctly before is answered %q", name, code)
			}
			if code := attempt(t, a, "198.51.100.1:1", "ANOTHER"); code != "" {
				t.Errorf("%s: another source is answered %q", name, code)
			}
			if code := attempt(t, a, "[2001:db8:0:1::1]:1", "ANOTHER"); code != "" {
				t.Errorf("%s: another network is answered %q", name, code)
			}
		}
	})
}

func TestOtherErrorsAreNotCountedAsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, err := range []error{refuse(codeMissingToken, "The request is not signed."), api.Rejected("The body is too large."), api.Throttled(1, "Rate exceeded.")} {
			service := &answers{err: err}
			a := NewFailures(slog.New(slog.DiscardHandler), nil).Guard(service)
			for range 3 * sourceFailuresAtOnce {
				attempt(t, a, "192.0.2.1:5", "AKID")
			}
			if service.asked != 3*sourceFailuresAtOnce {
				t.Errorf("after %v the client is throttled", err)
			}
		}
	})
}

// lines takes lines of JSON out of a text.
func lines(t *testing.T, b *trellistest.Text) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(b.Take()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

func TestFailuresAreReportedAtOnceAndThenOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged, audited trellistest.Text
		auditLog, err := audit.Open(audit.Config{Out: &audited, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer auditLog.Close()
		f := NewFailures(slog.New(slog.NewJSONHandler(&logged, nil)), auditLog)
		a := f.Guard(&answers{err: mismatch})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()

		// check compares both logs with what is expected of each: code and count.
		check := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			var inLog, inAudit []string
			for _, line := range lines(t, &logged) {
				if line["source"] != "192.0.2.1" || line["accessKeyId"] != "AKID" || line["level"] != "WARN" {
					t.Errorf("%s: the line is %v", when, line)
				}
				inLog = append(inLog, fmt.Sprintf("%v %v", line["errorCode"], line["count"]))
			}
			for _, line := range lines(t, &audited) {
				if line["sourceIp"] != "192.0.2.1" || line["accessKeyId"] != "AKID" || line["operation"] != "Authenticate" {
					t.Errorf("%s: the audit entry is %v", when, line)
				}
				inAudit = append(inAudit, fmt.Sprintf("%v %v", line["errorCode"], line["count"]))
			}
			if got := strings.Join(inLog, ", "); got != strings.Join(want, ", ") {
				t.Errorf("%s: logged %q, want %q", when, got, want)
			}
			if got := strings.Join(inAudit, ", "); got != strings.Join(want, ", ") {
				t.Errorf("%s: audited %q, want %q", when, got, want)
			}
		}
		attempt(t, a, "192.0.2.1:5", "AKID")
		check("at once", codeMismatch+" 1")
		for range failuresAtOnce - 1 {
			attempt(t, a, "192.0.2.1:5", "AKID")
		}
		check("soon after")
		time.Sleep(reportInterval + time.Second)
		check("after a minute", fmt.Sprintf("%s %d", codeMismatch, failuresAtOnce-1))
		time.Sleep(reportInterval)
		check("after a minute without any")
		for range failuresAtOnce {
			attempt(t, a, "192.0.2.1:5", "AKID")
		}
		check("when it begins again", codeMismatch+" 1")
		attempt(t, a, "192.0.2.1:5", "AKID")
		check("when the client is throttled", "ThrottlingException 1")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		check("at the end", fmt.Sprintf("%s %d", codeMismatch, failuresAtOnce-1))
	})
}

func TestTablesOfFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged trellistest.Text
		f := NewFailures(slog.New(slog.NewJSONHandler(&logged, nil)), nil)
		service := &answers{err: mismatch}
		a := f.Guard(service)
		for n := range 2 * maxAttackers {
			service.err = nil
			if n%2 == 0 {
				service.err = mismatch
			}
			attempt(t, a, fmt.Sprintf("10.%d.%d.1:5", n>>8, n&255), fmt.Sprintf("AKID%d", n))
		}
		if f.byClient.Len() > maxAttackers || f.bySource.Len() > maxSources || len(f.seen) > maxReports || len(f.proven) > maxAttackers {
			t.Errorf("a table is too large: %d clients, %d sources, %d reports, %d proven clients", f.byClient.Len(), f.bySource.Len(), len(f.seen), len(f.proven))
		}
		if n := len(lines(t, &logged)); n > maxReports {
			t.Errorf("%d lines were logged at once", n)
		}
		f.summarize(time.Now())
		last := lines(t, &logged)
		if len(last) != 1 || last[0]["count"] != float64(maxAttackers-maxReports) {
			t.Errorf("the summary is %v", last)
		}
	})
}

func TestLogsHoldNothingOfAKeyIDThatMayBeASecretOrBreakALine(t *testing.T) {
	for id, want := range map[string]string{
		"AKIAIOSFODNN7EXAMPLE":                     "AKIAIOSFODNN7EXAMPLE",
		"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "wJal...",
		"AKID\nlevel=INFO":                         "AKID?level?INFO",
		"\x1b[2J":                                  "??2J",
		strings.Repeat("é", 100):                   "??...",
		"":                                         "",
	} {
		if got := shownKeyID(id); got != want {
			t.Errorf("%q is shown as %q, want %q", id, got, want)
		}
	}
}
