package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// smallModel has an operation with a member in every place, and a type of every kind.
const smallModel = `{
  "metadata": {"apiVersion": "2022-11-30"},
  "operations": {
    "CreateThing": {
      "name": "CreateThing",
      "http": {"method": "POST", "requestUri": "/owners/{owner}/things", "responseCode": 201},
      "input": {"shape": "CreateThingRequest"}, "output": {"shape": "CreateThingResponse"},
      "errors": [{"shape": "BadThingException"}]
    },
    "ListThings": {
      "name": "ListThings",
      "http": {"method": "GET", "requestUri": "/owners/{owner}/things", "responseCode": 200},
      "input": {"shape": "ListThingsRequest"}, "output": {"shape": "CreateThingResponse"}
    }
  },
  "shapes": {
    "CreateThingRequest": {"type": "structure", "required": ["owner", "name"], "members": {
      "owner": {"shape": "Name", "location": "uri", "locationName": "owner"},
      "name": {"shape": "Name"}, "color": {"shape": "Color"}, "size": {"shape": "Size"}, "tags": {"shape": "Tags"},
      "parts": {"shape": "Parts"}, "alive": {"shape": "Flag"}}},
    "ListThingsRequest": {"type": "structure", "required": ["owner"], "members": {
      "owner": {"shape": "Name", "location": "uri", "locationName": "owner"},
      "limit": {"shape": "Size", "location": "querystring", "locationName": "limit"}}},
    "CreateThingResponse": {"type": "structure", "members": {}},
    "Name": {"type": "string", "min": 1, "max": 10, "pattern": "[a-z]+"},
    "Color": {"type": "string", "enum": ["DARK_RED", "blue"]},
    "Size": {"type": "integer", "min": 1},
    "Flag": {"type": "boolean"},
    "Parts": {"type": "list", "member": {"shape": "Part"}, "max": 3},
    "Part": {"type": "structure", "union": true, "members": {"name": {"shape": "Name"}, "size": {"shape": "Size"}}},
    "Tags": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Name"}},
    "BadThingException": {"type": "structure", "exception": true, "error": {"httpStatusCode": 400},
      "required": ["message"], "members": {"message": {"shape": "Name"}}}
  }
}`

// smallModelWith returns the small model with some of its text replaced.
func smallModelWith(t *testing.T, oldnew ...string) *model {
	t.Helper()
	var m model
	if err := json.Unmarshal([]byte(strings.NewReplacer(oldnew...).Replace(smallModel)), &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

func TestGeneratorIsDeterministic(t *testing.T) {
	root := t.TempDir()
	first, err := generate(smallModelWith(t), root)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		again, err := generate(smallModelWith(t), root)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("written (-first +again):\n%s", diff)
		}
	}
}

