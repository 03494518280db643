package configuration

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"trellis/internal/command"
)

// commandLine is the program's commands and flags.
type commandLine struct {
	Config      string      `name:"config" placeholder:"FILE" help:"YAML file whose keys are flags."`
	ShowVersion versionFlag `name:"version" env:"-" hidden:"" help:"Print the version."`

	Dev struct {
		Common
		PortMap     map[int]int `name:"port-map" default:"80=8080,443=8443" help:"Listener port to bound port; 0 is any free port. 0=0 binds all other ports as free ones."`
		DNSAddr     string      `name:"dns-addr" default:"127.0.0.1:7653" help:"Address of the DNS server for the names of services, over UDP and TCP, or none."`
		APIRate     float64     `name:"api-rate" default:"0" help:"How many API calls an account may make in a second on average; 0 means any number."`
		AccessLogs  string      `name:"access-logs" default:"none" help:"Where entries of access log subscriptions go: a directory; aws, for their destinations at AWS, with this process's credentials; or none. trellis logs needs none of these."`
		AuditLog    string      `name:"audit-log" default:"none" help:"File in which each call that changes something is recorded; - is standard output; or none."`
		Credentials string      `name:"credentials" placeholder:"FILE" help:"File of principals, roles and policies, to try policies with; keys that it does not know may do everything (default none)."`
		Chaos       Chaos       `embed:"" prefix:"chaos-"`
		AllowRemote bool        `name:"allow-remote" help:"Permit addresses beyond the loopback: whoever reaches the API may do anything, without credentials."`
		Functions   []Function  `name:"function" sep:"\n" placeholder:"NAME=COMMAND" help:"Run a Lambda function by a command, in this directory; may be given several times, as in orders='python3 -m awslambdaric app.handler'."`
		Load        string      `name:"load" placeholder:"FILE" help:"Start with a network from a file, as trellis export writes it (docs/commands.md)."`
		ReadyFile   string      `name:"ready-file" placeholder:"FILE" help:"Write all addresses to this file, as a line of JSON, once everything is ready."`
		Demo        bool        `name:"demo" help:"Also build a small sample network, and print the curl lines that show it."`
	} `cmd:"" help:"Run on this machine for development and tests; keep nothing."`

	Serve struct {
		Common
		PortMap      map[int]int    `name:"port-map" placeholder:"PORT=PORT,..." help:"Listener port to bound port, as in 80=8080; 0 is any free port."`
		DataDir      string         `name:"data-dir" default:"./trellis-data" help:"Directory of the embedded etcd and the first credentials."`
		DNSAddr      string         `name:"dns-addr" default:"none" help:"Address of the DNS server for the names of services, over UDP and TCP, as in 10.0.0.5:53, or none."`
		APIRate      float64        `name:"api-rate" default:"10000" help:"How many API calls an account may make in a second on average; 0 means any number."`
		AccessLogs   string         `name:"access-logs" help:"Where entries of access log subscriptions go: a directory (default DATA_DIR/access-logs); aws, for their destinations at AWS, with this process's credentials; or none."`
		AuditLog     string         `name:"audit-log" help:"File in which each call that changes something is recorded (default DATA_DIR/audit.log); - is standard output; or none."`
		Regions      []string       `name:"regions" placeholder:"REGION" help:"Regions that signatures may be for (default: that of --region alone)."`
		AllowTargets []netip.Prefix `name:"allow-targets" placeholder:"NETWORK" help:"Networks whose loopback and link-local addresses targets may have, as in 127.0.0.0/8,::1/128 (default none: this node would reach itself)."`
		Credentials  string         `name:"credentials" help:"File of principals and keys (default DATA_DIR/credentials). Created on first start with one administrator."`
	} `cmd:"" help:"Run an application network: durable, signatures checked."`

	NodeCommands

	Policy struct {
		Test PolicyTest `cmd:"" help:"Show whether policies allow a request, and why; or run cases."`
		Lint PolicyLint `cmd:"" help:"Warn of statements that can never match, or do not do what they seem to."`
	} `cmd:"" help:"Try auth policies without a server."`

	Logs Logs `cmd:"" help:"Show exchanges as they end, and what functions write."`

	DNS DNS `cmd:"" name:"dns" help:"Have this machine's resolvers find the names of a node."`

	Version struct{} `cmd:"" help:"Print the version."`

	Help struct {
		Command []string `arg:"" optional:"" help:"The command to explain."`
	} `cmd:"" help:"Show what a command does, and its flags."`
}

