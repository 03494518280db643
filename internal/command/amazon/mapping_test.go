package amazon

import (
	"maps"
	"strings"
	"testing"
)

func TestMappingsAreReadFromLines(t *testing.T) {
	m := Mapping{}
	err := m.Read(strings.NewReader("# a comment\n\n10.0.1.5:80=127.0.0.1:9001\n10.0.1.6 = 127.0.0.1\n[2001:db8::1]:80=[::1]:9002\n2001:db8::2=::1\ni-0123456789abcdef0:80=localhost:9003\n10.0.1.6=127.0.0.1\n"))
	want := Mapping{"10.0.1.5:80": "127.0.0.1:9001", "10.0.1.6": "127.0.0.1", "[2001:db8::1]:80": "[::1]:9002", "2001:db8::2": "::1", "i-0123456789abcdef0:80": "localhost:9003"}
	if err != nil || !maps.Equal(m, want) {
		t.Errorf("got %v, error %v", m, err)
	}
	for text, problem := range map[string]string{
		"a":                                `line 1: "a" must be a target and where it is instead`,
		"\na=":                             `line 2: "a=" must be`,
		"a:b=c":                            `"a:b=c": the port is "b"`,
		"a=c:65536":                        `the port is "65536"; it must be between 1 and 65535`,
		"10.0.1.6=127.0.0.2":               "10.0.1.6 is mapped to 127.0.0.1 and to 127.0.0.2",
		"[::1=a":                           `missing ']'`,
		"#\n" + strings.Repeat("x", 70000): "token too long",
	} {
		if err := m.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%.20q: error %v, want %q", text, err, problem)
		}
	}
}

func TestTargetsArePlacedWhereTheMappingSays(t *testing.T) {
	m := Mapping{"10.0.0.1:80": "127.0.0.1:9001", "10.0.0.2": "127.0.0.2", "i-1:80": "127.0.0.1:9002", "i-2": "127.0.0.3"}
	target := func(id string, port int) object { return object{"id": id, "port": port, "status": "HEALTHY"} }
	for name, test := range map[string]struct {
		kind    string
		targets []object
		want    string // the members
		becomes string
		hosts   int
	}{
		"addresses":            {"IP", []object{target("10.0.0.1", 80), target("10.0.0.1", 81), target("10.0.0.2", 82)}, "127.0.0.1:9001 10.0.0.1:81 127.0.0.2:82", "IP", 0},
		"one that drains":      {"IP", []object{{"id": "10.0.0.1", "port": 80, "status": "DRAINING"}}, "", "IP", 0},
		"instances":            {"INSTANCE", []object{target("i-1", 80), target("i-2", 80)}, "127.0.0.1:9002 127.0.0.3:80", "IP", 0},
		"some instances":       {"INSTANCE", []object{target("i-1", 80), target("i-3", 80)}, "127.0.0.1:9002 i-3:80", "INSTANCE", 2},
		"an instance unmapped": {"INSTANCE", []object{target("i-1", 81)}, "i-1:81", "INSTANCE", 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := &reader{mapping: m, used: map[string]bool{}}
			group := object{"type": test.kind}
			var got []string
			for _, member := range r.place(group, test.targets) {
				o := member.(object)
				port, _ := o["port"].(int)
				got = append(got, join(o.text("id"), port))
			}
			if strings.Join(got, " ") != test.want || group["type"] != test.becomes || len(r.hosts) != test.hosts {
				t.Errorf("the targets are %v of type %v, %d not told", got, group["type"], len(r.hosts))
			}
		})
	}
}

func TestAccountIsTheOwnerOfWhatCannotBeShared(t *testing.T) {
	arn := func(account, kind string) object {
		return object{"arn": "arn:aws:vpc-lattice:us-west-2:" + account + ":" + kind + "/" + map[string]string{"service": "svc", "targetgroup": "tg"}[kind] + "-0123456789abcdef0"}
	}
	const mine, other = "111122223333", "444455556666"
	for name, test := range map[string]struct {
		found   found
		known   string
		want    string
		problem string
		left    int // services
	}{
		"target groups tell": {found{targetGroups: []object{arn(mine, "targetgroup")}, services: []object{arn(other, "service"), arn(mine, "service")}}, "", mine, "", 1},
		"nothing else":       {found{services: []object{arn(mine, "service")}}, "", mine, "", 1},
		"credentials tell":   {found{services: []object{arn(mine, "service"), arn(other, "service")}}, other, other, "", 1},
		"nobody tells":       {found{services: []object{arn(mine, "service"), arn(other, "service")}}, "", "", "AWS_ACCOUNT_ID", 2},
		"there is nothing":   {found{}, "", "", "nothing in VPC Lattice", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &reader{account: test.known, region: "us-west-2"}
			err := r.own(&test.found)
			if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("error %v, want %q", err, test.problem)
			}
			if r.account != test.want || len(test.found.services) != test.left {
				t.Errorf("the account is %q, and %d services are left", r.account, len(test.found.services))
			}
		})
	}
}
