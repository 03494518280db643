package function

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"trellis/internal/inventory"
)

// state is what a process does:
//
//	starting -> idle    it has asked for its first event
//	starting -> busy    and got it at once
//	idle     <-> busy   busy is from an event until the process asks for the next one
//	any      -> ending  it is being killed
type state int

const (
	starting state = iota
	idle
	busy
	ending
)

// String is the state as reports have it.
func (s state) String() string { return [...]string{"starting", "warm", "busy", "ending"}[s] }

// process is a program that handles events, one at a time.
type process struct {
	pool       *pool
	function   inventory.Function
	generation int
	name       string // its log stream, named as at AWS
	output     *output
	next       chan *invocation // has room for the one event that is given while the process is idle
	kill       context.CancelFunc
	killed     context.Context

	// The fields below are guarded by the pool's mu.
	pid     int
	state   state
	since   time.Time
	current *invocation
	asked   bool        // for an event, at least once
	late    bool        // it was killed because its time was over
	problem string      // why it cannot start, as the program says
	timer   *time.Timer // for starting, for the event, or for asking for the next one
}

// newProcess returns a process that run starts. The pool's mu is held.
func newProcess(p *pool) *process {
	process := &process{
		pool:       p,
		function:   p.declared,
		generation: p.generation,
		name:       newToken(),
		next:       make(chan *invocation, 1),
		since:      time.Now(),
	}
	process.output = newOutput(p.log, p.show)
	process.killed, process.kill = context.WithCancel(p.functions.ending)
	process.timer = time.AfterFunc(process.startLimit(), func() { p.expired(process) })
	return process
}

// startLimit is how long a process may take until it asks for its first event.
func (p *process) startLimit() time.Duration {
	return max(p.pool.functions.cfg.StartTimeout, p.function.Timeout)
}

// end has the process killed. The pool's mu is held.
func (p *process) end() {
	p.state, p.since = ending, time.Now()
	p.kill()
}

// wanted reports whether the process should still run: then its end is unexpected. The pool's mu is held.
func (p *process) wanted() bool { return p.killed.Err() == nil || p.late }

// take assigns an event to the process. The pool's mu is held.
func (p *process) take(inv *invocation) {
	p.state, p.since, p.current = busy, time.Now(), inv
	inv.timeout = p.function.Timeout
	inv.deadline = p.since.Add(inv.timeout)
	p.timer.Reset(inv.timeout)
}

// give sends an event to a process that is idle. The pool's mu is held.
func (p *process) give(inv *invocation) {
	p.take(inv)
	p.next <- inv
}

// awaitNext bounds the time until the process asks for its next event. The pool's mu is held.
func (p *process) awaitNext() { p.timer.Reset(p.function.Timeout) }

// run starts the program and serves the Runtime API to it. It waits for the end of the program and of all processes that it
// has started.
func (p *process) run() {
	defer p.kill()
	reason := p.serve()
	p.pool.mu.Lock()
	reason = cmp.Or(p.problem, reason)
	p.pool.mu.Unlock()
	p.pool.ended(p, reason, p.output.lastLines())
}

// serve returns why the process ended.
func (p *process) serve() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "opening a port for its Runtime API: " + err.Error()
	}
	server := &http.Server{
		Handler:           p.runtimeAPI(),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // Serve returns when the server is closed.
	}()
	defer func() {
		_ = server.Close()
		<-served
	}()

	write, err := p.output.open()
	if err != nil {
		return "making a pipe for its output: " + err.Error()
	}
	cmd := exec.Command(p.function.Command[0], p.function.Command[1:]...)
	cmd.Dir = p.function.Directory
	cmd.Env = p.environment(listener.Addr().String())
	cmd.Stdout, cmd.Stderr = write, write
	err = p.pool.functions.starter.start(cmd)
	_ = write.Close()
	if err != nil {
		p.output.close()
		return err.Error()
	}
	p.pool.mu.Lock()
	p.pid = cmd.Process.Pid
	p.pool.mu.Unlock()
	signalled := make(chan struct{})
	stop := context.AfterFunc(p.killed, func() {
		defer close(signalled)
		killGroup(cmd.Process.Pid)
	})
	waitFor(cmd, func() {
		if !stop() {
			<-signalled
		}
		killGroup(cmd.Process.Pid)
		killMarked(p.mark())
		p.output.close()
	})
	p.pool.functions.starter.forget(cmd.Process.Pid)
	return cmd.ProcessState.String()
}

// markVariable has a different value for each process. It identifies a process's children, even in other process groups.
const markVariable = "_TRELLIS_PROCESS"

func (p *process) mark() string { return markVariable + "=" + p.pool.functions.name + "." + p.name }

// environment returns the variables that the program is started with. Later ones win.
func (p *process) environment(runtimeAPI string) []string {
	f := p.function
	env := append(os.Environ(), "TZ=UTC")
	for name, value := range p.pool.functions.cfg.Environment {
		env = append(env, name+"="+value)
	}
	for name, value := range f.Environment {
		env = append(env, name+"="+value)
	}
	return append(env,
		p.mark(),
		"AWS_LAMBDA_RUNTIME_API="+runtimeAPI,
		"_HANDLER="+f.Handler,
		"AWS_LAMBDA_FUNCTION_NAME="+f.Name(),
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		fmt.Sprintf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+f.Name(),
		"AWS_LAMBDA_LOG_STREAM_NAME="+p.logStream(),
		"AWS_REGION="+f.Region(),
		"AWS_DEFAULT_REGION="+f.Region(),
		"LAMBDA_TASK_ROOT="+f.Directory,
	)
}

// logStream is a name of the form that AWS gives to the log stream of a process.
func (p *process) logStream() string {
	return time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + p.name
}
