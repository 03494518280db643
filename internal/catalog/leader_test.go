package catalog

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"

	"trellis/internal/lattice"
	"trellis/test/trellistest"
)

// testMembers starts a cluster of three.
func testMembers(t *testing.T) (members []*embed.Etcd, endpoints []string) {
	t.Helper()
	var configs []*embed.Config
	var initial []string
	for i := range 3 {
		cfg := embeddedConfig(Config{Ephemeral: true, Log: testLog(t)}, t.TempDir(), func(error) {})
		cfg.Name = fmt.Sprintf("member-%d", i)
		cfg.TickMs, cfg.ElectionMs = 50, 500
		peer := []url.URL{{Scheme: "http", Host: freeAddress(t)}}
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peer, peer
		client := []url.URL{{Scheme: "http", Host: freeAddress(t)}}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = client, client
		initial = append(initial, cfg.Name+"="+peer[0].String())
		endpoints = append(endpoints, client[0].String())
		configs = append(configs, cfg)
	}
	for _, cfg := range configs {
		cfg.InitialCluster = strings.Join(initial, ",")
		member, err := embed.StartEtcd(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(member.Close)
		members = append(members, member)
	}
	for _, member := range members {
		<-member.Server.ReadyNotify()
	}
	return members, endpoints
}

// freeAddress returns a loopback address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", trellistest.FreePort(t))
}

func TestWritersOutliveTheLeader(t *testing.T) {
	t.Parallel()
	members, endpoints := testMembers(t)
	followed := newFollower(t)
	nodes := []*Catalog{
		start(t, Config{Endpoints: endpoints, Apply: followed.apply}),
		start(t, Config{Endpoints: endpoints}),
	}
	g := group("counter")
	put(t, nodes[0], g)
	converge(t, nodes...)

	const writers, times = 3, 40
	halfway := make(chan struct{})
	var wg sync.WaitGroup
	for i, node := range nodes {
		for writer := range writers {
			wg.Go(func() {
				for n := range times {
					if i == 0 && writer == 0 && n == times/2 {
						close(halfway)
					}
					if err := increment(node, g.Key()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	<-halfway
	for _, member := range members {
		if member.Server.MemberID() == member.Server.Leader() {
			member.Server.HardStop()
			break
		}
	}
	wg.Wait()
	converge(t, nodes...)
	followed.compare(nodes[0])
	nodes[1].Read(func(v View) {
		if g, _ := Get[*lattice.TargetGroup](v, g.Key()); count(g) != 2*writers*times {
			t.Errorf("the counter is %d, want %d", count(g), 2*writers*times)
		}
	})
}
