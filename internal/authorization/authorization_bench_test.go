package authorization

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trellis/internal/api"
	"trellis/internal/principal"
	"trellis/internal/shape"
)

func BenchmarkAuthorize(b *testing.B) {
	path := filepath.Join(b.TempDir(), "credentials")
	credentials, err := principal.OpenCredentials(path, account, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "aws_access_key_id = ")
	id, _, _ := strings.Cut(rest, "\n")
	a := New(Config{Principals: credentials, Resources: resources()})
	call := api.Call{
		Caller:    api.Caller{Account: account, Region: region, AccessKeyID: id},
		Operation: "CreateTargetGroup", Resource: prefix + "targetgroup/*",
		Input: &shape.CreateTargetGroupRequest{Name: new("web"), Config: &shape.TargetGroupConfig{VpcIdentifier: new("vpc-" + seventy)}},
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Authorize(call); err != nil {
			b.Fatal(err)
		}
	}
}
