package configuration

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestContradictorySettingsOfEtcdAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		want []string
	}{
		"no endpoints": {"--etcd-ca a --etcd-cert b --etcd-key c --etcd-user d --etcd-password-file e --etcd-prefix /f", []string{
			"--etcd-ca a: has a meaning together with --etcd-endpoints only", "--etcd-cert b: has", "--etcd-key c: has",
			"--etcd-user d: has", "--etcd-password-file e: has", "--etcd-prefix /f: has",
		}},
		"no TLS":            {"--etcd-endpoints http://127.0.0.1:1 --etcd-ca a", []string{"--etcd-ca a: needs --etcd-endpoints that begin with https://"}},
		"no scheme":         {"--etcd-endpoints 127.0.0.1:1 --etcd-ca a", []string{"--etcd-ca a: needs --etcd-endpoints that begin with https://"}},
		"both schemes":      {"--etcd-endpoints https://a:1,http://b:1", []string{"--etcd-endpoints https://a:1,http://b:1: must all begin with https://, or none"}},
		"no key":            {"--etcd-endpoints https://a:1 --etcd-cert b", []string{"--etcd-cert b: needs --etcd-key too"}},
		"no certificate":    {"--etcd-endpoints https://a:1 --etcd-key b", []string{"--etcd-key b: needs --etcd-cert too"}},
		"no password":       {"--etcd-endpoints https://a:1 --etcd-user b", []string{"--etcd-user b: needs --etcd-password-file too"}},
		"no user":           {"--etcd-endpoints https://a:1 --etcd-password-file b", []string{"--etcd-password-file b: needs --etcd-user too"}},
		"no port":           {"--etcd-endpoints https://a", []string{"--etcd-endpoints https://a: must be URLs"}},
		"a path":            {"--etcd-endpoints https://a:1/b", []string{"--etcd-endpoints https://a:1/b: must be URLs"}},
		"another scheme":    {"--etcd-endpoints ftp://a:1", []string{"--etcd-endpoints ftp://a:1: must be URLs"}},
		"a password":        {"--etcd-endpoints https://u:p@a:1", []string{"--etcd-endpoints https://u:xxxxx@a:1: must be URLs"}},
		"no slash":          {"--etcd-endpoints https://a:1 --etcd-prefix a", []string{"--etcd-prefix a: must be names"}},
		"another's records": {"--etcd-endpoints https://a:1 --etcd-prefix /x/trellis/v1", []string{"--etcd-prefix /x/trellis/v1: must not contain /trellis/v1/"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(append([]string{"serve"}, strings.Fields(c.args)...), &bytes.Buffer{})
			if !errors.As(err, new(*UsageError)) {
				t.Fatalf("Parse says %v, want a UsageError", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not tell of %s:\n%v", want, err)
				}
			}
		})
	}
}

func TestUnencryptedEndpointsOfEtcdAreWarnedAbout(t *testing.T) {
	for args, want := range map[string]string{
		"--etcd-endpoints http://127.0.0.1:1,http://[::1]:1,http://localhost:1,127.0.0.1:2": "",
		"--etcd-endpoints https://10.0.0.1:1":                                               "",
		"--etcd-endpoints http://127.0.0.1:1,http://10.0.0.1:1,etcd.internal:1":             "--etcd-endpoints http://10.0.0.1:1,etcd.internal:1: ",
		"--etcd-endpoints http://10.0.0.1:1 --etcd-user u --etcd-password-file p":           "the password of --etcd-user",
	} {
		command, err := Parse(append([]string{"serve"}, strings.Fields(args)...), &bytes.Buffer{})
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		warnings := strings.Join(command.Warnings, "\n")
		if want == "" && warnings != "" || !strings.Contains(warnings, want) {
			t.Errorf("%s: warned of %q, want %q", args, warnings, want)
		}
	}
}
