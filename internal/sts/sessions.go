package sts

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/internal/api"
	"trellis/internal/audit"
	"trellis/internal/catalog"
	"trellis/internal/excerpt"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/principal"
)

// The bounds of a session's life (STS API reference). Every role may be assumed for the longest time that AWS can allow.
const (
	minDuration          = 15 * time.Minute
	maxRoleDuration      = 12 * time.Hour
	maxChainedDuration   = time.Hour
	defaultRoleDuration  = time.Hour
	defaultTokenDuration = 12 * time.Hour
)

// maxSessions bounds the sessions of an account that have not expired.
const maxSessions = 10000

// assumeRole returns credentials of a role to a caller that the role trusts.
func (h *handler) assumeRole(ctx context.Context, caller api.Caller, parameters url.Values) (any, error) {
	if err := refuseUnsupported(parameters, "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "Tags"); err != nil {
		return nil, err
	}
	arn, name := parameters.Get("RoleArn"), parameters.Get("RoleSessionName")
	if !regexp.MustCompile(`^[\w+=,.@-]{2,64}$`).MatchString(name) {
		return nil, invalid("roleSessionName", name, `[\w+=,.@-]{2,64}`)
	}
	tags, err := sessionTags(parameters)
	if err != nil {
		return nil, err
	}
	longest := maxRoleDuration
	from, isSession := h.cfg.Principals.Principal(caller.AccessKeyID)
	if isSession && from.RoleARN != "" {
		longest = maxChainedDuration // The role is assumed with the credentials of a role.
	}
	duration, err := durationOf(parameters, defaultRoleDuration, longest)
	if err != nil {
		return nil, err
	}
	role, ok := h.cfg.Principals.Role(arn)
	request := roleRequest{caller: caller, from: from, arn: arn, sessionName: name, externalID: parameters.Get("ExternalId"), tags: tags, duration: duration}
	if !ok { // A caller that may not assume a role must not learn whether it exists.
		return nil, request.denied("sts:AssumeRole")
	}
	if err := h.authorize(request, role); err != nil {
		return nil, err
	}
	session := newSession(role.Account, duration)
	roleName := arn[strings.LastIndexByte(arn, '/')+1:]
	session.ARN = "arn:aws:sts::" + role.Account + ":assumed-role/" + roleName + "/" + name
	session.RoleARN, session.Tags = arn, tags
	if err := h.keep(ctx, session); err != nil {
		return nil, err
	}
	h.record(caller, "AssumeRole", session, map[string]any{"roleArn": arn, "roleSessionName": name})
	id := (&principal.Principal{ARN: session.ARN, Account: session.Account}).UserID()
	return assumedRole{credentialsOf(session), assumedRoleUser{AssumedRoleID: id, ARN: session.ARN}}, nil
}

// getSessionToken returns temporary credentials of the caller itself.
func (h *handler) getSessionToken(ctx context.Context, caller api.Caller, parameters url.Values) (any, error) {
	if err := refuseUnsupported(parameters, "DurationSeconds"); err != nil {
		return nil, err
	}
	from, known := h.cfg.Principals.Principal(caller.AccessKeyID)
	if known && !from.Expires.IsZero() {
		return nil, api.AccessDenied("Cannot call GetSessionToken with session credentials")
	}
	duration, err := durationOf(parameters, defaultTokenDuration, lattice.MaxSessionDuration)
	if err != nil {
		return nil, err
	}
	session := newSession(caller.Account, duration)
	session.ARN, session.UserKeyID = caller.Principal, caller.AccessKeyID
	if err := h.keep(ctx, session); err != nil {
		return nil, err
	}
	h.record(caller, "GetSessionToken", session, nil)
	return sessionToken{credentialsOf(session)}, nil
}

// refuseUnsupported refuses parameters that AWS knows and that have no effect here, so that nobody relies on them.
func refuseUnsupported(parameters url.Values, known ...string) error {
	for name := range parameters {
		if name == "Action" || name == "Version" || strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		supported := false
		for _, k := range known {
			supported = supported || name == k || strings.HasPrefix(name, k+".")
		}
		if !supported {
			return malformed("ValidationError", "The parameter "+excerpt.Of(name, excerpt.Shown)+" is not supported here.")
		}
	}
	return nil
}

