package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"trellis/internal/api"
	"trellis/internal/shape"
)

// The listener ports of the sample service.
const (
	demoListenerPort = 80
	demoSecurePort   = 443
)

// demoVpc is the VPC of the sample targets.
const demoVpc = "vpc-0123456789abcdef0"

// demo is the sample network's built-in backends.
type demo struct {
	ports map[string]int32 // the addresses of the backends, by name
}

// openDemo starts the backends of the sample network if --demo is given.
func (s *Server) openDemo(context.Context) error {
	if !s.cfg.Demo {
		return nil
	}
	s.demo = &demo{ports: map[string]int32{}}
	for _, name := range []string{"blue", "green", "orders"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("opening a backend of the sample network (--demo): %w", err)
		}
		backend := &http.Server{
			ReadHeaderTimeout: 10 * time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s answers %s %s\n", name, r.Method, r.URL.Path)
			}),
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = backend.Serve(listener) // Serve returns an error when the backend is closed.
		}()
		s.atClose(func() error {
			err := backend.Close()
			<-ended
			return err
		})
		s.demo.ports[name] = int32(listener.Addr().(*net.TCPAddr).Port)
	}
	return nil
}

// buildDemo builds a network in front of the backends through the same operations that a client calls, and prints the
// curl lines that show it.
func (s *Server) buildDemo(ctx context.Context) error {
	b := demoBuilder{s: s, ctx: ctx, caller: api.Caller{Account: s.cfg.Account, Region: s.cfg.Region, Principal: "arn:aws:iam::" + s.cfg.Account + ":root"}}
	blue, green, orders := b.group("blue"), b.group("green"), b.group("orders")
	host := b.service(blue, green, orders)
	if b.err != nil {
		return b.err
	}
	url := "http://" + s.boundAddress(demoListenerPort)
	out := s.cfg.Out
	s.showProblems()
	fmt.Fprintf(out, "\nThe service shop forwards to the target groups blue (weight 75) and green (weight 25):\n")
	fmt.Fprintf(out, "  curl -H 'Host: %s' %s/\n", host, url)
	fmt.Fprintf(out, "A rule by path prefix forwards to the target group orders:\n")
	fmt.Fprintf(out, "  curl -H 'Host: %s' %s/orders/7\n", host, url)
	fmt.Fprintf(out, "A rule by header forwards to green alone:\n")
	fmt.Fprintf(out, "  curl -H 'Host: %s' -H 'x-version: green' %s/\n", host, url)
	fmt.Fprintf(out, "The same by HTTPS, for which the local certificate authority vouches:\n")
	fmt.Fprintf(out, "  curl --cacert %s --connect-to ::%s https://%s/\n", s.authority.File(), s.boundAddress(demoSecurePort), host)
	fmt.Fprintf(out, "The x-trellis headers of a response say which way it took, and the admin port what would happen:\n")
	fmt.Fprintf(out, "  curl -i -H 'Host: %s' %s/\n", host, url)
	fmt.Fprintf(out, "  curl -G http://%s/explain -d method=GET -d host=%s -d port=%d -d path=/orders/7\n", s.adminListener.Addr(), host, demoListenerPort)
	return nil
}

// demoBuilder calls operations until one fails.
type demoBuilder struct {
	s      *Server
	ctx    context.Context
	caller api.Caller
	err    error
}

func call[In, Out any](b *demoBuilder, operation func(context.Context, api.Caller, *In) (*Out, error), in *In) *Out {
	if b.err != nil {
		return new(Out)
	}
	out, err := operation(b.ctx, b.caller, in)
	if err != nil {
		b.err = err
		return new(Out)
	}
	return out
}

// group returns the id of a target group that holds a backend.
func (b *demoBuilder) group(name string) string {
	if b.err != nil {
		return ""
	}
	port := b.s.demo.ports[name]
	group := call(b, b.s.control.CreateTargetGroup, &shape.CreateTargetGroupRequest{
		Name: new("demo-" + name),
		Type: shape.TargetGroupTypeIp,
		Config: &shape.TargetGroupConfig{
			Protocol:      shape.TargetGroupProtocolHttp,
			Port:          &port,
			VpcIdentifier: new(demoVpc),
			HealthCheck:   &shape.HealthCheckConfig{HealthCheckIntervalSeconds: new(int32(5)), HealthCheckTimeoutSeconds: new(int32(2))},
		},
	})
	call(b, b.s.control.RegisterTargets, &shape.RegisterTargetsRequest{
		TargetGroupIdentifier: group.Id,
		Targets:               []shape.Target{{Id: new("127.0.0.1"), Port: &port}},
	})
	if b.err != nil {
		return ""
	}
	return *group.Id
}

// service builds the network, the service and its rules, and returns the service's host name.
func (b *demoBuilder) service(blue, green, orders string) string {
	c := b.s.control
	network := call(b, c.CreateServiceNetwork, &shape.CreateServiceNetworkRequest{Name: new("demo")})
	service := call(b, c.CreateService, &shape.CreateServiceRequest{Name: new("shop")})
	call(b, c.CreateServiceNetworkServiceAssociation, &shape.CreateServiceNetworkServiceAssociationRequest{
		ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id,
	})
	split := forward(shape.WeightedTargetGroup{TargetGroupIdentifier: &blue, Weight: new(int32(75))}, shape.WeightedTargetGroup{TargetGroupIdentifier: &green, Weight: new(int32(25))})
	listener := call(b, c.CreateListener, &shape.CreateListenerRequest{
		ServiceIdentifier: service.Id, Name: new("http"),
		Protocol: shape.ListenerProtocolHttp, Port: new(int32(demoListenerPort)), DefaultAction: split,
	})
	call(b, c.CreateListener, &shape.CreateListenerRequest{
		ServiceIdentifier: service.Id, Name: new("https"),
		Protocol: shape.ListenerProtocolHttps, Port: new(int32(demoSecurePort)), DefaultAction: split,
	})
	call(b, c.CreateRule, &shape.CreateRuleRequest{
		ServiceIdentifier: service.Id, ListenerIdentifier: listener.Id,
		Name: new("orders"), Priority: new(int32(10)),
		Match:  &shape.RuleMatch{HttpMatch: &shape.HttpMatch{PathMatch: &shape.PathMatch{Match: &shape.PathMatchType{Prefix: new("/orders")}}}},
		Action: forward(shape.WeightedTargetGroup{TargetGroupIdentifier: &orders}),
	})
	call(b, c.CreateRule, &shape.CreateRuleRequest{
		ServiceIdentifier: service.Id, ListenerIdentifier: listener.Id,
		Name: new("green"), Priority: new(int32(20)),
		Match: &shape.RuleMatch{HttpMatch: &shape.HttpMatch{HeaderMatches: []shape.HeaderMatch{
			{Name: new("x-version"), Match: &shape.HeaderMatchType{Exact: new("green")}},
		}}},
		Action: forward(shape.WeightedTargetGroup{TargetGroupIdentifier: &green}),
	})
	if b.err != nil {
		return ""
	}
	return *service.DnsEntry.DomainName
}

func forward(groups ...shape.WeightedTargetGroup) *shape.RuleAction {
	return &shape.RuleAction{Forward: &shape.ForwardAction{TargetGroups: groups}}
}
