package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed pages static
var embedded embed.FS

// assets are the files of the console.
type assets struct {
	// pages are the templates, each joined with the layout, by their files' names.
	pages map[string]*template.Template
	// static are the files that browsers load. version is a digest of them, which changes their addresses when one of them
	// changes.
	static  map[string][]byte
	version string
}

// loadAssets reads and parses the embedded files.
func loadAssets() (assets, error) {
	a := assets{pages: map[string]*template.Template{}, static: map[string][]byte{}}
	digest := sha256.New()
	files, err := fs.ReadDir(embedded, "static")
	if err != nil {
		return a, err
	}
	for _, file := range files {
		text, err := embedded.ReadFile("static/" + file.Name())
		if err != nil {
			return a, err
		}
		a.static[file.Name()] = text
		digest.Write(text)
	}
	a.version = hex.EncodeToString(digest.Sum(nil)[:6])
	base, err := template.New("layout.html").Funcs(functions()).ParseFS(embedded, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return a, err
	}
	pages, err := fs.Glob(embedded, "pages/*.html")
	if err != nil {
		return a, err
	}
	for _, file := range pages {
		name := path.Base(file)
		if name == "layout.html" || name == "parts.html" {
			continue
		}
		joined, err := base.Clone()
		if err != nil {
			return a, err
		}
		if a.pages[name], err = joined.ParseFS(embedded, file); err != nil {
			return a, err
		}
	}
	return a, nil
}

// serve responds with a static file. Its address has the digest, so browsers may keep it.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	text, ok := a.static[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, r.PathValue("file"), time.Time{}, bytes.NewReader(text))
}

// layout is what every page has.
type layout struct {
	*content
	Version string // the version of the static files
	Node    string
	Mode    string
	Menu    []menuEntry
	Scope   string
	Scopes  []menuEntry
	Person  *person
	// MayChange says that forms are shown, and Token is what they carry.
	MayChange bool
	Token     string
	// Back is the address of the page itself.
	Back string
	// SignIn is the address of the form, or "" if signing in is not needed.
	SignIn string
	Root   string
}

type menuEntry struct {
	Name, Link string
	Current    bool
}

// render responds with a page. It writes the page to memory first, so that an error shows before the response begins, and a client
// that reads slowly holds nothing.
func (c *Console) render(w http.ResponseWriter, status int, file string, v *visit, shown *content) {
	l := layout{
		content: shown, Version: c.files.version, Node: c.cfg.Version, Mode: "serve", Root: pathOf(v.scope), Scope: v.scope.Account + " · " + v.scope.Region,
		Person: v.person, MayChange: v.mayChange(), Token: c.form.token(v.person), Back: v.r.URL.RequestURI(),
	}
	if c.cfg.Dev {
		l.Mode = "dev"
	} else if v.person == nil {
		l.SignIn = Path + "sign-in"
	}
	for _, p := range pages() {
		if p.menu != "" {
			path := strings.TrimSuffix(p.path, "{$}")
			at := strings.TrimPrefix(v.r.URL.Path, l.Root)
			l.Menu = append(l.Menu, menuEntry{p.menu, l.Root + path, at == path || path != "" && strings.HasPrefix(at, path+"/")})
		}
	}
	for _, scope := range c.scopes() {
		l.Scopes = append(l.Scopes, menuEntry{scope.Account + " · " + scope.Region, pathOf(scope), scope == v.scope})
	}
	var page bytes.Buffer
	if err := c.files.pages[file].Execute(&page, &l); err != nil {
		http.Error(w, fmt.Sprintf("making the page: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // An error means that the client is gone.
}

// IsList reports whether a list is the whole page: its name is the page's title.
func (l *layout) IsList(id string) bool { return id == "list" }
