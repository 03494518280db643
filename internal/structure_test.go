package internal_test

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// importRule says what some packages must not import. Packages are folders of the project, import paths of other
// modules, or either with /... for all below.
type importRule struct {
	packages []string
	except   []string
	forbid   []string // unless allowed
	allow    []string
	because  string
}

var everything = []string{"cmd/...", "internal/...", "bench/...", "test/..."}

var importRules = []importRule{
	{
		packages: []string{"internal/api"},
		forbid:   []string{"internal/control", "internal/catalog"},
		because:  "the wire must not know what an operation does or where records are kept",
	},
	{
		packages: []string{"internal/control"},
		forbid:   []string{"go.etcd.io/etcd/...", "net/http"},
		because:  "operations speak to the catalog in records and are called with typed input: neither the store nor the wire is theirs",
	},
	{
		packages: []string{"internal/audit", "internal/chaos"},
		forbid:   []string{"internal/..."},
		allow:    []string{"internal/shape"},
		because:  "the handler calls them, and they call nobody: what they record or delay is passed to them",
	},
	{
		packages: []string{"internal/authorization"},
		forbid:   []string{"internal/control", "internal/catalog", "net/http"},
		because:  "it judges a call by its input and the caller's policies, however it came and wherever resources are kept",
	},
	{
		packages: []string{"internal/tagging", "internal/misdirected"},
		forbid:   []string{"internal/control", "go.etcd.io/etcd/..."},
		because:  "they stand beside the API on its port: they know how clients are answered and what is stored, not what operations do",
	},
	{
		packages: []string{"internal/catalog"},
		forbid:   []string{"internal/api", "internal/control", "net/http"},
		because:  "the catalog keeps records, whoever asks for them; it must not know the API",
	},
	{
		packages: []string{"internal/routing"},
		forbid:   []string{"internal/health", "internal/proxy/..."},
		because:  "data flows from routing to health and the proxy; a back reference would make the order of their changes hard to follow",
	},
	{
		packages: []string{"internal/routing"},
		forbid:   []string{"net/http"},
		because:  "routing decides on a small view of a request, so that HTTP/1.1, HTTP/2 and explanations share it",
	},
	{
		packages: []string{"internal/health"},
		forbid:   []string{"internal/proxy/..."},
		allow:    []string{"internal/proxy/wire/...", "internal/proxy/socket"},
		because:  "probes must not depend on how traffic is carried, only call sockets and read bytes as traffic does: a target must not pass with answers that no request can use",
	},
	{
		packages: []string{"internal/accesslog"},
		forbid:   []string{"internal/..."},
		allow:    []string{"internal/lattice", "internal/routing"},
		because:  "sinks must be able to read what an exchange was without knowing how it was carried",
	},
	{
		packages: []string{"internal/proxy/..."},
		forbid:   []string{"net/http/httputil"},
		because:  "httputil.ReverseProxy hangs on early trailers (golang/go#80085)",
	},
	{
		packages: []string{"internal/principal"},
		forbid:   []string{"internal/...", "net/http"},
		allow:    []string{"internal/lattice", "internal/policy"},
		because:  "both planes ask who there is, and each finds out in its own way who sends a request",
	},
	{
		packages: []string{"internal/caller"},
		forbid:   []string{"internal/...", "net/http"},
		allow:    []string{"internal/excerpt", "internal/principal", "internal/sigv4"},
		because:  "who calls is told by the request alone, whatever carries it, and before anybody asks what the caller may do",
	},
	{
		packages: []string{"internal/sigv4"},
		forbid:   []string{"internal/...", "net/http"},
		allow:    []string{"internal/excerpt"},
		because:  "signatures are computed over a small view of a request, whatever serves it, and whoever's keys they are",
	},
	{
		packages: []string{"internal/ratelimit"},
		forbid:   []string{"internal/..."},
		because:  "it counts, whatever is counted",
	},
	{
		packages: []string{"internal/excerpt", "internal/uuid"},
		forbid:   []string{"internal/..."},
		because:  "everybody uses them",
	},
	{
		packages: []string{"internal/shape"},
		forbid:   []string{"internal/..."},
		because:  "generated structures are the lowest layer",
	},
	{
		packages: []string{"internal/lattice"},
		forbid:   []string{"internal/...", "net/http", "os"},
		allow:    []string{"internal/shape"},
		because:  "the nouns know the API's structures and nothing else, and do no I/O",
	},
	{
		packages: []string{"internal/policy"},
		forbid:   []string{"internal/...", "net/http", "os"},
		allow:    []string{"internal/nearest"},
		because:  "both planes and the command line ask policies, through a small view of a request: it may know none of them",
	},
	{
		packages: []string{"internal/inventory"},
		forbid:   []string{"internal/..."},
		allow:    []string{"internal/lattice", "internal/shape"},
		because:  "both planes look things up in the inventory, so it may know neither",
	},
	{
		packages: everything,
		except:   []string{"cmd/trellis"},
		forbid:   []string{"internal/server"},
		because:  "the composition root knows everybody, so nobody may know it",
	},
	{
		packages: everything,
		forbid:   []string{"cmd/..."},
		because:  "commands are not libraries; building must not need the generator",
	},
	{
		packages: everything,
		except:   []string{"internal/server", "cmd/trellis"},
		forbid:   []string{"internal/configuration"},
		because:  "each package is handed its own part of the configuration as a Config",
	},
	{
		packages: everything,
		except:   []string{"internal/configuration"},
		forbid:   []string{"github.com/alecthomas/kong"},
		because:  "flags, environment and configuration file are read in one place",
	},
}

