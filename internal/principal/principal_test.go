package principal

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/policy"
)

// reader returns a credentials file of one section, with more lines.
func reader(lines ...string) string {
	return "[reader]\naws_access_key_id = AKIDREADER\naws_secret_access_key = s\n" + strings.Join(lines, "\n") + "\n"
}

// openText opens a credentials file with a text, in a folder with other files.
func openText(t *testing.T, text string, files map[string]string) (*Credentials, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "credentials")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return OpenCredentials(path, "000000000000", slog.New(slog.DiscardHandler))
}

const (
	allowReads  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["vpc-lattice:Get*","vpc-lattice:List*"],"Resource":"*"}]}`
	denySecrets = `{"Version": "2012-10-17",
  "Statement": {"Effect": "Deny", "Action": "vpc-lattice:GetAuthPolicy", "Resource": "*"}
}`
)

func TestPrincipalsHaveTagsAndPolicies(t *testing.T) {
	c, err := openText(t, reader("trellis_tags = team = blue , env=prod, empty=", "trellis_policy = "+allowReads, "trellis_policy_file = deny.json"), map[string]string{"deny.json": denySecrets})
	if err != nil {
		t.Fatal(err)
	}
	p, ok := c.Principal("AKIDREADER")
	if !ok {
		t.Fatal("the principal is not known")
	}
	if diff := cmp.Diff(map[string]string{"team": "blue", "env": "prod", "empty": ""}, p.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	for action, want := range map[string]policy.Outcome{
		"vpc-lattice:GetService":    policy.Allowed,
		"vpc-lattice:GetAuthPolicy": policy.ExplicitDeny,
		"vpc-lattice:DeleteService": policy.ImplicitDeny,
	} {
		if got := outcomeFor(p, action); got != want {
			t.Errorf("%s: outcome %d, want %d", action, got, want)
		}
	}
}

func TestPrincipalWithoutPolicyMayDoNothing(t *testing.T) {
	c, err := openText(t, reader(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := c.Principal("AKIDREADER")
	if got := outcomeFor(p, "vpc-lattice:GetService"); got != policy.ImplicitDeny {
		t.Errorf("outcome %d, want an implicit deny", got)
	}
}

func TestSecretsAreTakenLiterally(t *testing.T) {
	for _, secret := range []string{"a%(aws_access_key_id)sb", "a;b#c", "a = b", `a"b`, "a+/b="} {
		c, err := openText(t, strings.Replace(reader(), "= s\n", "= "+secret+"\n", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		if p, _ := c.Principal("AKIDREADER"); p.SecretKey != secret {
			t.Errorf("the secret %s is read as %s", secret, p.SecretKey)
		}
	}
}

func TestWhatIsWrongWithACredentialsFileIsNamedWithItsSection(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"no secret", "[reader]\naws_access_key_id = A\n", "section [reader]: aws_access_key_id and aws_secret_access_key are needed"},
		{"account", reader("trellis_account = 12"), "section [reader]: trellis_account must be 12 digits"},
		{"another account's ARN", reader("trellis_arn = arn:aws:iam::111122223333:user/x"), "trellis_arn must be an ARN of the account 000000000000"},
		{"no ARN", reader("trellis_arn = reader"), "trellis_arn must be an ARN"},
		{"tags", reader("trellis_tags = team"), "section [reader]: trellis_tags must be of the form"},
		{"organization without a path", reader("trellis_org_path = o-a1b2c3d4e5"), "trellis_org_path must be a path from the organization"},
		{"tag twice", reader("trellis_tags = team=a,Team=b"), "trellis_tags has the key Team twice"},
		{"policy that is no JSON", reader("trellis_policy = {"), "section [reader]: trellis_policy: the policy is not JSON"},
		{"policy with a principal", reader(`trellis_policy = {"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`), "Statement[0].Principal does not belong into an identity policy"},
		{"policy without resource", reader(`trellis_policy = {"Statement":{"Effect":"Allow","Action":"*"}}`), "Statement[0].Resource is missing"},
		{"policy of another service", reader(`trellis_policy = {"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`), `Statement[0].Action is "s3:*"; it must begin with vpc-lattice: or vpc-lattice-svcs: or sts:`},
		{"no policy file", reader("trellis_policy_file = none.json"), "section [reader]: trellis_policy_file: open"},
		{"unknown key", reader("trellis_polcy = {}"), "section [reader]: trellis_polcy is not a known key"},
		{"same section twice", reader() + reader("trellis_account = 111122223333"), "section [reader]: another section has the same name"},
		{"same key id twice", reader() + strings.Replace(reader(), "reader", "other", 1), "section [other]: another section has the same aws_access_key_id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := openText(t, tc.text, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("opening it says %v, want something with %q", err, tc.want)
			}
		})
	}
}

func TestPolicyFileIsReadAgainAfterAChange(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, at time.Time) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	write("credentials", reader("trellis_policy_file = policy.json"), now)
	write("policy.json", allowReads, now)
	var log bytes.Buffer
	c, err := OpenCredentials(filepath.Join(dir, "credentials"), "000000000000", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	outcome := func() policy.Outcome {
		c.nextLook.Store(0)
		p, _ := c.Principal("AKIDREADER")
		return outcomeFor(p, "vpc-lattice:GetAuthPolicy")
	}
	if got := outcome(); got != policy.Allowed {
		t.Fatalf("outcome %d", got)
	}
	write("policy.json", "broken", now.Add(time.Second))
	if got := outcome(); got != policy.Allowed || c.Problem() == nil || strings.Count(log.String(), "cannot be read") != 1 {
		t.Errorf("with a broken file the outcome is %d, the problem %v, the log %s", got, c.Problem(), log.String())
	}
	if outcome(); strings.Count(log.String(), "cannot be read") != 1 {
		t.Errorf("the problem is logged more than once: %s", log.String())
	}
	write("policy.json", denySecrets, now.Add(2*time.Second))
	if got := outcome(); got != policy.ExplicitDeny || c.Problem() != nil {
		t.Errorf("after the change the outcome is %d, the problem %v", got, c.Problem())
	}
}

func TestUserIDsHaveAWSsFormAndNeverChange(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:iam::111122223333:root":                           "111122223333",
		"arn:aws:iam::111122223333:user/path/name":                 "AIDALBPPM2J5DT2WHUSWN",
		"arn:aws:sts::111122223333:assumed-role/app/session":       "AROAX7TZ7H6AJPWHG3RAY:session",
		"arn:aws:sts::111122223333:assumed-role/app/other-session": "AROAX7TZ7H6AJPWHG3RAY:other-session",
	} {
		if got := userID(arn, "111122223333"); got != want {
			t.Errorf("%s has the id %s, want %s", arn, got, want)
		}
	}
}

// outcomeFor returns what a principal's policies say to an action.
func outcomeFor(p *Principal, action string) policy.Outcome {
	decision, _ := p.Policies.Evaluate(&policy.Request{Action: action, Resource: "arn:x"})
	return decision.Outcome
}