func invalid(parameter, value, pattern string) error {
	return malformed("ValidationError", fmt.Sprintf("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: %s",
		excerpt.Of(value, excerpt.Shown), parameter, pattern))
}

func durationOf(parameters url.Values, otherwise, longest time.Duration) (time.Duration, error) {
	text := parameters.Get("DurationSeconds")
	if text == "" {
		return min(otherwise, longest), nil
	}
	seconds, err := strconv.Atoi(text)
	if duration := time.Duration(seconds) * time.Second; err == nil && seconds <= int(lattice.MaxSessionDuration/time.Second) && duration >= minDuration && duration <= longest {
		return duration, nil
	}
	return 0, malformed("ValidationError", fmt.Sprintf("DurationSeconds is '%s'; it must be between %d and %d here.",
		excerpt.Of(text, excerpt.Shown), minDuration/time.Second, longest/time.Second))
}

// tagText is what keys and values of tags are made of (STS API reference, Tag). Targets get them in a header.
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// sessionTags reads Tags.member.N.Key and Tags.member.N.Value (STS API reference, Tag).
func sessionTags(parameters url.Values) (map[string]string, error) {
	const maxTags, maxKey, maxValue = 50, 128, 256
	tags := map[string]string{}
	count := 0
	for name := range parameters {
		if strings.HasPrefix(name, "Tags.") {
			count++
		}
	}
	for n := 1; count > 0; n++ {
		prefix := "Tags.member." + strconv.Itoa(n) + "."
		key, value := parameters.Get(prefix+"Key"), parameters.Get(prefix+"Value")
		if !parameters.Has(prefix + "Key") {
			return nil, malformed("ValidationError", "Tags must be given as Tags.member.1.Key, Tags.member.1.Value and so on.")
		}
		count -= len(parameters[prefix+"Key"]) + len(parameters[prefix+"Value"])
		switch {
		case n > maxTags:
			return nil, malformed("ValidationError", fmt.Sprintf("A session can have %d tags.", maxTags))
		case key == "" || len([]rune(key)) > maxKey || len([]rune(value)) > maxValue || strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, malformed("ValidationError", fmt.Sprintf("Tag %d must have a key of 1 to %d characters that does not begin with aws:, and a value of at most %d.", n, maxKey, maxValue))
		case !tagText.MatchString(key):
			return nil, invalid(fmt.Sprintf("tags.%d.member.key", n), key, tagText.String())
		case !tagText.MatchString(value):
			return nil, invalid(fmt.Sprintf("tags.%d.member.value", n), value, tagText.String())
		}
		for other := range tags {
			if strings.EqualFold(other, key) {
				return nil, malformed("InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
			}
		}
		tags[key] = value
	}
	return tags, nil
}

// newSession returns new credentials.
func newSession(account string, duration time.Duration) *lattice.Session {
	var id [10]byte
	var secret [30]byte
	var token [96]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	rand.Read(token[:])
	now := time.Now().UTC()
	return &lattice.Session{
		Account: account, AccessKeyID: "ASIA" + base32.StdEncoding.EncodeToString(id[:]),
		SecretKey: base64.StdEncoding.EncodeToString(secret[:]), Token: base64.StdEncoding.EncodeToString(token[:]),
		Issued: now.Truncate(time.Second), Expires: now.Add(duration).Truncate(time.Second),
	}
}

// keep stores credentials. When it returns, this node knows them; other nodes follow.
func (h *handler) keep(ctx context.Context, session *lattice.Session) error {
	return h.cfg.Catalog.Commit(ctx, func(tx *catalog.Tx) error {
		index := lattice.Sessions(session.Account)
		if tx.Count(index) >= maxSessions {
			for _, key := range someEnded(tx, index) {
				tx.Delete(key)
			}
			if tx.Count(index) >= maxSessions {
				return api.Throttled(int32(minDuration/time.Second), fmt.Sprintf("The account has %d sessions that have not ended, the most that are allowed.", maxSessions))
			}
		}
		tx.PutExpiring(session)
		return nil
	})
}

// someEnded returns the keys of sessions that have expired, no more than fit into a transaction.
func someEnded(v catalog.View, index lattice.Index) []lattice.Key {
	const most = 50
	var ended []lattice.Key
	now := time.Now()
	for s := range catalog.All[*lattice.Session](v, index) {
		if !now.Before(s.Expires) {
			ended = append(ended, s.Key())
		}
		if len(ended) == most {
			break
		}
	}
	return ended
}

func credentialsOf(s *lattice.Session) credentials {
	return credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretKey, SessionToken: s.Token, Expiration: expiration(s.Expires)}
}