// proxyOrder is the path of a request. A package may import those that stand before its line, and none of its own line: so
// nothing that is there for one protocol is needed by another.
var proxyOrder = [][]string{
	{"internal/proxy/socket", "internal/proxy/buffer", "internal/proxy/steering"},                 // system calls, memory
	{"internal/proxy/wire/http1", "internal/proxy/wire/http2", "internal/proxy/wire/clienthello"}, // bytes and frames
	{"internal/proxy/upstream"},   // the way to targets
	{"internal/proxy/exchange"},   // what is decided about a request
	{"internal/proxy/downstream"}, // a client's connection, whatever it speaks
	{"internal/proxy/downstream/http1", "internal/proxy/downstream/http2", "internal/proxy/downstream/passthrough"},
	{"internal/proxy"}, // accepts, tells protocols apart, watches time
}

func TestPackagesOfTheProxyStandInTheOrderOfARequest(t *testing.T) {
	tree := readSourceTree(t)
	line := map[string]int{}
	for i, packages := range proxyOrder {
		for _, folder := range packages {
			line[folder] = i
			if tree.packages[folder] == nil {
				t.Errorf("the order names %s, and there is no such package", folder)
			}
		}
	}
	for folder, p := range tree.packages {
		if !matches("internal/proxy/...", folder) {
			continue
		}
		if _, ok := line[folder]; !ok {
			t.Errorf("%s has no place in the order", folder)
			continue
		}
		for _, imported := range p.imports() {
			if at, ok := line[imported]; ok && at >= line[folder] {
				t.Errorf("%s imports %s, which does not stand before it on the path of a request", folder, imported)
			}
		}
	}
}

// matches reports whether a package or import path is meant by a pattern of importRule.
func matches(pattern, name string) bool {
	below, isTree := strings.CutSuffix(pattern, "/...")
	return name == below || isTree && strings.HasPrefix(name, below+"/")
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, name) })
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	tree := readSourceTree(t)
	for _, rule := range importRules {
		for _, folder := range slices.Sorted(maps.Keys(tree.packages)) {
			if !matchesAny(rule.packages, folder) || matchesAny(rule.except, folder) {
				continue
			}
			for _, imported := range tree.packages[folder].imports() {
				if imported != folder && matchesAny(rule.forbid, imported) && !matchesAny(rule.allow, imported) {
					t.Errorf("%s imports %s, but %s", folder, imported, rule.because)
				}
			}
		}
	}
}