func TestGeneratedDecoderChecksWhatTheModelSays(t *testing.T) {
	files, err := generate(smallModelWith(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	decoders := string(files["internal/api/decode_gen.go"])
	for _, want := range []string{
		"patternName = expression(`[a-z]+`)",
		`Owner: decodeName(d.label("owner", 0).required()),`,
		`Limit: decodeSize(d.queryValue("limit")),`,
		`return v.string(1, 10, patternName)`,
		`return enum(v, shape.ColorDarkRed, shape.ColorBlue)`,
		`return v.integer(1, math.MaxInt32)`,
		`return list(v, 0, 3, decodePart)`,
		`return stringMap(v, 0, math.MaxInt, decodeName, decodeName)`,
		`v.exactlyOne("name", "size")`,
	} {
		if !strings.Contains(strings.Join(strings.Fields(decoders), " "), want) {
			t.Errorf("the decoders lack %s", want)
		}
	}
}

func TestPathsDetermineTheAddressedResource(t *testing.T) {
	for uri, want := range map[string]string{
		"/services": "service/*",
		"/services/{serviceIdentifier}/listeners/{listenerIdentifier}":       "service/{}/listener/{}",
		"/services/{serviceIdentifier}/listeners/{listenerIdentifier}/rules": "service/{}/listener/{}/rule/*",
		"/targetgroups/{targetGroupIdentifier}/registertargets":              "targetgroup/{}",
		"/authpolicy/{resourceIdentifier}":                                   "{}",
		"/tags/{resourceArn}":                                                "{}",
		"/servicenetworkvpcendpointassociations":                             "servicenetworkvpcendpointassociation/*",
	} {
		if got := resourceTail(uri); got != want {
			t.Errorf("%s gives %s, want %s", uri, got, want)
		}
	}
}

func TestGeneratorStopsAtUnknownElementsOfTheModel(t *testing.T) {
	tests := []struct {
		name   string
		oldnew []string
		want   string
	}{
		{"look-ahead", []string{`"[a-z]+"`, `"(?!x)[a-z]+"`}, "shape Name: package regexp cannot match its pattern"},
		{"type", []string{`"type": "boolean"`, `"type": "double"`}, `shape Flag has the type "double"`},
		{"type in an input", []string{`"type": "boolean"`, `"type": "timestamp"`}, `type "timestamp" has no decoder`},
		{"list of enums", []string{`"member": {"shape": "Part"}`, `"member": {"shape": "Color"}`}, "does not know lists of Color"},
		{"location", []string{`"location": "querystring"`, `"location": "header"`}, `member limit is in "header"`},
		{"label that is not in the path", []string{`/owners/{owner}/things", "responseCode": 200`, `/things", "responseCode": 200`}, "member owner is in the path"},
		{"same route twice", []string{`"GET"`, `"POST"`}, "operations CreateThing and ListThings have the same method and path"},
		{"word beside a label", []string{`/owners/{owner}/things", "responseCode": 200`, `/owners/all/{owner}", "responseCode": 200`}, `a label and a word are both possible in place of "all"`},
		{"too many labels", []string{`/owners/{owner}/things", "responseCode": 200`, `/{a}/{b}/{c}/{owner}", "responseCode": 200`}, "has 4 labels"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := generate(smallModelWith(t, test.oldnew...), t.TempDir())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestCheckNamesTheFilesThatAreOutOfDate(t *testing.T) {
	root := t.TempDir()
	files := map[string][]byte{"fresh.go": []byte("a"), "stale.go": []byte("b"), "missing.go": []byte("c")}
	for name, content := range map[string]string{"fresh.go": "a", "stale.go": "x"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := compare(files, root)
	if err == nil || !strings.HasSuffix(err.Error(), ": missing.go, stale.go") {
		t.Errorf("error %v, want one that ends with missing.go, stale.go", err)
	}
	if err := compare(map[string][]byte{"fresh.go": []byte("a")}, root); err != nil {
		t.Errorf("of fresh files: %v", err)
	}
}

func TestCoverageListsEveryOperationWithItsErrors(t *testing.T) {
	page := string(smallModelWith(t).writeCoverage())
	for _, want := range []string{
		"All 2 operations of the VPC Lattice API (version 2022-11-30) are implemented.",
		"| CreateThing | POST | `/owners/{owner}/things` | 201 | BadThing 400 |",
		"| ListThings | GET | `/owners/{owner}/things` | 200 |  |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestNewestModelIsRead(t *testing.T) {
	data := t.TempDir()
	if _, err := readModel(data); err == nil || !strings.Contains(err.Error(), "install botocore") {
		t.Errorf("without a model: error %v", err)
	}
	for _, version := range []string{"2022-11-30", "2021-01-01"} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write([]byte(strings.Replace(smallModel, "2022-11-30", version, 1))); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(data, "vpc-lattice", version)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "service-2.json.gz"), packed.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := readModel(data)
	if err != nil || m.Metadata.APIVersion != "2022-11-30" {
		t.Errorf("version %q, error %v; want 2022-11-30", m.Metadata.APIVersion, err)
	}
}
