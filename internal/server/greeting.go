package server

import (
	"context"
	"fmt"
	"strings"
)

// greet shows the operator all addresses, and in dev what to type next.
func (s *Server) greet(ctx context.Context) error {
	out := s.cfg.Out
	api := "http://" + s.apiListener.Addr().String()
	mode := "serve"
	if s.cfg.Dev {
		mode = "dev"
	}
	fmt.Fprintf(out, "Trellis %s (%s)\n", s.cfg.Version, mode)
	fmt.Fprintf(out, "  API    %s\n", api)
	fmt.Fprintf(out, "  admin  http://%s\n", s.adminListener.Addr())
	fmt.Fprintf(out, "  data   %s\n", s.dataPorts())
	if s.cfg.ResourceRange.Size() > 0 {
		fmt.Fprintf(out, "  TCP    resources at %s\n", s.resources())
	}
	if !s.names.off {
		fmt.Fprintf(out, "  names  %s\n", s.names.where)
	}
	s.showProblems()
	fmt.Fprintf(out, "  CA     %s (clients of HTTPS trust it: curl --cacert %[1]s)\n", s.authority.File())
	if !s.cfg.Dev {
		fmt.Fprintf(out, "  store  %s\n", s.store())
		fmt.Fprintf(out, "  keys   %s (AWS shared-credentials format)\n", s.cfg.Credentials)
		return nil
	}
	if !s.cfg.Demo {
		fmt.Fprintf(out, "\nAny credentials will do. Try:\n  curl -s %s/targetgroups -d '{\"name\":\"my-targets\",\"type\":\"IP\",\"config\":{\"protocol\":\"HTTP\",\"port\":8000,\"vpcIdentifier\":\"vpc-0123456789abcdef0\"}}'\n", api)
		return nil
	}
	return s.buildDemo(ctx)
}

// store returns where records are kept, in words.
func (s *Server) store() string {
	if len(s.cfg.Etcd.Endpoints) > 0 {
		return "etcd at " + strings.Join(s.cfg.Etcd.Endpoints, ", ")
	}
	return s.cfg.DataDir
}