// record writes to the audit log who got which credentials.
func (h *handler) record(caller api.Caller, action string, s *lattice.Session, parameters map[string]any) {
	if h.cfg.Audit == nil {
		return
	}
	h.cfg.Audit.Record(audit.Entry{
		Time: time.Now(), RequestID: caller.RequestID, Account: caller.Account, Region: caller.Region, Principal: caller.Principal,
		AccessKeyID: caller.AccessKeyID, SourceIP: caller.SourceIP, Operation: action, Parameters: parameters, Status: 200,
		ID: s.AccessKeyID, ARN: s.ARN,
	})
}

// roleRequest is a caller's request to assume a role. It has the values of the condition keys.
type roleRequest struct {
	caller                       api.Caller
	from                         *principal.Principal
	arn, sessionName, externalID string
	tags                         map[string]string
	duration                     time.Duration
}

// authorize asks the caller's policies and the role's trust policy. Both must allow the request. At AWS, a trust policy that names
// a user of the same account is enough.
func (h *handler) authorize(r roleRequest, role *principal.Principal) error {
	if h.cfg.Principals.Open() {
		return nil
	}
	actions := []string{"AssumeRole"}
	if len(r.tags) > 0 {
		actions = append(actions, "TagSession")
	}
	for _, action := range actions {
		if h.cfg.Authorizer != nil {
			call := api.Call{Caller: r.caller, Service: "sts", Operation: action, Resource: r.arn, Input: &struct{ Tags map[string]string }{r.tags}}
			if err := h.cfg.Authorizer.Authorize(call); err != nil {
				return r.denied("sts:" + action) // The error is the same as for a role that does not exist.
			}
		}
		if r.from == nil {
			return r.denied("sts:" + action)
		}
		request := &policy.Request{Caller: r.from.Caller(), Action: "sts:" + action, Resource: r.arn, Now: time.Now(), Values: &r}
		if decision, _ := role.Trust.Evaluate(request); decision.Outcome != policy.Allowed {
			return r.denied("sts:" + action)
		}
	}
	return nil
}

// denied returns the refusal in AWS's words.
func (r *roleRequest) denied(action string) error {
	return api.AccessDenied("User: " + r.caller.Principal + " is not authorized to perform: " + action + " on resource: " + excerpt.Of(r.arn, 2048))
}

// Value implements policy.Values.
func (r *roleRequest) Value(key *policy.Key, from int) (string, int) {
	switch key.Name {
	case policy.KeySourceIP:
		return policy.One(r.caller.SourceIP, from)
	case policy.KeySecureTransport:
		return policy.One(strconv.FormatBool(r.caller.Secure), from)
	case policy.KeyRequestedRegion:
		return policy.One(r.caller.Region, from)
	case policy.KeyRequestTag:
		return policy.Tag(r.tags, key.Part, from)
	case policy.KeyTagKeys:
		keys := make([]string, 0, len(r.tags))
		for key := range r.tags {
			keys = append(keys, key)
		}
		if from < len(keys) {
			slices.Sort(keys)
			return keys[from], from + 1
		}
	case "sts:RoleSessionName":
		return policy.One(r.sessionName, from)
	case "sts:ExternalId":
		return policy.One(r.externalID, from)
	case "sts:DurationSeconds":
		return policy.One(strconv.Itoa(int(r.duration/time.Second)), from)
	}
	return "", policy.None
}