// A rule about a package that was renamed or removed would always hold, and protect nothing.
func TestImportRulesNameOnlyWhatExists(t *testing.T) {
	tree := readSourceTree(t)
	known := map[string]bool{}
	for folder, p := range tree.packages {
		known[folder] = true
		for _, imported := range p.imports() {
			known[imported] = true
		}
	}
	for _, file := range tree.files {
		if file.isTest() { // bench and test may hold nothing but tests.
			known[path.Dir(file.path)] = true
		}
	}
	// Banned before anybody used it.
	known["net/http/httputil"] = true

	for _, rule := range importRules {
		for _, pattern := range slices.Concat(rule.packages, rule.except, rule.forbid, rule.allow) {
			exists := false
			for name := range known {
				exists = exists || matches(pattern, name)
			}
			if !exists {
				t.Errorf("a rule names %s, and there is no such package (the rule's reason: %s)", pattern, rule.because)
			}
		}
	}
}

func TestEveryPackageSaysOnceAndBrieflyWhatItIs(t *testing.T) {
	for folder, p := range readSourceTree(t).packages {
		var docs []string
		for _, f := range p.files {
			if f.ast.Doc == nil {
				continue
			}
			docs = append(docs, f.path)
			if lines := strings.Count(strings.TrimSpace(f.ast.Doc.Text()), "\n") + 1; lines > 15 {
				t.Errorf("%s: the package comment has %d lines, more than 15", f.path, lines)
			}
		}
		if len(docs) != 1 {
			t.Errorf("%s: %d package comments, not one: %v", folder, len(docs), docs)
		}
	}
}

func TestNoFileIsTooLongToRead(t *testing.T) {
	commandLines := 0
	for _, f := range readSourceTree(t).files {
		if f.ast == nil || f.isGenerated() {
			continue
		}
		if f.lines() > 800 {
			t.Errorf("%s has %d lines, more than 800", f.path, f.lines())
		}
		if matches("cmd/trellis/...", path.Dir(f.path)) && !f.isTest() {
			commandLines += f.lines()
		}
	}
	if commandLines >= 150 {
		t.Errorf("cmd/trellis has %d lines; it must stay below 150, as behaviour belongs to internal", commandLines)
	}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	for _, f := range readSourceTree(t).files {
		if f.ast == nil {
			continue
		}
		for _, decl := range f.ast.Decls {
			if function, ok := decl.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
				t.Errorf("%s has an init function: what it does cannot be seen where the program is wired", f.path)
			}
		}
	}
}

func TestProductCodeDoesNotImportTesting(t *testing.T) {
	for folder, p := range readSourceTree(t).packages {
		if !strings.HasSuffix(p.name, "test") && slices.Contains(p.imports(), "testing") {
			t.Errorf("%s imports testing; what tests share belongs to a package whose name ends in test", folder)
		}
	}
}

func TestFilesAndPackagesAreNamedAfterTheirContents(t *testing.T) {
	vague := regexp.MustCompile(`^(common|helpers?|managers?|misc|types|utils?)(_test)?(\.go)?$`)
	for _, f := range readSourceTree(t).files {
		for _, part := range strings.Split(f.path, "/") {
			if f.ast != nil && vague.MatchString(part) {
				t.Errorf("%s: %q does not say what is in it", f.path, part)
			}
		}
	}
}

func TestUnfinishedWorkIsNotLeftInComments(t *testing.T) {
	unfinished := regexp.MustCompile(`\b(` + "TO" + "DO|FIX" + `ME)\b`)
	for _, f := range readSourceTree(t).files {
		for number, line := range strings.Split(f.text, "\n") {
			if unfinished.MatchString(line) {
				t.Errorf("%s:%d: finish it, or say in the documents what is not done: %s", f.path, number+1, strings.TrimSpace(line))
			}
		}
	}
}