// versionFlag is --version. With it, the program only prints its version, whatever else is on the command line.
type versionFlag bool

// BeforeReset is called by the parser when the flag is set.
func (versionFlag) BeforeReset(asked *versionFlag) error {
	*asked = true
	return nil
}

// PolicyTest are the flags of `policy test`.
type PolicyTest struct {
	Policy         string   `name:"policy" env:"-" placeholder:"FILE" help:"The auth policy of the service."`
	NetworkPolicy  string   `name:"network-policy" env:"-" placeholder:"FILE" help:"The auth policy of the service network."`
	IdentityPolicy string   `name:"identity-policy" env:"-" placeholder:"FILE" help:"The caller's own policy (default: one that allows everything)."`
	Request        string   `name:"request" env:"-" placeholder:"FILE" help:"The request, as JSON."`
	JSON           bool     `name:"json" env:"-" help:"Print the whole explanation, as JSON."`
	Cases          []string `arg:"" optional:"" help:"Files and folders of cases to run instead."`
}

// Logs are the flags of `logs`.
type Logs struct {
	Admin    string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	Follow   bool   `name:"follow" short:"f" env:"-" help:"Go on until interrupted. This is always so."`
	Service  string `name:"service" env:"-" placeholder:"NAME" help:"Only those with this service: its name, id or ARN."`
	Function string `name:"function" env:"-" placeholder:"NAME" help:"Only what this function writes, and the exchanges with it."`
	Status   string `name:"status" env:"-" placeholder:"CODE" help:"Only those with this status, as in 502 or 5xx."`
	Failed   bool   `name:"failed" env:"-" help:"Only those that failed."`
	JSON     bool   `name:"json" env:"-" help:"Print whole entries, as lines of JSON."`
}

// PolicyLint are the arguments of `policy lint`.
type PolicyLint struct {
	Paths []string `arg:"" help:"Files and folders of policies."`
}

// Command is what the operator asks for.
type Command struct {
	// Name is the command's name without its arguments, as in dev or policy test.
	Name string
	// Configuration has the settings of dev and serve.
	Configuration Configuration
	// PolicyTest and PolicyLint have the settings of these commands.
	PolicyTest PolicyTest
	PolicyLint PolicyLint
	// Runner is the command itself, if it asks a running node.
	Runner command.Runner
	// Backup is the file that restore reads.
	Backup string
	// Logs has the settings of logs.
	Logs Logs
	// DNS has the settings of the commands below dns.
	DNS DNS
	// Warnings do not keep the program from running.
	Warnings []string
}

// UsageError says that the command line, the environment or the file cannot be used. It lists everything that is wrong.
type UsageError struct{ Problems error }

func (e *UsageError) Error() string { return e.Problems.Error() }
func (e *UsageError) Unwrap() error { return e.Problems }

// ErrHelp is returned when the operator asked for help and got it.
var ErrHelp = errors.New("help was printed")

