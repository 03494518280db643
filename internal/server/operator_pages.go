package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"trellis/internal/api"
	"trellis/internal/audit"
	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/internal/uuid"
)

// maxDocument bounds what is imported: a network of 10,000 services has about 20 MB.
const maxDocument = 64 << 20

// operatorHandler answers a request of an operator whose scope is known, and who may do it.
type operatorHandler func(w http.ResponseWriter, r *http.Request, scope lattice.Scope, body []byte)

// operated are the pages of the admin port that show or change more than everybody who reaches the port may see or change. In
// serve, requests for them must be signed by a principal whose policies allow the action trellis:OPERATION.
func (s *Server) operated(operation string, next operatorHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scope := lattice.Scope{Account: r.URL.Query().Get("account"), Region: r.URL.Query().Get("region")}
		if scope.Account != "" && !lattice.ValidAccount(scope.Account) {
			http.Error(w, fmt.Sprintf("account is %q; it must have 12 digits", scope.Account), http.StatusBadRequest)
			return
		}
		if scope.Region != "" && !lattice.ValidRegion(scope.Region) {
			http.Error(w, fmt.Sprintf("region is %q; it must be a Region, such as us-west-2", scope.Region), http.StatusBadRequest)
			return
		}
		read := sync.OnceValues(func() ([]byte, error) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument))
			if err != nil {
				return nil, &unreadableError{err}
			}
			return body, nil
		})
		if !s.cfg.Dev {
			if r.Header.Get("Authorization") == "" {
				http.Error(w, "the request must be signed (AWS Signature Version 4, service vpc-lattice) with keys of the credentials file", http.StatusUnauthorized)
				return
			}
			var err error
			if scope, err = s.admitOperator(r, operation, scope, read); err != nil {
				refuseOperator(w, err)
				return
			}
		}
		body, err := read()
		if err != nil {
			refuseOperator(w, err)
			return
		}
		next(w, r, scope, body)
	}
}

// admitOperator checks who has signed a request, and whether they may do what it asks for in the scope. It reads the body only when
// the key is known, so that nobody else can make the node keep 64 MB.
func (s *Server) admitOperator(r *http.Request, operation string, scope lattice.Scope, body func() ([]byte, error)) (lattice.Scope, error) {
	caller, err := s.signed(s.cfg.Regions, "vpc-lattice").Authenticate(r, body)
	if err != nil {
		return scope, err
	}
	caller.CameBy(r, uuid.New())
	if scope.Account == "" {
		scope.Account = caller.Account
	}
	if scope.Region == "" {
		scope.Region = caller.Region
	}
	if err := s.mayOperate(operation, caller, scope); err != nil {
		return scope, err
	}
	if s.audit != nil {
		s.audit.Record(audit.Entry{
			Time: time.Now(), RequestID: caller.RequestID, Account: scope.Account, Region: scope.Region, Principal: caller.Principal,
			AccessKeyID: caller.AccessKeyID, SourceIP: caller.SourceIP, Operation: operation, Status: http.StatusOK,
		})
	}
	return scope, nil
}

// mayOperate returns why a caller may not carry out an operation of the admin port. A network belongs to its account, and the
// store to the node's own account.
func (s *Server) mayOperate(operation string, caller api.Caller, scope lattice.Scope) error {
	owner := scope.Account
	if operation == "BackupStore" {
		owner = s.cfg.Account
	}
	if caller.Account != owner {
		return api.AccessDenied(fmt.Sprintf("The access key is of account %s, and only one of account %s may do that.", caller.Account, owner))
	}
	return s.authorizer().Authorize(api.Call{
		Caller: caller, Service: "trellis", Operation: operation, Resource: lattice.FormatARN(scope, "*"), Input: &struct{}{},
	})
}

// unreadableError says why a request's body cannot be read.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return fmt.Sprintf("reading the request: %v", e.err) }
func (e *unreadableError) Unwrap() error { return e.err }

func refuseOperator(w http.ResponseWriter, err error) {
	if unreadable, ok := errors.AsType[*unreadableError](err); ok {
		http.Error(w, unreadable.Error(), http.StatusBadRequest)
		return
	}
	if unknown, ok := errors.AsType[*api.AuthenticationError](err); ok {
		http.Error(w, unknown.Message, unknown.Status)
		return
	}
	if denied, ok := errors.AsType[*shape.AccessDeniedException](err); ok {
		http.Error(w, *denied.Message, http.StatusForbidden)
		return
	}
	if throttled, ok := errors.AsType[*shape.ThrottlingException](err); ok {
		http.Error(w, *throttled.Message, http.StatusTooManyRequests)
		return
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
