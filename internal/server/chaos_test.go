package server

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// anybody is an SDK's configuration with keys that only dev accepts.
func anybody() aws.Config {
	return aws.Config{Region: "us-west-2", Credentials: aws.AnonymousCredentials{}}
}

// troubles creates services and gets them again, and counts what happens by the names in docs/chaos.md.
func troubles(t *testing.T, node *running) map[string]int {
	t.Helper()
	c := node.client(anybody())
	counts := map[string]int{}
	note := func(err error) bool {
		switch got := code(t, err); got {
		case "":
			return true
		case "ThrottlingException", "InternalServerException":
			var throttled *types.ThrottlingException
			if errors.As(err, &throttled) && aws.ToInt32(throttled.RetryAfterSeconds) != 1 {
				t.Errorf("Retry-After is %d", aws.ToInt32(throttled.RetryAfterSeconds))
			}
			if !strings.Contains(err.Error(), "--chaos-") {
				t.Errorf("the message does not name the flag: %v", err)
			}
			counts[got]++
			if strings.Contains(err.Error(), "after the operation") {
				counts["carried out all the same"]++
			}
		default:
			t.Errorf("failed with %v", err)
		}
		return false
	}
	for n := range 30 {
		created, err := c.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: aws.String(fmt.Sprintf("service-%d", n))})
		if !note(err) {
			continue
		}
		if created.Status != types.ServiceStatusCreateInProgress {
			t.Errorf("a creation is answered with the status %s", created.Status)
		}
		got, err := c.GetService(t.Context(), &vpclattice.GetServiceInput{ServiceIdentifier: created.Id})
		if !note(err) {
			continue
		}
		counts[string(got.Status)]++
		if failed := got.Status == types.ServiceStatusCreateFailed; failed != (got.FailureCode != nil && got.FailureMessage != nil) {
			t.Errorf("a service in the status %s has the failure code %v", got.Status, got.FailureCode)
		}
	}
	return counts
}

func TestCommandLinesInTheDocumentationCauseTheDocumentedErrors(t *testing.T) {
	expected := map[string][]string{
		"--chaos-throttle":      {"ThrottlingException"},
		"--chaos-error":         {"InternalServerException", "carried out all the same"},
		"--chaos-create-failed": {"CREATE_FAILED"},
		"--lifecycle-delay":     {"CREATE_IN_PROGRESS"},
	}
	everything := []string{"ThrottlingException", "InternalServerException", "carried out all the same", "CREATE_FAILED", "CREATE_IN_PROGRESS"}
	lines := codeBlocks(t, "chaos.md", "sh")
	if len(lines) != 5 {
		t.Fatalf("%d command lines, want 5", len(lines))
	}
	for _, line := range lines {
		t.Run(strings.TrimSpace(line), func(t *testing.T) {
			args := strings.Fields(line)[1:]
			node := start(t, args...)
			counts := troubles(t, node)
			var promised []string
			for flag, names := range expected {
				if slices.Contains(args, flag) {
					promised = append(promised, names...)
				}
			}
			for _, name := range everything {
				if got, want := counts[name] > 0, slices.Contains(promised, name); got != want {
					t.Errorf("%s happened %d times; it is promised: %t", name, counts[name], want)
				}
			}
			if !regexp.MustCompile(` seed=[1-9]`).MatchString(node.log.String()) {
				t.Error("the log does not name the seed")
			}
		})
	}
}

func TestSameSeedCausesTheSameErrors(t *testing.T) {
	lines := codeBlocks(t, "chaos.md", "sh")
	args := strings.Fields(lines[len(lines)-1])[1:]
	first, second := troubles(t, start(t, args...)), troubles(t, start(t, args...))
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("the first time %v, the second time %v", first, second)
	}
}

func TestRetriedCreationCreatesOneResource(t *testing.T) {
	node := start(t, "dev", "--chaos-error", "0.8", "--chaos-seed", "3")
	c := vpclattice.NewFromConfig(anybody(), func(o *vpclattice.Options) {
		o.BaseEndpoint = &node.url
		o.Retryer = aws.NopRetryer{}
	})
	var id string
	for n := range 10 {
		name, token := fmt.Sprintf("service-%d", n), fmt.Sprintf("token-%d", n)
		for {
			out, err := c.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: &name, ClientToken: &token})
			if err == nil {
				id = *out.Id
				break
			}
			if got := code(t, err); got != "InternalServerException" {
				t.Fatalf("a retry with the same token meets %v", err)
			}
		}
	}
	for {
		out, err := c.ListServices(t.Context(), &vpclattice.ListServicesInput{})
		if err != nil {
			continue
		}
		if len(out.Items) != 10 || *out.Items[9].Id != id {
			t.Errorf("%d services, want 10", len(out.Items))
		}
		return
	}
}
