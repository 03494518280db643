package console

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"trellis/internal/api"
	"trellis/internal/shape"
)

// maxForm bounds what a form can send.
const maxForm = 64 << 10

// change is what a form does: a call of an operation.
type change struct {
	method, path string
	input        any
}

// changes are all possible changes, by the last part of the form's address.
func changes() map[string]func(form url.Values) (change, error) {
	return map[string]func(url.Values) (change, error){
		"weights": newWeights, "register": registration, "deregister": deregistration, "tag": tagging, "untag": untagging,
	}
}

func (c *Console) handleChanges() {
	for name, make := range changes() {
		c.mux.HandleFunc("POST "+Path+"{account}/{region}/"+name, func(w http.ResponseWriter, r *http.Request) {
			scope, ok := scopeOf(r)
			if !ok {
				http.NotFound(w, r)
				return
			}
			v := c.visit(r, scope)
			refuse := func(status int, err error) {
				c.render(w, status, "refused.html", v, &content{Title: "Nothing was changed", Problem: err.Error(), Data: backOf(r)})
			}
			if err := c.checkForm(w, v); err != nil {
				refuse(http.StatusForbidden, err)
				return
			}
			what, err := make(r.PostForm)
			if err != nil {
				refuse(http.StatusBadRequest, err)
				return
			}
			if status, err := v.call(what); err != nil {
				refuse(status, err)
				return
			}
			http.Redirect(w, r, backOf(r), http.StatusSeeOther)
		})
	}
}

// backOf returns the address of the page that has the form.
func backOf(r *http.Request) string {
	back := r.PostForm.Get("back")
	if u, err := url.Parse(back); err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, Path) {
		return Path
	}
	return back
}

// checkForm reads a form, and returns an error if this console did not make it for this person, or if the person may not
// change things here. Requests of other web pages do not get here (docs/security.md); the token is a second barrier.
func (c *Console) checkForm(w http.ResponseWriter, v *visit) error {
	v.r.Body = http.MaxBytesReader(w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		return fmt.Errorf("the form cannot be read: %w", err)
	}
	if !v.mayChange() {
		return fmt.Errorf("to change something in account %s, sign in with an access key of it; the Region must be one of the node's", v.scope.Account)
	}
	if !c.form.matches(v.r.PostForm.Get("token"), v.person) {
		return fmt.Errorf("the form is of an earlier sign-in or process; load the page again")
	}
	return nil
}

// mayChange reports whether forms are shown and carried out. The operations decide what the person may do.
func (v *visit) mayChange() bool {
	return v.person != nil && v.person.Account == v.scope.Account && (len(v.cfg.Regions) == 0 || slices.Contains(v.cfg.Regions, v.scope.Region))
}

// formKey is a secret of this process, from which the tokens of forms are made.
type formKey [32]byte

func newFormKey() (key formKey) {
	rand.Read(key[:]) // rand.Read does not fail.
	return key
}

// token returns the token in the forms that are made for a person.
func (k formKey) token(p *person) string {
	if p == nil {
		return ""
	}
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(p.session))
	return hex.EncodeToString(mac.Sum(nil))
}

func (k formKey) matches(token string, p *person) bool {
	return p != nil && hmac.Equal([]byte(token), []byte(k.token(p)))
}

// callerKey is the key of the caller in the context of a call.
type callerKey struct{}

// Authenticator finds the caller that the console has put into a request. It implements api.Authenticator.
type Authenticator struct{}

// Authenticate implements api.Authenticator.
func (Authenticator) Authenticate(r *http.Request, _ func() ([]byte, error)) (api.Caller, error) {
	caller, ok := r.Context().Value(callerKey{}).(api.Caller)
	if !ok {
		return caller, &api.AuthenticationError{Code: "MissingAuthenticationTokenException", Message: "Nobody has signed in."}
	}
	return caller, nil
}

// call carries out what a form asks for.
func (v *visit) call(what change) (status int, err error) {
	body, status, err := v.ask(what)
	if err != nil {
		return status, err
	}
	var partly struct{ Unsuccessful []shape.TargetFailure }
	if json.Unmarshal(body, &partly) == nil && len(partly.Unsuccessful) > 0 {
		failure := partly.Unsuccessful[0]
		return http.StatusBadRequest, fmt.Errorf("%s: %s", value(failure.FailureCode), value(failure.FailureMessage))
	}
	return status, nil
}