// Every dependency is a decision, and docs/dependencies.md is where its reason stands.
func TestEveryDependencyHasItsReason(t *testing.T) {
	goMod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for _, required := range regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllStringSubmatch(string(goMod), -1) {
		modules = append(modules, required[1])
	}
	used := map[string]bool{}
	note := func(imported string) {
		longest := ""
		for _, module := range modules {
			if matches(module+"/...", imported) && len(module) > len(longest) {
				longest = module
			}
		}
		if longest != "" {
			used[longest] = true
		}
	}
	for _, tool := range regexp.MustCompile(`(?m)^(?:tool |\t)(\S+)$`).FindAllStringSubmatch(string(goMod), -1) {
		note(tool[1])
	}
	for _, f := range readSourceTree(t).files {
		if f.ast != nil {
			for _, imported := range f.imports() {
				note(imported)
			}
		}
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = true
	}
	for _, module := range modules {
		switch {
		case used[module] && !documented[module]:
			t.Errorf("%s is used, and docs/dependencies.md does not say why", module)
		case !used[module] && documented[module]:
			t.Errorf("docs/dependencies.md gives a reason for %s, which nothing uses", module)
		}
	}
}

var (
	assumptionNumber    = regexp.MustCompile(`\bA-\d{3}\b`)
	assumptionParagraph = regexp.MustCompile(`^\*\*(A-\d{3})\*\* `)
	assumptionPlace     = regexp.MustCompile(`\(([^()]*)\)\.?$`)
)

// usedAssumptions returns the files in which each assumption's number occurs.
func usedAssumptions(tree *sourceTree) map[string][]string {
	used := map[string][]string{}
	for _, f := range tree.files {
		for _, number := range assumptionNumber.FindAllString(f.text, -1) {
			if !slices.Contains(used[number], f.path) {
				used[number] = append(used[number], f.path)
			}
		}
	}
	return used
}

func TestAssumptionsAndCodeReferToEachOther(t *testing.T) {
	used := usedAssumptions(readSourceTree(t))
	page, err := os.ReadFile("../docs/assumptions.md")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []string
	for paragraph := range strings.SplitSeq(string(page), "\n\n") {
		paragraph = strings.TrimSpace(paragraph)
		if match := assumptionParagraph.FindStringSubmatch(paragraph); match != nil {
			recorded = append(recorded, match[1])
			if err := checkAssumption(paragraph, used[match[1]]); err != nil {
				t.Errorf("docs/assumptions.md: %s: %v", match[1], err)
			}
		}
	}
	if !slices.IsSorted(recorded) || len(slices.Compact(slices.Clone(recorded))) != len(recorded) {
		t.Errorf("docs/assumptions.md: the numbers are not in order, or one stands there twice: %v", recorded)
	}
	for _, number := range slices.Sorted(maps.Keys(used)) {
		if !slices.Contains(recorded, number) {
			t.Errorf("%s is used in %v but not recorded in docs/assumptions.md", number, used[number])
		}
	}
}

// checkAssumption says what is wrong with an assumption's paragraph, given the files that use its number.
func checkAssumption(paragraph string, usedIn []string) error {
	if len(usedIn) == 0 {
		return fmt.Errorf("no code refers to it")
	}
	if strings.Count(paragraph, "**A-") > 1 {
		return fmt.Errorf("two numbers stand in one paragraph; put an empty line between them")
	}
	place := assumptionPlace.FindStringSubmatch(paragraph)
	if place == nil {
		return fmt.Errorf("the paragraph does not end with the place in the code, in brackets")
	}
	for _, named := range strings.FieldsFunc(place[1], func(r rune) bool { return strings.ContainsRune(" ,;`", r) }) {
		if !slices.ContainsFunc(usedIn, func(file string) bool { return matches(strings.TrimSuffix(named, "/")+"/...", file) }) {
			return fmt.Errorf("its place is given as %q, but the number occurs in %v", named, usedIn)
		}
	}
	return nil
}
