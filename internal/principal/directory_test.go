package principal

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/lattice"
	"trellis/internal/policy"
)

const rolesFile = `[user]
aws_access_key_id = AKIDUSER
aws_secret_access_key = s
trellis_account = 111122223333
trellis_tags = team=blue

[shop]
trellis_arn = arn:aws:iam::111122223333:role/teams/shop
trellis_account = 111122223333
trellis_tags = team=red,kind=role
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"vpc-lattice-svcs:Invoke","Resource":"*"}]}
trellis_trust_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}
`

// openRoles returns the directory of a file with a user and a role, and a function that replaces the file.
func openRoles(t *testing.T) (d *Directory, replace func(text string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	at := time.Now()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(rolesFile)
	c, err := OpenCredentials(path, "111122223333", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return NewDirectory(c), func(text string) {
		t.Helper()
		write(text)
		c.nextLook.Store(0)
	}
}

func sessionOf(role, user string) *lattice.Session {
	s := &lattice.Session{
		Account: "111122223333", AccessKeyID: "ASID" + role + user, SecretKey: "secret", Token: "token", UserKeyID: user,
		ARN: "arn:aws:iam::111122223333:user/user", Issued: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), Expires: time.Now().Add(time.Hour),
	}
	if role != "" {
		s.RoleARN, s.ARN = "arn:aws:iam::111122223333:role/"+role, "arn:aws:sts::111122223333:assumed-role/shop/one"
		s.Tags = map[string]string{"Team": "green"}
	}
	return s
}

func TestSessionsHaveTheCurrentPermissionsOfTheirRoleOrUser(t *testing.T) {
	d, replace := openRoles(t)
	role, user := sessionOf("teams/shop", ""), sessionOf("", "AKIDUSER")
	d.Apply([]lattice.Change{{New: role}, {New: user}})
	of := func(s *lattice.Session) *Principal {
		t.Helper()
		p, ok := d.Principal(s.AccessKeyID)
		if !ok {
			t.Fatalf("%s is not known", s)
		}
		return p
	}
	if got := outcomeFor(of(role), "vpc-lattice-svcs:Invoke"); got != policy.Allowed {
		t.Errorf("the role's policy says %v", got)
	}
	if diff := cmp.Diff(map[string]string{"Team": "green", "kind": "role"}, of(role).Tags); diff != "" {
		t.Errorf("the tags of the role's session (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"team": "blue"}, of(user).Tags); diff != "" {
		t.Errorf("the tags of the user's session (-want +got):\n%s", diff)
	}
	if caller := of(role).Caller(); caller.RoleARN != role.RoleARN || caller.UserID != of(role).UserID() || !strings.HasSuffix(caller.UserID, ":one") || caller.TokenIssued != "2026-01-02T15:04:05Z" {
		t.Errorf("policies see %+v", caller)
	}
	if a, b := of(role), of(role); a != b {
		t.Error("looking it up twice makes it twice")
	}

	replace(strings.Replace(rolesFile, `"Effect":"Allow","Action":"vpc-lattice-svcs`, `"Effect":"Deny","Action":"vpc-lattice-svcs`, 1))
	if got := outcomeFor(of(role), "vpc-lattice-svcs:Invoke"); got != policy.ExplicitDeny {
		t.Errorf("when the role's policy denies, the session's says %v", got)
	}
	user2 := strings.Split(rolesFile, "[shop]")[1]
	replace("[shop]" + user2)
	if p, ok := d.Principal(user.AccessKeyID); ok {
		t.Errorf("the session of a user who is gone is %+v", p)
	}
	replace(strings.Split(rolesFile, "[shop]")[0])
	if p, ok := d.Principal(role.AccessKeyID); ok {
		t.Errorf("the session of a role that is gone is %+v", p)
	}
	of(user)
	d.Apply([]lattice.Change{{Old: user}})
	if _, ok := d.Principal(user.AccessKeyID); ok {
		t.Error("a session that has been deleted is known")
	}
}

func TestOpenDirectoryFollowsTheFileAndAdmitsEverybodyElse(t *testing.T) {
	file, _ := openRoles(t)
	d, err := NewOpenDirectory("000000000000", file.file)
	if err != nil {
		t.Fatal(err)
	}
	d.Apply([]lattice.Change{{New: sessionOf("teams/shop", "")}, {New: sessionOf("other", "")}, {New: sessionOf("", "unknown")}})
	for _, tc := range []struct {
		key, action string
		want        policy.Outcome
	}{
		{"AKIDUSER", "vpc-lattice-svcs:Invoke", policy.ImplicitDeny},
		{"ASIDteams/shop", "vpc-lattice-svcs:Invoke", policy.Allowed},
		{"ASIDteams/shop", "vpc-lattice:GetService", policy.ImplicitDeny},
		{"ASIDother", "vpc-lattice:GetService", policy.Allowed},
		{"ASIDunknown", "vpc-lattice:GetService", policy.Allowed},
	} {
		p, ok := d.Principal(tc.key)
		if !ok || outcomeFor(p, tc.action) != tc.want {
			t.Errorf("%s: %v, %t", tc.key, p, ok)
		}
	}
	if p := d.Anybody("444455556666"); p.ARN != "arn:aws:iam::444455556666:root" || outcomeFor(p, "vpc-lattice:GetService") != policy.Allowed {
		t.Errorf("an account's key is %+v", p)
	}
	if p := d.Anybody("AKIDOTHER"); p.ARN != "arn:aws:iam::000000000000:root" {
		t.Errorf("another key is %+v", p)
	}
	if role, ok := d.Role("arn:aws:iam::111122223333:role/teams/shop"); !ok || len(role.Trust) != 1 {
		t.Errorf("the role of the file is %+v", role)
	}
}

func TestMalformedRolesInACredentialsFileAreRefused(t *testing.T) {
	const trust = "trellis_trust_policy = " + `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}` + "\n"
	for name, tc := range map[string]struct{ text, want string }{
		"keys":                {"[a]\n" + trust + "aws_access_key_id = A\naws_secret_access_key = s\n", "a section with a trust policy is a role, which has no keys"},
		"a user's ARN":        {"[a]\n" + trust + "trellis_arn = arn:aws:iam::111122223333:user/a\n", "such as arn:aws:iam::111122223333:role/name"},
		"no principal":        {"[a]\n" + strings.Replace(trust, `"Principal":"*",`, "", 1), "Principal is missing"},
		"another action":      {"[a]\n" + strings.Replace(trust, "sts:AssumeRole", "vpc-lattice:GetService", 1), "must begin with sts:"},
		"a key of traffic":    {"[a]\n" + strings.Replace(trust, `"Action"`, `"Condition":{"StringEquals":{"vpc-lattice-svcs:Port":"1"}},"Action"`, 1), "vpc-lattice-svcs:Port"},
		"the same role twice": {"[a]\n" + trust + "[b]\n" + trust + "trellis_arn = arn:aws:iam::111122223333:role/a\n", "another section has the same trellis_arn"},
	} {
		path := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenCredentials(path, "111122223333", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