// ask calls an operation as the API port would for a request that the person has signed, and returns the body of the response.
func (v *visit) ask(what change) (body []byte, status int, err error) {
	in, err := json.Marshal(what.input)
	if err != nil {
		return nil, http.StatusInternalServerError, err
	}
	ctx := context.WithValue(v.r.Context(), callerKey{}, callerOf(v.person.principal, v.scope))
	r, err := http.NewRequestWithContext(ctx, what.method, what.path, bytes.NewReader(in))
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	r.RemoteAddr, r.TLS = v.r.RemoteAddr, v.r.TLS
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	v.cfg.Operations.ServeHTTP(w, r)
	if w.status >= 400 {
		var said struct{ Message string }
		_ = json.Unmarshal(w.body.Bytes(), &said) // The error's code tells more than the message alone.
		return nil, w.status, fmt.Errorf("%s: %s", w.header.Get("X-Amzn-Errortype"), said.Message)
	}
	return w.body.Bytes(), w.status, nil
}

// recorder is a response in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// targetOf reads a target from a form.
func targetOf(form url.Values) (group string, target shape.Target, err error) {
	id := strings.TrimSpace(form.Get("target"))
	target.Id = &id
	if text := form.Get("port"); text != "" {
		port, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return "", target, fmt.Errorf("the port is %q; it must be a number from 1 to 65535", text)
		}
		target.Port = new(int32(port))
	}
	return form.Get("group"), target, nil
}

func registration(form url.Values) (change, error) {
	group, target, err := targetOf(form)
	return change{http.MethodPost, "/targetgroups/" + url.PathEscape(group) + "/registertargets", &shape.RegisterTargetsRequest{Targets: []shape.Target{target}}}, err
}

func deregistration(form url.Values) (change, error) {
	group, target, err := targetOf(form)
	return change{http.MethodPost, "/targetgroups/" + url.PathEscape(group) + "/deregistertargets", &shape.DeregisterTargetsRequest{Targets: []shape.Target{target}}}, err
}

func tagging(form url.Values) (change, error) {
	key := strings.TrimSpace(form.Get("key"))
	if key == "" {
		return change{}, fmt.Errorf("the tag has no key")
	}
	return change{http.MethodPost, "/tags/" + url.PathEscape(form.Get("arn")), &shape.TagResourceRequest{Tags: map[string]string{key: form.Get("value")}}}, nil
}

func untagging(form url.Values) (change, error) {
	return change{http.MethodDelete, "/tags/" + url.PathEscape(form.Get("arn")) + "?tagKeys=" + url.QueryEscape(form.Get("key")), struct{}{}}, nil
}

// newWeights reads the weights of a rule's target groups, in the order of the groups.
func newWeights(form url.Values) (change, error) {
	groups, weights := form["group"], form["weight"]
	if len(groups) == 0 || len(groups) != len(weights) {
		return change{}, fmt.Errorf("the form has %d target groups and %d weights", len(groups), len(weights))
	}
	forward := &shape.ForwardAction{}
	for i, group := range groups {
		weight, err := strconv.ParseInt(weights[i], 10, 32)
		if err != nil {
			return change{}, fmt.Errorf("a weight is %q; it must be a number from 0 to 999", weights[i])
		}
		forward.TargetGroups = append(forward.TargetGroups, shape.WeightedTargetGroup{TargetGroupIdentifier: &group, Weight: new(int32(weight))})
	}
	action := &shape.RuleAction{Forward: forward}
	listener := "/services/" + url.PathEscape(form.Get("service")) + "/listeners/" + url.PathEscape(form.Get("listener"))
	if rule := form.Get("rule"); rule != "" {
		return change{http.MethodPatch, listener + "/rules/" + url.PathEscape(rule), &shape.UpdateRuleRequest{Action: action}}, nil
	}
	return change{http.MethodPatch, listener, &shape.UpdateListenerRequest{DefaultAction: action}}, nil
}
