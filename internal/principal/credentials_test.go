package principal

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/policy"
)

const credentialsFile = `[default]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
trellis_account = 111122223333

[session]
aws_access_key_id = ASIDEXAMPLE
aws_secret_access_key = secret;with#marks
aws_session_token = the-token
trellis_arn = arn:aws:sts::000000000000:assumed-role/role/session
`

func TestFirstStartCreatesOneAdministratorInAPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "credentials")
	first, err := OpenCredentials(path, "000000000000", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %o, want 600", info.Mode().Perm())
	}
	second, err := OpenCredentials(path, "000000000000", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for id, p := range first.content.Load().principals {
		if diff := cmp.Diff(p, second.content.Load().principals[id], cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Errorf("the second start reads something else (-first +second):\n%s", diff)
		}
		if got := outcomeFor(p, "vpc-lattice:DeleteService"); got != policy.Allowed {
			t.Errorf("the administrator may not delete a service: outcome %d", got)
		}
	}
	if len(first.content.Load().principals) != 1 {
		t.Errorf("%d principals, want 1", len(first.content.Load().principals))
	}
}

func TestChangedCredentialsFileIsReadAgainUnlessItIsBroken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(credentialsFile, time.Now())
	c, err := OpenCredentials(path, "000000000000", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	look := func(id string) bool {
		c.nextLook.Store(0)
		_, ok := c.Principal(id)
		return ok
	}
	write(credentialsFile+"[new]\naws_access_key_id = NEW\naws_secret_access_key = s\n", time.Now().Add(time.Second))
	if !look("NEW") {
		t.Error("the new key is not known")
	}
	write("[broken]\naws_access_key_id = B\n", time.Now().Add(2*time.Second))
	if !look("NEW") || c.Problem() == nil || !strings.Contains(c.Problem().Error(), "[broken]") {
		t.Errorf("a broken file must leave the old keys in force and be told of; the problem is %v", c.Problem())
	}
}
