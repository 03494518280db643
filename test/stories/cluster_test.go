package stories_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/aws/smithy-go"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"trellis/test/trellistest"
)

// member is a member of an etcd cluster.
type member struct {
	endpoint string
	cmd      *exec.Cmd
}

// startCluster starts an etcd cluster of three.
func startCluster(t *testing.T) []*member {
	t.Helper()
	program := trellistest.Install(t, "etcd.sh")
	var peers []string
	members := make([]*member, 3)
	for i := range members {
		members[i] = &member{endpoint: fmt.Sprintf("http://127.0.0.1:%d", trellistest.FreePort(t))}
		peers = append(peers, fmt.Sprintf("member-%d=http://127.0.0.1:%d", i, trellistest.FreePort(t)))
	}
	for i, m := range members {
		name, peer, _ := strings.Cut(peers[i], "=")
		m.cmd = exec.Command(program, "--name", name, "--data-dir", filepath.Join(t.TempDir(), name), "--log-level", "error",
			"--listen-client-urls", m.endpoint, "--advertise-client-urls", m.endpoint,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-state", "new",
			// A lost leader is noticed after half a second, and another one elected soon after.
			"--heartbeat-interval", "50", "--election-timeout", "500")
		if err := m.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.kill)
	}
	return members
}

func (m *member) kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

// leader returns the member that leads. On a busy machine there may be none until another one is elected.
func leader(t *testing.T, members []*member) *member {
	t.Helper()
	var leads *member
	trellistest.Await(t, func() bool {
		for _, m := range members {
			c, err := clientv3.New(clientv3.Config{Endpoints: []string{m.endpoint}, Logger: zap.NewNop()})
			if err != nil {
				t.Fatal(err)
			}
			status, err := c.Status(t.Context(), m.endpoint)
			c.Close()
			if err != nil {
				t.Fatal(err)
			}
			if status.Leader == status.Header.MemberId {
				leads = m
			}
		}
		return leads != nil
	}, "the cluster has a leader")
	return leads
}

// TestLosingTheLeaderOfTheClusterLosesNothingAcknowledged kills the leader of an etcd cluster while clients write.
func TestLosingTheLeaderOfTheClusterLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	members := startCluster(t)
	var endpoints []string
	for _, m := range members {
		endpoints = append(endpoints, m.endpoint)
	}
	dir := t.TempDir()
	p := trellistest.Start(t, trellistest.Build(t), "serve", "--etcd-endpoints", strings.Join(endpoints, ","), "--data-dir", dir)
	c := client(t, p.API, filepath.Join(dir, "credentials"))

	var mu sync.Mutex // mu guards the variables below.
	acknowledged := map[string]bool{}
	var lastGap time.Duration
	previous := time.Now()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	for number := range 4 {
		running.Go(func() {
			for i := 0; ctx.Err() == nil && i < 100; i++ {
				name := fmt.Sprintf("group-%d-%d", number, i)
				_, err := c.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{Name: &name, Type: types.TargetGroupTypeLambda})
				if apiError := smithy.APIError(nil); errors.As(err, &apiError) && apiError.ErrorFault() == smithy.FaultClient {
					t.Errorf("%s: %v", name, err)
				}
				mu.Lock()
				if err == nil {
					acknowledged[name] = true
					lastGap = max(lastGap, time.Since(previous))
					previous = time.Now()
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond) // Sleeps: a client's pace.
			}
		})
	}
	trellistest.Await(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) >= 40
	}, "creations are acknowledged")
	leader(t, members).kill()
	running.Wait()
	t.Logf("%d creations were acknowledged; the longest time without one was %s", len(acknowledged), lastGap)

	groups := map[string]bool{}
	for pages := vpclattice.NewListTargetGroupsPaginator(c, &vpclattice.ListTargetGroupsInput{MaxResults: aws.Int32(100)}); pages.HasMorePages(); {
		for _, group := range must(pages.NextPage(t.Context()))(t).Items {
			groups[*group.Name] = true
		}
	}
	for name := range acknowledged {
		if !groups[name] {
			t.Errorf("%s was acknowledged and is not there", name)
		}
	}
	if len(acknowledged) < 200 { // A part may fail while there is no leader.
		t.Errorf("only %d of 400 creations were acknowledged", len(acknowledged))
	}
}
