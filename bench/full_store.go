package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// The full store.
const (
	fullGroups      = 100_000
	targetsPerGroup = 5
)

// scope is where `trellis serve` puts what its first administrator creates.
var scope = lattice.Scope{Account: "000000000000", Region: signedRegion}

// filling is how much is put into a store before a measurement.
type filling struct {
	targetGroups, targetsPerGroup int
	// services share the target groups among them; each is in the service network and listens on port 80. All its
	// requests go to its first target group, whose targets are these ports of the loopback.
	services int
	ports    []int
	// hosts, if there are any, are the targets of all target groups, each with each of the ports. They are checked every
	// checkSeconds.
	hosts        []string
	checkSeconds int
}

// The catalog joins what the fillers write into transactions of at most 126 records. Larger ones would be faster, but
// etcd takes its snapshots by the number of transactions, and a server would start with all records in its log.
const (
	fillers      = 4
	batchRecords = 60
)

// fillOnce fills one store for all benchmarks that only read it, and returns its data directory.
func fillOnce(ctx context.Context, dir string) (string, error) {
	data := filepath.Join(dir, "filled")
	if _, err := os.Stat(data); err == nil {
		return data, nil
	}
	return data, fill(ctx, data, filling{targetGroups: fullGroups, targetsPerGroup: targetsPerGroup})
}

// fill writes records into a data directory that no server uses, through the catalog. The API would write the same,
// but takes a minute for it.
func fill(ctx context.Context, dir string, f filling) error {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	began := time.Now()
	c, err := catalog.Open(ctx, catalog.Config{DataDir: dir, Ephemeral: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer c.Close()
	records := make(chan []lattice.Record, fillers)
	errs := make([]error, fillers)
	var running sync.WaitGroup
	for i := range fillers {
		running.Go(func() {
			for batch := range records {
				if errs[i] != nil {
					continue
				}
				errs[i] = c.Commit(ctx, func(tx *catalog.Tx) error {
					for _, record := range batch {
						tx.Put(record)
					}
					return nil
				})
			}
		})
	}
	n := 0
	var batch []lattice.Record
	f.generate(func(record lattice.Record) {
		n++
		if batch = append(batch, record); len(batch) == batchRecords {
			records <- batch
			batch = nil
		}
	})
	records <- batch
	close(records)
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("filling the store: %w", err)
		}
	}
	progress("filled a store with %d records in %.1f s", n, time.Since(began).Seconds())
	return c.Close()
}

// generate makes the records, in the order in which a client would create them.
func (f filling) generate(yield func(lattice.Record)) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	base := func(kind lattice.Kind, name string) lattice.Base {
		return lattice.Base{ID: lattice.NewID(kind), Name: name, Scope: scope, CreatedAt: now, UpdatedAt: now}
	}
	var groups []string
	for i := range f.targetGroups {
		group := &lattice.TargetGroup{Base: base(lattice.KindTargetGroup, fmt.Sprintf("filled-%d", i)), Type: shape.TargetGroupTypeIp}
		// Health checks are off: probes of a hundred thousand targets are not what is measured.
		group.Config, _ = lattice.NewTargetGroupConfig(group.Type, &shape.TargetGroupConfig{
			Port: new(int32(80)), Protocol: shape.TargetGroupProtocolHttp, VpcIdentifier: new("vpc-0123456789abcdef0"),
			HealthCheck: &shape.HealthCheckConfig{Enabled: new(f.checkSeconds > 0), HealthCheckIntervalSeconds: new(int32(max(f.checkSeconds, 5)))},
		})
		groups = append(groups, group.ID)
		yield(group)
		targets := &lattice.Targets{Scope: scope, TargetGroupID: group.ID}
		for t := range f.targetsPerGroup {
			targets.Register(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), int32(8000+t), now)
		}
		for _, host := range f.hosts {
			for _, port := range f.ports {
				targets.Register(host, int32(port), now)
			}
		}
		if len(targets.Members) > 0 {
			yield(targets)
		}
	}
	if f.services == 0 {
		return
	}
	network := &lattice.ServiceNetwork{Base: base(lattice.KindServiceNetwork, "filled"), AuthType: shape.AuthTypeNone}
	yield(network)
	for i := range f.services {
		service := &lattice.Service{
			Base: base(lattice.KindService, fmt.Sprintf("filled-%d", i)), AuthType: shape.AuthTypeNone, IdleTimeoutSeconds: lattice.DefaultIdleTimeoutSeconds,
		}
		service.DomainName = lattice.GeneratedDomainName(service.Name, service.ID, scope.Region, "localhost")
		yield(service)
		yield(&lattice.ServiceNetworkServiceAssociation{
			Base: base(lattice.KindServiceNetworkServiceAssociation, ""), ServiceID: service.ID, ServiceNetworkID: network.ID,
		})
		listener := &lattice.Listener{
			Base: base(lattice.KindListener, "http"), ServiceID: service.ID, Protocol: shape.ListenerProtocolHttp, Port: 80,
		}
		rule := &lattice.Rule{
			Base: base(lattice.KindRule, lattice.DefaultRuleName), ServiceID: service.ID, ListenerID: listener.ID,
			IsDefault: true, Priority: lattice.DefaultRulePriority, Action: &shape.RuleAction{Forward: &shape.ForwardAction{}},
		}
		listener.DefaultRuleID = rule.ID
		each := len(groups) / f.services
		for j, id := range groups[i*each : (i+1)*each] {
			weight := int32(0)
			if j == 0 {
				weight = 100
			}
			if j == 0 && len(f.hosts) == 0 {
				targets := &lattice.Targets{Scope: scope, TargetGroupID: id}
				for _, port := range f.ports {
					targets.Register("127.0.0.1", int32(port), now)
				}
				yield(targets)
			}
			rule.TargetGroupIDs = append(rule.TargetGroupIDs, id)
			rule.Action.Forward.TargetGroups = append(rule.Action.Forward.TargetGroups,
				shape.WeightedTargetGroup{TargetGroupIdentifier: new(id), Weight: new(weight)})
		}
		yield(listener)
		yield(rule)
	}
}
