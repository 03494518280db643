package principal

import (
	"strings"
	"testing"

	"trellis/internal/lattice"
	"trellis/internal/policy"
)

func TestTargetsAreToldWhoHasSigned(t *testing.T) {
	user := &Principal{ARN: "arn:aws:iam::111122223333:user/staff/alice"}
	session := &Principal{
		ARN: "arn:aws:sts::111122223333:assumed-role/web/i-1", OrgPath: "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/",
		Tags: map[string]string{"team": "blue", "list": "a;b", "Cost Centre": ""},
	}
	for _, test := range []struct {
		p              *Principal
		identity, tags string
	}{
		{user, "Principal=arn:aws:iam::111122223333:user/staff/alice; PrincipalOrgID=; PrincipalOrgPaths=; SessionName=",
			"principal=arn:aws:iam::111122223333:user/staff/alice;principalorgid=;principalorgpath="},
		{session, "Principal=arn:aws:sts::111122223333:assumed-role/web/i-1; PrincipalOrgID=o-a1b2c3d4e5; PrincipalOrgPaths=o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/; SessionName=i-1",
			`principal=arn:aws:sts::111122223333:assumed-role/web/i-1;principalorgid=o-a1b2c3d4e5;principalorgpath=o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/;Cost Centre=;list=a\;b;team=blue`},
	} {
		for range 2 { // First as made by hand, then with the members that derive fills in.
			if got := string(test.p.LatticeIdentity(false)); got != test.identity {
				t.Errorf("without a policy the identity is %q, want %q", got, test.identity)
			}
			if got := string(test.p.LatticeIdentity(true)); got != test.identity+"; Type=AWS_IAM" {
				t.Errorf("the identity is %q", got)
			}
			if got := string(test.p.LatticeIdentityTags()); got != test.tags {
				t.Errorf("the tags are %q, want %q", got, test.tags)
			}
			test.p.derive()
		}
	}
}

func TestOrganizationOfAPrincipalIsKnownToPolicies(t *testing.T) {
	file, replace := openRoles(t)
	const path = "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222/"
	replace(strings.Replace(rolesFile, "[shop]\n", "[shop]\ntrellis_org_path = "+path+"\n", 1))
	role := sessionOf("teams/shop", "")
	file.Apply([]lattice.Change{{New: role}})
	p, ok := file.Principal(role.AccessKeyID)
	if !ok {
		t.Fatal("the session is not known")
	}
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{
		"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"},"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*"}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c policy.Caller) policy.Outcome {
		return d.Evaluate(&policy.Request{Caller: c, Action: policy.ActionInvoke, Resource: "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-1", Path: "/"}).Outcome
	}
	if got := ask(p.Caller()); got != policy.Allowed {
		t.Errorf("of the organization: %v", got)
	}
	other := *p
	other.OrgPath = "o-a1b2c3d4e5/r-ab12/"
	other.derive()
	if got := ask(other.Caller()); got != policy.ImplicitDeny {
		t.Errorf("of another unit: %v", got)
	}
}
