package principal

import (
	"strings"
	"testing"
)

func TestSectionWithADotInheritsNothing(t *testing.T) {
	c, err := openText(t, `[ops]
aws_access_key_id = AKIDOPS
aws_secret_access_key = s
trellis_account = 111122223333
trellis_arn = arn:aws:iam::111122223333:user/ops
trellis_tags = team=blue
trellis_policy = `+allowReads+`

[ops.intern]
aws_access_key_id = AKIDINTERN
aws_secret_access_key = s
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	intern, _ := c.Principal("AKIDINTERN")
	if intern.Account != "000000000000" || intern.ARN != "arn:aws:iam::000000000000:user/ops.intern" || len(intern.Tags) > 0 || len(intern.Policies) > 0 {
		t.Errorf("the section has more than stands in it: account %s, ARN %s, tags %v, %d policies", intern.Account, intern.ARN, intern.Tags, len(intern.Policies))
	}
	_, err = openText(t, "[ops]\naws_access_key_id = A\naws_secret_access_key = s\n[ops.intern]\naws_access_key_id = B\n", nil)
	if err == nil || !strings.Contains(err.Error(), "section [ops.intern]: aws_access_key_id and aws_secret_access_key are needed") {
		t.Errorf("a section with half a key: %v", err)
	}
}

func TestValuesAreReadAsByAWSsTools(t *testing.T) {
	c, err := openText(t, "\ufeff# Who may call.\r\n  ; And a comment that is indented.\r\n[reader] ; a comment behind a head\r\nAWS_Access_Key_ID=AKIDREADER\r\n"+
		"aws_secret_access_key =  a\\\r\nregion = us-west-2 # of other tools\r\ns3 =\r\n  max_concurrent_requests = 20\r\n"+
		"Trellis_Tags = secret=%(aws_secret_access_key)s\r\ntrellis_account = 111122223333", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := c.Principal("AKIDREADER")
	if p.SecretKey != `a\` || p.Tags["secret"] != "%(aws_secret_access_key)s" || p.Account != "111122223333" {
		t.Errorf("secret %q, tags %v, account %s", p.SecretKey, p.Tags, p.Account)
	}
}

func TestWhatToolsReadDifferentlyIsRefusedWithItsLineButNotItsSecret(t *testing.T) {
	const secret = "wJalrXUtnFEMI"
	for _, tc := range []struct{ name, text, want string }{
		{"defaults for all", "[DEFAULT]\ntrellis_account = 111122223333\n" + reader(), "line 1: section [DEFAULT]: some of AWS's tools"},
		{"a head of a configuration file", "[profile x]\naws_access_key_id = A\naws_secret_access_key = s\n", `section [profile x]: in a credentials file there is no "profile"`},
		{"no head", "aws_access_key_id = A\n", "line 1: aws_access_key_id stands before the first section"},
		{"a head that is not closed", "[reader\naws_access_key_id = A\n", "line 1: a section must begin with its name in brackets"},
		{"text behind a head", "[reader] x\n", "line 1: a section must begin with its name in brackets"},
		{"a key twice", reader("trellis_account = 111122223333", "Trellis_Account = 444455556666"), "section [reader], line 5: trellis_account is given twice"},
		{"a secret twice", reader("aws_secret_access_key = " + secret), "section [reader], line 4: aws_secret_access_key is given twice"},
		{"no delimiter", reader(secret), "section [reader], line 4: the line must be of the form key = value"},
		{"another delimiter", reader("aws_session_token: " + secret + "="), "section [reader], line 4: the line must be of the form key = value"},
		{"a line that goes on", reader("trellis_tags = a=b,", "  c=d"), "section [reader], line 5: the line must not begin with white space"},
		{"an indented key", reader("  trellis_account = 111122223333"), "section [reader], line 4: the line must not begin with white space"},
		{"quotes", reader(`aws_session_token = "` + secret + `"`), "section [reader], line 4: the value of aws_session_token must not have quotes"},
		{"quotes over lines", reader(`aws_session_token = """`+secret, `x"""`), "section [reader], line 5: the line must be of the form key = value"},
		{"a comment behind a value", reader("aws_session_token = " + secret + " # mine"), "section [reader], line 4: the value of aws_session_token must not have a comment behind it"},
		{"a comment behind a tag", reader("trellis_tags = team=blue\t; mine"), "section [reader], line 4: the value of trellis_tags must not have a comment behind it"},
		{"a control character", reader("aws_session_token = " + secret + "\x00"), "section [reader], line 4: the line must be text in UTF-8"},
		{"no text", reader("aws_session_token = " + secret + "\xff"), "section [reader], line 4: the line must be text in UTF-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := openText(t, tc.text, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "credentials") {
				t.Fatalf("opening it says %v, want something with %q", err, tc.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
}

func FuzzCredentialsFile(f *testing.F) {
	f.Add(credentialsFile)
	f.Add("[a]\n[a.b]\nx = y\n  z\n[DEFAULT]\nk = \"v\"\n")
	f.Add("\ufeff[a] # c\nk=\n  v = w\n")
	f.Fuzz(func(t *testing.T, text string) {
		sections, err := parseSections("credentials", text)
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, s := range sections {
			if names[s.name] || strings.ContainsAny(s.name, "[]\n") {
				t.Errorf("section %q", s.name)
			}
			names[s.name] = true
			for key, value := range s.values {
				// What is read must stand in the file, on one line.
				if !strings.Contains(strings.ToLower(text), key) || !strings.Contains(text, value) || strings.Contains(value, "\n") {
					t.Errorf("[%s] %q = %q is not what the file says", s.name, key, value)
				}
			}
		}
	})
}
