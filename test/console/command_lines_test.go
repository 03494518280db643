package console

import (
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/test/trellistest"
)

var shownLine = regexp.MustCompile(`<pre tabindex="0">(aws vpc-lattice [^<]+)</pre>`)

// TestCommandLinesAreThoseOfTheAWSCommandLine runs all lines that pages show with the real AWS CLI in another account, where the
// only errors may be about missing resources. In a third account it runs the lines that need no others, which must succeed.
func TestCommandLinesAreThoseOfTheAWSCommandLine(t *testing.T) {
	trellistest.Install(t, "venv.sh")
	n := newNetwork(t)
	var lines []string
	for _, path := range []string{
		"service-networks", "services", "target-groups", "resources", "service-networks/" + *n.sn, "services/" + *n.service, "target-groups/" + *n.group,
		"resources/" + *n.gateway, "resources/" + *n.configuration, "resources/" + *n.association, "policies/" + *n.sn,
	} {
		found := shownLine.FindAllStringSubmatch(n.read(home+path), -1)
		if len(found) == 0 {
			t.Errorf("%s shows no line", path)
		}
		for _, match := range found {
			lines = append(lines, html.UnescapeString(match[1]))
		}
	}
	// The placeholders are filled in.
	for i, line := range lines {
		for placeholder, value := range map[string]string{
			"NAME": "another", "VPC": "vpc-0123456789abcdef0", "SUBNET": "subnet-0123456789abcdef0", "GATEWAY": *n.gateway, "NETWORK": *n.sn,
		} {
			lines[i] = regexp.MustCompile(`\b`+placeholder+`\b`).ReplaceAllString(lines[i], value)
		}
		if strings.Contains(line, "\n") {
			t.Errorf("the line has line breaks: %q", line)
		}
	}
	n.commandLine(lines, "333333333333", "elsewhere")

	// The lines of one account create the same resources in another one.
	alone := regexp.MustCompile(`create-(service|service-network|target-group|resource-gateway) .*--name (orders|home|orders-v1|entrance) `)
	made := slices.DeleteFunc(lines, func(line string) bool { return !alone.MatchString(line) })
	if len(made) != 4 {
		t.Errorf("there are %d lines that make something, not 4: %q", len(made), made)
	}
	n.commandLine(made, "222222222222")
	if page := n.read("/console/222222222222/us-west-2/services"); !strings.Contains(page, ">orders</a>") {
		t.Errorf("the service has not been made:\n%s", page)
	}
	before := must[*vpclattice.GetTargetGroupOutput](t)(n.client.GetTargetGroup(t.Context(), &vpclattice.GetTargetGroupInput{TargetGroupIdentifier: n.group}))
	if page := n.read("/console/222222222222/us-west-2/target-groups"); !strings.Contains(page, ">"+*before.Name+"</a>") {
		t.Errorf("the target group has not been made:\n%s", page)
	}
}

// commandLine runs lines with an access key.
func (n *network) commandLine(lines []string, accessKeyID string, args ...string) {
	n.t.Helper()
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command(python, append([]string{"command_lines.py"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+accessKeyID, "AWS_SECRET_ACCESS_KEY=any", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE="+os.DevNull, "AWS_PAGER=")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Errorf("the AWS CLI ends with %v:\n%s", err, out)
	}
}
