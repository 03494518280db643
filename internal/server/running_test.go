package server

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/internal/configuration"
	"trellis/internal/function"
	"trellis/test/trellistest"
)

// TestMain runs the tests, unless a node with functions has started this program as its keeper.
func TestMain(m *testing.M) {
	if !function.Keep() {
		os.Exit(m.Run())
	}
}

// running is a node that runs within the test.
type running struct {
	// url is that of the API.
	url    string
	out    *trellistest.Text // the greeting
	log    *trellistest.Text
	server *Server
}

// freePorts adds flags for free ports to a command line, for DNS unless it has that flag.
func freePorts(args []string) []string {
	args = append(args, "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
	if !slices.Contains(args, "--dns-addr") {
		args = append(args, "--dns-addr", "127.0.0.1:0")
	}
	return args
}

// start runs a node with a command line, on free ports, until the test is over.
func start(t testing.TB, args ...string) *running {
	t.Helper()
	command, err := configuration.Parse(append(freePorts(args), "--log-level", "debug"), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if command.Configuration.CADir == "" {
		command.Configuration.CADir = t.TempDir()
	}
	log, out := &trellistest.Text{}, &trellistest.Text{}
	cfg := Config{Configuration: command.Configuration, Version: "test", Out: out, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	s, err := open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	trellistest.Await(t, func() bool { return strings.Contains(log.String(), "msg=serving") }, "the node serves")
	return &running{url: "http://" + s.apiListener.Addr().String(), out: out, log: log, server: s}
}

// profile returns an SDK's configuration with the keys of a section of a credentials file.
func profile(t *testing.T, file, section string) aws.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(),
		config.WithRegion("us-west-2"), config.WithSharedCredentialsFiles([]string{file}), config.WithSharedConfigFiles(nil),
		config.WithSharedConfigProfile(section),
	)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// client returns an SDK's client of the API, which does not retry.
func (r *running) client(cfg aws.Config) *vpclattice.Client {
	return vpclattice.NewFromConfig(cfg, func(o *vpclattice.Options) {
		o.BaseEndpoint = &r.url
		o.Retryer = aws.NopRetryer{}
	})
}

// codeBlocks returns the blocks of a language in a page of the documentation.
func codeBlocks(t *testing.T, page, language string) []string {
	t.Helper()
	content, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, after := range strings.Split(string(content), "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(after, "\n```")
		blocks = append(blocks, block+"\n")
	}
	return blocks
}
