package resolver

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func address(text string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(text)} }

func TestBlocksAreAddedAndRemovedAndTheRestOfTheFileStays(t *testing.T) {
	for name, before := range map[string]string{
		"empty":               "",
		"usual":               "127.0.0.1 localhost\n::1 localhost # both\n\n",
		"no newline at end":   "127.0.0.1\tlocalhost",
		"Windows":             "127.0.0.1 localhost\r\n# x\r\n",
		"mixed ends":          "127.0.0.1 localhost\r\n# x\n\ty",
		"not UTF-8":           "# \xff\xfe\x00\n1.2.3.4 a.b\n",
		"marks within a line": "# see # BEGIN trellis dns\n #END trellis dns\n",
	} {
		f, err := parseHosts([]byte(before))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !f.set("http://one", []string{"127.0.0.1 orders.localhost"}) || !f.set("http://two", []string{"127.0.0.2 shop.localhost"}) {
			t.Errorf("%s: a new block is no change", name)
		}
		with := f.bytes()
		if !bytes.HasPrefix(with, []byte(before)) {
			t.Errorf("%s: %q has become %q", name, before, with)
		}
		again, err := parseHosts(with)
		if err != nil {
			t.Fatalf("%s: %q: %v", name, with, err)
		}
		if again.set("http://one", []string{"127.0.0.1 orders.localhost"}) {
			t.Errorf("%s: the same block is a change", name)
		}
		if names := again.all(); len(names["orders.localhost"]) != 1 || len(names["shop.localhost"]) != 1 {
			t.Errorf("%s: the names are %v", name, names)
		}
		again.blocks = nil
		if got := strings.TrimSuffix(strings.TrimSuffix(string(again.bytes()), "\n"), "\r"); got != strings.TrimSuffix(strings.TrimSuffix(before, "\n"), "\r") {
			t.Errorf("%s: %q has become %q in the end", name, before, again.bytes())
		}
	}
}

func TestMarksThatDoNotMatchAreAnError(t *testing.T) {
	for _, text := range []string{
		beginMark + "a\n1.2.3.4 b.c\n",
		endMark + "\n",
		beginMark + "a\n" + beginMark + "b\n" + endMark + "\n",
	} {
		if _, err := parseHosts([]byte(text)); err == nil {
			t.Errorf("%q is read, want an error", text)
		}
	}
}

func TestNamesThatCouldDamageTheFileAreLeftOut(t *testing.T) {
	entries := []entry{
		{Name: "b.example.com", Addresses: address("127.0.0.1")},
		{Name: "a.example.com", Addresses: []netip.Addr{netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("127.0.0.1")}},
		{Name: "evil.com\n6.6.6.6 bank.com", Addresses: address("127.0.0.1")},
		{Name: "localhost", Addresses: address("127.0.0.1")},
		{Name: "*.example.com", Addresses: address("127.0.0.1")},
		{Name: "Taken.example.com", Addresses: address("127.0.0.1")},
	}
	lines, left := hostsLines(entries, map[string][]netip.Addr{"taken.example.com": nil})
	if want := []string{"127.0.0.1 a.example.com", "127.0.0.1 b.example.com", "fe80::1 a.example.com"}; !slices.Equal(lines, want) {
		t.Errorf("the lines are %q, want %q", lines, want)
	}
	if len(left) != 4 {
		t.Errorf("the names left out are %v, want four", left)
	}
}

func TestAFileIsReplacedWithItsModeThroughALink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "hosts"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("127.0.0.1 localhost\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o664); err != nil { // More than a usual umask leaves.
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	_, path, err := readHosts(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := replace(path, []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o664 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if text, _ := os.ReadFile(link); string(text) != "new\n" {
		t.Errorf("the file is %q", text)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("files are left behind: %v", entries)
	}
}

func TestAnOverwrittenFileHasOnlyTheNewContents(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte("much longer than the new contents\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := overwrite(file, []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(file); string(text) != "new\n" {
		t.Errorf("the file is %q", text)
	}
}

func FuzzHostsFile(f *testing.F) {
	f.Add([]byte("127.0.0.1 localhost\n" + beginMark + "x\n127.0.0.1 a.b\n" + endMark + "\n"))
	f.Add([]byte("a\r\nb"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseHosts(text)
		if err != nil {
			return
		}
		file.blocks = nil
		clean := file.bytes()
		file.set("node", []string{"127.0.0.1 a.b"})
		again, err := parseHosts(file.bytes())
		if err != nil {
			t.Fatalf("%q cannot be read back: %v", file.bytes(), err)
		}
		again.blocks = nil
		got := again.bytes()
		if !bytes.Equal(bytes.TrimRight(got, "\r\n"), bytes.TrimRight(clean, "\r\n")) {
			t.Fatalf("%q has become %q", clean, got)
		}
	})
}
