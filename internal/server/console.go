package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"trellis/internal/api"
	"trellis/internal/console"
	"trellis/internal/lattice"
)

// openConsole makes the console. It calls operations as clients of the API port do.
func (s *Server) openConsole(context.Context) error {
	_, port, err := net.SplitHostPort(s.adminListener.Addr().String())
	if err != nil {
		return err
	}
	operations := s.operationsConfig()
	operations.Authenticator = console.Authenticator{}
	if !s.cfg.Dev {
		operations.Authorizer = s.authorizer()
	}
	s.console, err = console.New(console.Config{
		Version:          s.cfg.Version,
		Dev:              s.cfg.Dev,
		API:              "http://" + s.apiListener.Addr().String(),
		Port:             port,
		Home:             lattice.Scope{Account: s.cfg.Account, Region: s.cfg.Region},
		Regions:          s.cfg.Regions,
		Store:            s.storeInWords(),
		Catalog:          s.catalog,
		Router:           s.router,
		Checker:          s.checker,
		Functions:        s.functions,
		Failed:           s.accessLogs,
		Inventory:        s.inventory.Current,
		AuthorityExpires: s.authority.Expires(),
		Now:              s.control.Now,
		Problems:         func() []console.Problem { return s.state().Problems },
		Explain:          s.explainRequest,
		ExplainResource:  s.explainConnection,
		Report:           s.reportTargets,
		Resource:         s.proxy.ResourceState,
		Bound:            s.reachableAt,
		Operations:       api.NewHandler(operations),
		Principal:        s.principals.Principal,
		Anybody:          s.principals.Anybody,
		CheckKeys:        s.checkKeys,
		Sessions:         s.takeover.sessions,
	})
	return err
}

// reachableAt returns the address at which a listener's port can be reached, or "".
func (s *Server) reachableAt(listenerPort int) string {
	if s.proxy.Addr(listenerPort) == nil {
		return ""
	}
	return s.boundAddress(listenerPort)
}

// checkKeys returns why keys do not prove who somebody is. It signs a request with them and checks it like one that has come to the
// API port: failures count together, and slow down a client that has too many.
func (s *Server) checkKeys(r *http.Request, keys console.Keys) error {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+s.apiListener.Addr().String()+"/services", http.NoBody)
	if err != nil {
		return fmt.Errorf("checking the keys: %w", err)
	}
	request.RemoteAddr = r.RemoteAddr
	nothing := sha256.Sum256(nil)
	hash := hex.EncodeToString(nothing[:])
	request.Header.Set("X-Amz-Content-Sha256", hash)
	credentials := aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.Secret, SessionToken: keys.SessionToken}
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, request, hash, "vpc-lattice", s.cfg.Region, time.Now()); err != nil {
		return fmt.Errorf("checking the keys: %w", err)
	}
	_, err = s.signed(s.cfg.Regions, "vpc-lattice").Authenticate(request, func() ([]byte, error) { return nil, nil })
	return err
}

// wantsPage reports whether a request is that of a browser, which shows HTML.
func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }
