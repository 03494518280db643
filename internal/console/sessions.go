package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"trellis/internal/principal"
)

// The bounds of sessions. Beyond maxSessions, the one that has been idle the longest ends.
const (
	maxSessions  = 64
	sessionIdle  = 30 * time.Minute
	sessionLife  = 8 * time.Hour
	sessionBytes = 32
	maxKey       = 4096 // the longest field of the form: a session token
)

// Keys are the keys that somebody signs in with.
type Keys struct{ AccessKeyID, Secret, SessionToken string }

// person is somebody who may change things.
type person struct {
	Name    string
	ARN     string
	Account string
	// CanLeave: there is a session to end.
	CanLeave  bool
	session   string
	principal *principal.Principal
}

// Session notes that somebody has proved to have an access key. It holds no secret of the key: Proof shows whether the key still has
// the secret that was proved. At an upgrade, the new process gets it from the old one.
type Session struct {
	// Cookie is the value of the cookie.
	Cookie      string    `json:"cookie"`
	AccessKeyID string    `json:"accessKeyId"`
	Salt        [32]byte  `json:"salt"`
	Proof       []byte    `json:"proof"`
	Begun       time.Time `json:"begun"`
	Active      time.Time `json:"active"`
}

// sessions are all of them, by the value of the cookie.
type sessions struct {
	mu  sync.Mutex // mu guards the field below.
	all map[string]*Session
}

func byCookie(sessions []Session) map[string]*Session {
	all := map[string]*Session{}
	for _, one := range sessions {
		all[one.Cookie] = &one
	}
	return all
}

// Sessions returns all sessions, for the process that takes over.
func (c *Console) Sessions() []Session {
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	var all []Session
	for _, one := range c.sessions.all {
		all = append(all, *one)
	}
	return all
}

// proofOf returns a digest of a principal's secrets.
func (s *Session) proofOf(p *principal.Principal) []byte {
	mac := hmac.New(sha256.New, s.Salt[:])
	mac.Write([]byte(p.SecretKey + "\x00" + p.SessionToken))
	return mac.Sum(nil)
}

// begin begins a session of a principal and returns the value of its cookie.
func (s *sessions) begin(p *principal.Principal, now time.Time) string {
	one := &Session{Cookie: rand.Text() + rand.Text(), AccessKeyID: p.AccessKeyID, Begun: now, Active: now}
	rand.Read(one.Salt[:]) // It does not fail.
	one.Proof = one.proofOf(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.all) >= maxSessions {
		oldest := ""
		for name, other := range s.all {
			if oldest == "" || other.Active.Before(s.all[oldest].Active) {
				oldest = name
			}
		}
		delete(s.all, oldest)
	}
	s.all[one.Cookie] = one
	return one.Cookie
}

// principal returns the principal of a cookie's session, if it has not ended.
func (s *sessions) principal(name string, now time.Time, known func(accessKeyID string) (*principal.Principal, bool)) *principal.Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.all[name]
	if !ok {
		return nil
	}
	p, ok := known(one.AccessKeyID)
	if !ok || now.Sub(one.Active) > sessionIdle || now.Sub(one.Begun) > sessionLife || !p.Expires.IsZero() && now.After(p.Expires) ||
		!hmac.Equal(one.Proof, one.proofOf(p)) {
		delete(s.all, name)
		return nil
	}
	one.Active = now
	return p
}

func (s *sessions) finish(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, name)
}

// cookie is the name of the cookie. Cookies are the same for all ports of a host (RFC 6265 8.5), so it has the port.
func (c *Console) cookie() string { return "trellis-console-" + c.cfg.Port }

// personOf returns who sends a request, or nil for somebody who may only read.
func (c *Console) personOf(v *visit) *person {
	if c.cfg.Dev {
		p := c.cfg.Anybody(v.scope.Account)
		return &person{Name: "anybody", ARN: p.ARN, Account: p.Account, principal: p}
	}
	cookie, err := v.r.Cookie(c.cookie())
	if err != nil {
		return nil
	}
	p := c.sessions.principal(cookie.Value, time.Now(), c.cfg.Principal)
	if p == nil {
		return nil
	}
	return &person{Name: p.Name, ARN: p.ARN, Account: p.Account, CanLeave: true, session: cookie.Value, principal: p}
}

// handleSessions adds the pages to sign in and out.
func (c *Console) handleSessions() {
	if c.cfg.Dev {
		return
	}
	page := func(w http.ResponseWriter, status int, r *http.Request, problem string) {
		c.render(w, status, "sign_in.html", c.visit(r, c.cfg.Home), &content{Title: "Sign in", Problem: problem, Data: backOfSignIn(r)})
	}
	c.mux.HandleFunc("GET "+Path+"sign-in", func(w http.ResponseWriter, r *http.Request) { page(w, http.StatusOK, r, "") })
	c.mux.HandleFunc("POST "+Path+"sign-in", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			page(w, http.StatusBadRequest, r, "The form cannot be read.")
			return
		}
		keys := Keys{r.PostForm.Get("access-key-id"), r.PostForm.Get("secret-access-key"), r.PostForm.Get("session-token")}
		if len(keys.AccessKeyID) > maxKey || len(keys.Secret) > maxKey || len(keys.SessionToken) > maxKey {
			page(w, http.StatusBadRequest, r, "That is too long for a key.")
			return
		}
		if err := c.cfg.CheckKeys(r, keys); err != nil {
			page(w, http.StatusForbidden, r, err.Error())
			return
		}
		p, ok := c.cfg.Principal(keys.AccessKeyID)
		if !ok { // The key was known a moment ago.
			page(w, http.StatusForbidden, r, "The access key is no longer known.")
			return
		}
		http.SetCookie(w, &http.Cookie{
			Name: c.cookie(), Value: c.sessions.begin(p, time.Now()), Path: Path, HttpOnly: true, SameSite: http.SameSiteStrictMode,
			MaxAge: int(sessionLife.Seconds()), Secure: r.TLS != nil,
		})
		http.Redirect(w, r, backOf(r), http.StatusSeeOther)
	})
	c.mux.HandleFunc("POST "+Path+"sign-out", func(w http.ResponseWriter, r *http.Request) {
		v := c.visit(r, c.cfg.Home)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if r.ParseForm() == nil && c.form.matches(r.PostForm.Get("token"), v.person) {
			c.sessions.finish(v.person.session)
			http.SetCookie(w, &http.Cookie{Name: c.cookie(), Path: Path, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
		}
		http.Redirect(w, r, Path, http.StatusSeeOther)
	})
}

// backOfSignIn returns the address of the page from which somebody signs in.
func backOfSignIn(r *http.Request) string {
	if r.PostForm != nil {
		return backOf(r)
	}
	r.PostForm = map[string][]string{"back": {r.URL.Query().Get("back")}}
	return backOf(r)
}
