// Package simulator asks policies about requests from files: it reads requests and cases, and reports whether they would be
// allowed, and why. The commands below `trellis policy` consist of it.
package simulator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/internal/policy"
)

// request is a request in a file. Optional members have defaults (docs/policies.md).
type request struct {
	// Principal, Method and Path are lists if the question is which of several would be allowed.
	Principal oneOrMany `json:"principal"`
	Method    oneOrMany `json:"method"`
	Path      oneOrMany `json:"path"`

	Role          string            `json:"role"`
	UserID        string            `json:"userId"`
	OrgID         string            `json:"orgId"`
	OrgPaths      oneOrMany         `json:"orgPaths"`
	PrincipalTags map[string]string `json:"principalTags"`
	TokenIssued   string            `json:"tokenIssued"`

	Action                string               `json:"action"`
	Service               string               `json:"service"`
	ServiceNetwork        string               `json:"serviceNetwork"`
	ServiceTags           map[string]string    `json:"serviceTags"`
	Headers               map[string]oneOrMany `json:"headers"`
	Port                  int                  `json:"port"`
	Secure                *bool                `json:"secure"`
	SourceIP              string               `json:"sourceIp"`
	SourceVpc             string               `json:"sourceVpc"`
	SourceVpcOwnerAccount string               `json:"sourceVpcOwnerAccount"`
	Time                  string               `json:"time"`
}

// oneOrMany is a text or a list of texts.
type oneOrMany []string

// UnmarshalJSON implements json.Unmarshaler.
func (m *oneOrMany) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*m = oneOrMany{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil {
		return errors.New("it must be a text or a list of texts")
	}
	*m = many
	return nil
}

// The defaults of a request.
const (
	defaultService        = "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0"
	defaultServiceNetwork = "arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-0123456789abcdef0"
	defaultPort           = 443
	anonymous             = "anonymous"
)

// parseRequest reads a request.
func parseRequest(raw []byte) (request, error) {
	r := request{Service: defaultService, ServiceNetwork: defaultServiceNetwork, Port: defaultPort, Action: "Invoke"}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return r, fmt.Errorf("the request: %w", err)
	}
	r.Action = strings.TrimPrefix(r.Action, "vpc-lattice-svcs:")
	switch r.Action {
	case "Invoke":
	case "Connect":
		// A connection that is passed through has only anonymous callers (UG tls-listeners), and nothing of HTTP is seen.
		if len(r.Method)+len(r.Path)+len(r.Headers) > 0 {
			return r, errors.New("the request: a connection (Connect) has no method, path or headers")
		}
	default:
		return r, fmt.Errorf("the request: action is %q; it must be Invoke or Connect", r.Action)
	}
	for _, path := range r.Path {
		if !strings.HasPrefix(path, "/") {
			return r, fmt.Errorf("the request: path is %q; it must begin with /", path)
		}
	}
	for _, principal := range r.Principal {
		if principal != anonymous && len(strings.SplitN(principal, ":", 6)) != 6 {
			return r, fmt.Errorf("the request: principal is %q; it must be an ARN or %s", principal, anonymous)
		}
	}
	if _, err := netip.ParseAddr(r.SourceIP); err != nil && r.SourceIP != "" {
		return r, fmt.Errorf("the request: sourceIp is %q; it must be an address", r.SourceIP)
	}
	for name, text := range map[string]string{"time": r.Time, "tokenIssued": r.TokenIssued} {
		if _, err := time.Parse(time.RFC3339, text); err != nil && text != "" {
			return r, fmt.Errorf("the request: %s is %q; it must be like 2026-01-02T15:04:05Z", name, text)
		}
	}
	return r, nil
}

// question returns what policies are asked about one of the requests.
func (r *request) question(principal, method, path string) *policy.Request {
	now := time.Now()
	if r.Time != "" {
		now, _ = time.Parse(time.RFC3339, r.Time) // parseRequest has checked it.
	}
	path, query, _ := strings.Cut(path, "?")
	traffic := &policy.Traffic{
		Method: method, Path: path, Query: query, Headers: headers(r.Headers), Port: strconv.Itoa(r.Port),
		ServiceARN: r.Service, NetworkARN: r.ServiceNetwork, Tags: r.ServiceTags, Region: arnPart(r.Service, 3),
		SourceVpc: r.SourceVpc, SourceVpcOwner: r.SourceVpcOwnerAccount, Secure: r.Port == defaultPort,
	}
	traffic.Source, _ = netip.ParseAddr(r.SourceIP) // parseRequest has checked it. Without an address, the source is not known.
	if r.Secure != nil {
		traffic.Secure = *r.Secure
	}
	question := &policy.Request{
		Action: "vpc-lattice-svcs:" + r.Action, Resource: r.Service, Path: path, Now: now, Values: traffic,
	}
	if principal != anonymous && principal != "" {
		role := r.Role
		if name, found := strings.CutPrefix(arnPart(principal, 5), "role/"); found {
			// A role does not sign; its sessions do.
			role = principal
			principal = "arn:aws:sts::" + arnPart(principal, 4) + ":assumed-role/" + name[strings.LastIndexByte(name, '/')+1:] + "/session"
		}
		question.Caller = policy.Caller{
			ARN: principal, Account: arnPart(principal, 4), RoleARN: role, UserID: r.UserID, TokenIssued: r.TokenIssued,
			OrgID: r.OrgID, OrgPaths: r.OrgPaths, Tags: r.PrincipalTags,
		}
	}
	return question
}

// arnPart returns a part of an ARN, by its index.
func arnPart(arn string, index int) string {
	if parts := strings.SplitN(arn, ":", 6); index < len(parts) {
		return parts[index]
	}
	return ""
}

// headers are header lines by name.
type headers map[string]oneOrMany

// Header implements policy.Headers.
func (h headers) Header(name string, from int) ([]byte, int) {
	var values []string
	for _, n := range sortedNames(h) {
		if strings.EqualFold(n, name) {
			values = append(values, h[n]...)
		}
	}
	if from >= len(values) {
		return nil, -1
	}
	return []byte(values[from]), from + 1
}

func sortedNames(h headers) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(a, b) })
	return names
}
