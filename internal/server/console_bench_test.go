package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"trellis/internal/lattice"
)

// largeNetwork is a document of as many services, each with a target group of ten targets.
func largeNetwork(services int) string {
	var lists [6]strings.Builder
	for i := range services {
		id := func(prefix string) string { return fmt.Sprintf("%s-%017x", prefix, i+1) }
		fmt.Fprintf(&lists[0], "  - {id: %s, name: backends-%d, type: IP, config: {protocol: HTTP, port: 9001, vpcIdentifier: vpc-0123456789abcdef0, healthCheck: {enabled: false}}}\n", id("tg"), i)
		fmt.Fprintf(&lists[1], "  - targetGroupId: %s\n    members: [", id("tg"))
		for n := range 10 {
			fmt.Fprintf(&lists[1], "{id: 127.%d.%d.%d},", i/250+1, i%250, n+1)
		}
		fmt.Fprintf(&lists[1], "]\n")
		fmt.Fprintf(&lists[2], "  - {id: %s, name: service-%d}\n", id("svc"), i)
		fmt.Fprintf(&lists[3], "  - {id: %s, serviceId: %s, name: http, protocol: HTTP, port: 80, defaultRuleId: %s}\n", id("listener"), id("svc"), id("rule"))
		fmt.Fprintf(&lists[4], "  - {id: %s, name: default, serviceId: %s, listenerId: %s, isDefault: true, action: {forward: {targetGroups: [{targetGroupIdentifier: %s}]}}}\n",
			id("rule"), id("svc"), id("listener"), id("tg"))
		fmt.Fprintf(&lists[5], "  - {id: %s, serviceNetworkId: sn-00000000000000001, serviceId: %s}\n", id("snsa"), id("svc"))
	}
	text := "trellis: 1\naccount: \"000000000000\"\nregion: us-west-2\nserviceNetworks:\n  - {id: sn-00000000000000001, name: home}\n"
	for i, name := range []string{"targetGroups", "targets", "services", "listeners", "rules", "serviceNetworkServiceAssociations"} {
		text += name + ":\n" + lists[i].String()
	}
	return text
}

// BenchmarkPagesOfALargeNetwork makes pages of 1,000 services with 10,000 targets. Each is to take less than 100 ms.
func BenchmarkPagesOfALargeNetwork(b *testing.B) {
	node := start(b, "dev")
	if _, _, err := node.server.networks().Import(b.Context(), []byte(largeNetwork(1000)), lattice.Scope{}, func(int, int) {}); err != nil {
		b.Fatal(err)
	}
	for _, path := range []string{
		"", "services", "services?q=service-7&sort=-name", "services/svc-00000000000000001", "target-groups", "target-groups?q=127.1.9&sort=-targets",
		"target-groups/tg-00000000000000001", "service-networks", "service-networks/sn-00000000000000001", "resources", "certificates", "policies", "functions", "explain",
	} {
		b.Run("/"+path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				node.server.console.ServeHTTP(w, httptest.NewRequest(http.MethodGet, home+path, nil))
				if w.Code != http.StatusOK {
					b.Fatalf("answered %d", w.Code)
				}
			}
		})
	}
}
