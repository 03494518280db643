// Package amazon asks AWS for what an inventory file could list: EC2 for VPCs, security groups and instances, Elastic Load
// Balancing for load balancers, ACM for the names of certificates, and Lambda for functions. It only reads, a page at a time,
// with the credentials, profiles and endpoints that AWS's tools find in the environment. Package inventory decides when it is
// asked again, and what is done about errors.
package amazon

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"trellis/internal/awserror"
	"trellis/internal/inventory"
)

// Config says whom to ask.
type Config struct {
	// Services are some of ec2, elbv2, acm and lambda.
	Services, Regions []string
	// Lookup finds the addresses of a load balancer by its name. Nil asks the system.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
}

// Sources returns a source for each service in each Region.
func Sources(ctx context.Context, cfg Config) ([]inventory.Source, error) {
	shared, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of AWS's tools: %w", err)
	}
	if cfg.Lookup == nil {
		cfg.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	var sources []inventory.Source
	for _, region := range cfg.Regions {
		there := shared.Copy()
		there.Region = region
		for _, service := range cfg.Services {
			sources = append(sources, inventory.Source{Service: service, Region: region, Read: plainly(reader(service, there, cfg))})
		}
	}
	return sources, nil
}

// read asks a service.
type read func(ctx context.Context) (*inventory.Facts, error)

func reader(service string, cfg aws.Config, settings Config) read {
	switch service {
	case "ec2":
		return newEC2(cfg)
	case "elbv2":
		return newLoadBalancers(cfg, settings.Lookup)
	case "acm":
		return newCertificates(cfg)
	default:
		return newFunctions(cfg)
	}
}

// plainly has the errors of a reader say only what AWS or the network has said.
func plainly(r read) read {
	return func(ctx context.Context) (*inventory.Facts, error) {
		facts, err := r(ctx)
		if err != nil {
			return nil, awserror.Plain(err)
		}
		return facts, nil
	}
}