// Parse reads the command line, the environment and the file. Help goes to out. Errors are *UsageError or ErrHelp.
func Parse(args []string, out io.Writer) (Command, error) {
	var line commandLine
	var helped bool
	var version versionFlag
	problems := &problems{}
	parser, err := kong.New(&line, append(problems.mappers(),
		kong.Name("trellis"),
		kong.DefaultEnvars(strings.TrimSuffix(variablePrefix, "_")),
		kong.Resolvers(&problems.file),
		kong.Writers(out, out),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}), // The list of commands fits a screen.
		kong.Exit(func(int) { helped = true }),
		kong.Bind(&version),
	)...)
	if err != nil {
		return Command{}, fmt.Errorf("declaring the command line: %w", err)
	}
	ctx, err := parser.Parse(args)
	switch {
	case helped:
		return Command{}, ErrHelp
	case bool(version):
		return Command{Name: "version"}, nil
	case err != nil:
		return Command{}, &UsageError{errors.Join(append(problems.all(nil), err)...)}
	}
	asked := Command{Name: strings.TrimPrefix(ctx.Selected().FullPath(), "trellis ")}
	if runner, ok := ctx.Selected().Target.Addr().Interface().(command.Runner); ok {
		asked.Runner = runner
		return asked, usage(problems.all(ctx))
	}
	if strings.HasPrefix(asked.Name, "dns ") {
		asked.DNS = line.DNS
		return asked, nil
	}
	switch asked.Name {
	case "policy test", "policy lint":
		asked.PolicyTest, asked.PolicyLint = line.Policy.Test, line.Policy.Lint
		return asked, nil
	case "restore":
		asked.Backup = line.Restore.File
		asked.Configuration = Configuration{DataDir: line.Restore.DataDir, Common: Common{Etcd: line.Restore.Etcd}}
		line.Restore.Etcd.check(problems.wrong)
		return asked, usage(problems.all(ctx))
	case "logs":
		asked.Logs = line.Logs
		return asked, nil
	case "help":
		return Command{}, help(parser.Model, line.Help.Command, out)
	case "version":
		return asked, nil
	case "dev":
		asked.Configuration = Configuration{
			Common: line.Dev.Common, PortMap: line.Dev.PortMap, Dev: true, Demo: line.Dev.Demo, AllowRemote: line.Dev.AllowRemote,
			DNSAddr: line.Dev.DNSAddr, APIRate: line.Dev.APIRate, AuditLog: line.Dev.AuditLog, AccessLogs: line.Dev.AccessLogs, Chaos: line.Dev.Chaos, Functions: line.Dev.Functions,
			Credentials: line.Dev.Credentials, Load: line.Dev.Load, ReadyFile: line.Dev.ReadyFile,
		}
	case "serve":
		asked.Configuration = Configuration{
			Common: line.Serve.Common, PortMap: line.Serve.PortMap, DataDir: line.Serve.DataDir, Credentials: line.Serve.Credentials,
			DNSAddr: line.Serve.DNSAddr, APIRate: line.Serve.APIRate, AuditLog: line.Serve.AuditLog, AccessLogs: line.Serve.AccessLogs, Regions: line.Serve.Regions, AllowTargets: line.Serve.AllowTargets,
		}
		if len(asked.Configuration.Regions) == 0 {
			asked.Configuration.Regions = []string{line.Serve.Region}
		}
		if asked.Configuration.Credentials == "" {
			asked.Configuration.Credentials = filepath.Join(line.Serve.DataDir, "credentials")
		}
		if asked.Configuration.CADir == "" {
			asked.Configuration.CADir = line.Serve.DataDir
		}
		if asked.Configuration.AccessLogs == "" {
			asked.Configuration.AccessLogs = filepath.Join(line.Serve.DataDir, "access-logs")
		}
		if asked.Configuration.AuditLog == "" {
			asked.Configuration.AuditLog = filepath.Join(line.Serve.DataDir, "audit.log")
		}
	}
	asked.Configuration.check(problems.wrong)
	if err := usage(problems.all(ctx)); err != nil {
		return Command{}, err
	}
	asked.Warnings = append(unknownVariables(parser.Model, os.Environ()), asked.Configuration.Etcd.warnings()...)
	return asked, nil
}

// usage returns a *UsageError of what is wrong, or nil.
func usage(problems []error) error {
	if err := errors.Join(problems...); err != nil {
		return &UsageError{err}
	}
	return nil
}

// help shows what a command does, or what the program does when none is named.
func help(app *kong.Application, command []string, out io.Writer) error {
	at := app.Node
	for _, word := range command {
		var names []string
		var next *kong.Node
		for _, known := range at.Children {
			names = append(names, known.Name)
			if known.Name == word {
				next = known
			}
		}
		if next == nil {
			return &UsageError{fmt.Errorf("there is no command %q; the commands are %s", word, strings.Join(names, ", "))}
		}
		at = next
	}
	_, err := Parse(append(slices.Clone(command), "--help"), out)
	return err
}
