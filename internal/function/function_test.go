package function_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trellis/internal/function"
	"trellis/internal/inventory"
	"trellis/test/trellistest"
)

const ordersARN = "arn:aws:lambda:us-west-2:123456789012:function:orders"

// testTimeout only keeps a test from hanging.
const testTimeout = 2 * time.Minute

// program is the test's own program as a function.
func program(role, directory string) inventory.Function {
	return inventory.Function{
		ARN:         ordersARN,
		Command:     []string{os.Args[0]},
		Directory:   directory,
		Environment: map[string]string{programVariable: role},
		Handler:     "orders",
		Timeout:     testTimeout,
		MemoryMB:    256,
		Concurrency: 4,
		Watch:       []string{directory},
	}
}

// newFunctions declares one function. What was declared last is what is looked up.
func newFunctions(log io.Writer, cfg function.Config, declared inventory.Function) (*function.Functions, func(inventory.Function)) {
	var mu sync.Mutex
	current := declared
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	cfg.Lookup = func(arn string) (inventory.Function, bool) {
		mu.Lock()
		defer mu.Unlock()
		return current, strings.HasPrefix(arn, current.ARN)
	}
	f := function.New(cfg)
	declare := func(next inventory.Function) {
		mu.Lock()
		current = next
		mu.Unlock()
		f.Declare([]inventory.Function{next})
	}
	declare(declared)
	return f, declare
}

// world is a function and what it logs.
type world struct {
	t *testing.T
	*function.Functions
	declare func(inventory.Function)
	log     *trellistest.Text
}

func run(t *testing.T, cfg function.Config, declared inventory.Function) *world {
	w := &world{t: t, log: &trellistest.Text{}}
	// A busy machine may take longer than an operator would wait.
	cfg.StartTimeout, cfg.MaxWait = cmp.Or(cfg.StartTimeout, testTimeout), cmp.Or(cfg.MaxWait, testTimeout)
	w.Functions, w.declare = newFunctions(w.log, cfg, declared)
	t.Cleanup(func() {
		w.Close()
		if t.Failed() {
			t.Logf("the log:\n%s", shortened(w.log.String()))
		}
	})
	return w
}

func shortened(s string) string { return s[:min(len(s), 20000)] }

func (w *world) try(t task) (result, error) {
	event, err := json.Marshal(t)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := w.Invoke(w.t.Context(), function.Invocation{ARN: ordersARN, Event: event})
	if err != nil {
		return result{}, err
	}
	var r result
	if err := json.Unmarshal(response.Payload, &r); err != nil {
		return result{}, fmt.Errorf("%w: %s", err, response.Payload)
	}
	return r, nil
}

func (w *world) do(t task) result {
	w.t.Helper()
	r, err := w.try(t)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestFunctionFindsWhatItsRuntimeExpects(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Environment["COLOUR"] = "blue"
	w := run(t, function.Config{Environment: map[string]string{"AWS_ENDPOINT_URL_VPC_LATTICE": "http://127.0.0.1:7600"}}, declared)
	response, err := w.Invoke(t.Context(), function.Invocation{
		ARN: ordersARN + ":live", Event: []byte(`{"Do":"describe"}`),
		RequestID: "01234567-89ab-cdef-0123-456789abcdef", TraceID: "Root=1-5759e988-bd862e3fe1be46a994272793",
	})
	if err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(response.Payload, &r); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"COLOUR": "blue", "PATH": os.Getenv("PATH"), "TZ": "UTC", "_HANDLER": "orders",
		"AWS_LAMBDA_FUNCTION_NAME": "orders", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders", "AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-west-2",
		"LAMBDA_TASK_ROOT": declared.Directory, "AWS_ENDPOINT_URL_VPC_LATTICE": "http://127.0.0.1:7600",
		"_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793",
	} {
		if r.Environment[name] != want {
			t.Errorf("%s is %q, not %q", name, r.Environment[name], want)
		}
	}
	if name := r.Environment["AWS_LAMBDA_LOG_STREAM_NAME"]; !strings.Contains(name, "/[$LATEST]") {
		t.Errorf("the log stream is %q", name)
	}
	if r.RequestID != "01234567-89ab-cdef-0123-456789abcdef" || r.ARN != ordersARN+":live" || r.Left <= 0 || r.Left > testTimeout {
		t.Errorf("the event came with %+v", r)
	}
}

func TestProcessesStayWarm(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Concurrency = 1
	w := run(t, function.Config{}, declared)
	first := w.do(task{}).PID
	for range 20 {
		if again := w.do(task{}).PID; again != first {
			t.Fatalf("process %d, then %d", first, again)
		}
	}
}

// counts invokes a function many times at once.
func (w *world) counts(n int, t task) (pids map[int]int, throttled int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	pids = map[int]int{}
	for range n {
		all.Go(func() {
			r, err := w.try(t)
			mu.Lock()
			defer mu.Unlock()
			late, isThrottled := errors.AsType[*function.ThrottledError](err)
			switch {
			case isThrottled && late.Concurrency == 4:
				throttled++
			case err != nil:
				w.t.Error(err)
			case r.Overlap:
				w.t.Errorf("process %d had two events at once", r.PID)
			default:
				pids[r.PID]++
			}
		})
	}
	all.Wait()
	return pids, throttled
}

func sum(counts map[int]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func TestThousandConcurrentEventsShareFourProcesses(t *testing.T) {
	w := run(t, function.Config{MaxWait: testTimeout}, program("function", t.TempDir()))
	// There are as many processes as events at once, up to four.
	over := filepath.Join(t.TempDir(), "over")
	var busy sync.WaitGroup
	busy.Go(func() {
		if pids, throttled := w.counts(8, task{Do: "wait", Text: over}); len(pids) != 4 || sum(pids) != 8 || throttled != 0 {
			t.Errorf("%d processes answered %d events that took long, and %d were throttled", len(pids), sum(pids), throttled)
		}
	})
	trellistest.Await(t, func() bool {
		report, _ := w.Report(ordersARN)
		return report.Waiting == 4 && !slices.ContainsFunc(report.Processes, func(p function.ProcessReport) bool { return p.State != "busy" })
	}, "all processes are busy, and four events wait")
	write(t, over, "")
	busy.Wait()
	pids, throttled := w.counts(1000, task{Do: "pause", N: 1})
	if len(pids) > 4 || sum(pids) != 1000 || throttled != 0 {
		t.Errorf("%d processes answered %d events, and %d were throttled", len(pids), sum(pids), throttled)
	}
}

func TestEventsBeyondWhatMayWaitAreThrottledAtOnce(t *testing.T) {
	w := run(t, function.Config{MaxWait: testTimeout, MaxWaiting: 100}, program("function", t.TempDir()))
	pids, throttled := w.counts(1000, task{Do: "pause", N: 20})
	if sum(pids)+throttled != 1000 || throttled == 0 || sum(pids) < 100 {
		t.Errorf("%d events were answered and %d throttled", sum(pids), throttled)
	}
}

func TestEventWaitsForABusyProcessForALimitedTime(t *testing.T) {
	directory := t.TempDir()
	declared := program("function", directory)
	declared.Concurrency, declared.Watch = 1, []string{}
	w := run(t, function.Config{MaxWait: 20 * time.Millisecond}, declared)
	w.do(task{})
	over := filepath.Join(directory, "over")
	busy := make(chan error)
	go func() {
		_, err := w.try(task{Do: "wait", Text: over})
		busy <- err
	}()
	trellistest.Await(t, w.isBusy, "the process is busy")
	_, err := w.try(task{})
	if late, ok := errors.AsType[*function.ThrottledError](err); !ok || late.Concurrency != 1 {
		t.Errorf("the second event got the error %v", err)
	}
	write(t, over, "")
	if err := <-busy; err != nil {
		t.Error(err)
	}
	if report, ok := w.Report(ordersARN); !ok || report.LastError == nil || !strings.Contains(report.LastError.Text, "throttled") {
		t.Errorf("the report is %+v", report)
	}
}

// isBusy reports whether a process has an event.
func (w *world) isBusy() bool {
	report, _ := w.Report(ordersARN)
	return slices.ContainsFunc(report.Processes, func(p function.ProcessReport) bool { return p.RequestID != "" })
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLateProcessIsKilledWithItsChildren(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Timeout, declared.Concurrency = 5*time.Second, 1
	w := run(t, function.Config{}, declared)
	first := w.do(task{}).PID
	_, err := w.try(task{Do: "hang"})
	if late, ok := errors.AsType[*function.TimeoutError](err); !ok || late.Timeout != 5*time.Second {
		t.Fatalf("the error is %v", err)
	}
	var said result
	for line := range strings.SplitSeq(w.log.String(), "\n") {
		if _, text, ok := strings.Cut(line, `msg="{`); ok {
			text, _, _ = strings.Cut(text, `}"`)
			if err := json.Unmarshal([]byte(strings.ReplaceAll("{"+text+"}", `\"`, `"`)), &said); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(said.Children) != 2 || said.PID != first {
		t.Fatalf("the function wrote %+v", said)
	}
	for _, pid := range append(said.Children, first) {
		if isRunning(pid) {
			t.Errorf("process %d goes on", pid)
		}
	}
	if again := w.do(task{}).PID; again == first {
		t.Error("the next event got the same process")
	}
}

func TestChildrenThatAFunctionLeavesEndWithItsProcess(t *testing.T) {
	w := run(t, function.Config{IdleTimeout: 100 * time.Millisecond}, program("function", t.TempDir()))
	r := w.do(task{Do: "fork"})
	trellistest.Await(t, func() bool {
		return !isRunning(r.PID) && !isRunning(r.Children[0]) && !isRunning(r.Children[1])
	}, "process and children have ended")
}

func TestProcessesEndWithThisProcess(t *testing.T) {
	for _, kill := range []bool{false, true} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), programVariable+"=host")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := readResult(t, out)
		if kill {
			_ = cmd.Process.Kill()
		} else {
			_ = cmd.Process.Signal(os.Interrupt) // it does not expect this signal
		}
		_ = cmd.Wait()
		if len(r.Children) != 2 {
			t.Fatalf("the function answered %+v", r)
		}
		trellistest.Await(t, func() bool {
			return !isRunning(r.PID) && !isRunning(r.Children[0]) && !isRunning(r.Children[1])
		}, "nothing of the function is left")
	}
}

func TestIdleProcessesEnd(t *testing.T) {
	w := run(t, function.Config{IdleTimeout: 50 * time.Millisecond}, program("function", t.TempDir()))
	pid := w.do(task{}).PID
	trellistest.Await(t, func() bool { report, _ := w.Report(ordersARN); return len(report.Processes) == 0 }, "there is no process")
	if isRunning(pid) {
		t.Errorf("process %d goes on", pid)
	}
	if again := w.do(task{}).PID; again == pid {
		t.Error("the next event got the same process")
	}
}

func TestChangedFileReloadsOnce(t *testing.T) {
	directory := t.TempDir()
	// Long enough for a busy machine to write all changes.
	declared := program("function", directory)
	declared.Concurrency = 1 // so that another process means a reload
	w := run(t, function.Config{SettleTime: time.Second}, declared)
	first := w.do(task{}).PID
	over := filepath.Join(t.TempDir(), "over")
	old := make(chan result, 1)
	go func() {
		r, err := w.try(task{Do: "wait", Text: over})
		if err != nil {
			t.Error(err)
		}
		old <- r
	}()
	trellistest.Await(t, w.isBusy, "the process is busy")
	for i := range 20 { // As an editor or a compiler does it.
		write(t, filepath.Join(directory, fmt.Sprintf("module-%d.py", i)), "changed")
	}
	trellistest.Await(t, func() bool { return w.do(task{}).PID != first }, "a new process answers")
	write(t, over, "")
	if r := <-old; r.PID != first {
		t.Errorf("the event under way was answered by process %d, not %d", r.PID, first)
	}
	trellistest.Await(t, func() bool { return !isRunning(first) }, "the old process has ended")
	if n := strings.Count(w.log.String(), "the function is reloaded"); n != 1 {
		t.Errorf("there were %d reloads", n)
	}
	// Files that the program itself leaves behind do not count as changes.
	if err := os.Mkdir(filepath.Join(directory, "__pycache__"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(directory, "__pycache__", "app.pyc"), "compiled")
	second := w.do(task{}).PID
	// The next change is noticed after the ones before.
	if err := os.Mkdir(filepath.Join(directory, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	trellistest.Await(t, func() bool { return w.do(task{}).PID != second }, "a new directory is noticed")
	third := w.do(task{}).PID
	write(t, filepath.Join(directory, "new", "deep.py"), "changed")
	trellistest.Await(t, func() bool { return w.do(task{}).PID != third }, "a file in it is noticed")
	if n := strings.Count(w.log.String(), "the function is reloaded"); n != 3 {
		t.Errorf("there were %d reloads", n)
	}
}

func TestChangedEntryReloads(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Concurrency = 1
	w := run(t, function.Config{}, declared)
	first := w.do(task{}).PID
	w.declare(declared)
	if again := w.do(task{}).PID; again != first {
		t.Error("the same entry has reloaded the function")
	}
	declared.Environment = map[string]string{programVariable: "function", "COLOUR": "red"}
	w.declare(declared)
	if r := w.do(task{Do: "describe"}); r.PID == first || r.Environment["COLOUR"] != "red" {
		t.Errorf("the response is of process %d, where COLOUR is %q", r.PID, r.Environment["COLOUR"])
	}
}

func TestProgramThatCannotStartIsReportedOnceAndTriedAgainAfterAChange(t *testing.T) {
	directory := t.TempDir()
	w := run(t, function.Config{}, program("now and then", directory))
	for range 3 {
		_, err := w.try(task{})
		broken, ok := errors.AsType[*function.StartError](err)
		if !ok || !strings.Contains(err.Error(), "exit status 1") || len(broken.LastLines) != 1 || broken.LastLines[0] != "works does not say yes" {
			t.Fatalf("the error is %v", err)
		}
	}
	if n := strings.Count(w.log.String(), "the function cannot start"); n != 1 {
		t.Errorf("it was reported %d times", n)
	}
	if problem := w.Problem(ordersARN); problem == nil || !strings.Contains(problem.Error(), "works does not say yes") {
		t.Errorf("the problem is %v", problem)
	}
	write(t, filepath.Join(directory, "works"), "yes")
	trellistest.Await(t, func() bool { _, err := w.try(task{}); return err == nil }, "it starts")
	if problem := w.Problem(ordersARN); problem != nil {
		t.Errorf("the problem is %v", problem)
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Command = []string{"./missing"}
	w := run(t, function.Config{}, declared)
	_, err := w.try(task{})
	if _, ok := errors.AsType[*function.StartError](err); !ok || !strings.Contains(err.Error(), "./missing") {
		t.Errorf("the error is %v", err)
	}
}

func TestInitializationErrorSaysWhyAProgramCannotStart(t *testing.T) {
	w := run(t, function.Config{}, program("init", t.TempDir()))
	_, err := w.try(task{})
	broken, ok := errors.AsType[*function.StartError](err)
	if !ok || broken.Reason != "Runtime.ImportModuleError: no module named app" || len(broken.LastLines) != 1 {
		t.Errorf("the error is %v", err)
	}
}

func TestProgramThatNeverAsksForAnEventCannotStart(t *testing.T) {
	declared := program("stuck", t.TempDir())
	declared.Timeout = 50 * time.Millisecond
	w := run(t, function.Config{StartTimeout: 100 * time.Millisecond}, declared)
	_, err := w.try(task{})
	if _, ok := errors.AsType[*function.StartError](err); !ok || !strings.Contains(err.Error(), "did not ask for an event within 100ms") {
		t.Errorf("the error is %v", err)
	}
}

func TestProcessThatEndsInTheMiddleOfAnEventFailsThatEventOnly(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Concurrency = 1
	w := run(t, function.Config{}, declared)
	first := w.do(task{}).PID
	_, err := w.try(task{Do: "end"})
	if ended, ok := errors.AsType[*function.EndedError](err); !ok || ended.Reason != "exit status 7" || ended.LastLines[0] != "giving up" {
		t.Errorf("the error is %v", err)
	}
	second := w.do(task{}).PID
	if second == first {
		t.Error("the process goes on")
	}
	killed := make(chan error, 1)
	go func() {
		_, err := w.try(task{Do: "wait", Text: "nothing makes this file"})
		killed <- err
	}()
	trellistest.Await(t, w.isBusy, "the process is busy")
	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err = <-killed
	if ended, ok := errors.AsType[*function.EndedError](err); !ok || ended.Reason != "signal: killed" {
		t.Errorf("the error after a kill is %v", err)
	}
	if again := w.do(task{}).PID; again == second {
		t.Error("the killed process goes on")
	}
}

func TestErrorOfAFunctionIsPassedOn(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Concurrency = 1
	w := run(t, function.Config{}, declared)
	first := w.do(task{}).PID
	_, err := w.try(task{Do: "fail", Text: "out of stock"})
	if failed, ok := errors.AsType[*function.HandlerError](err); !ok || failed.Type != "errorString" || failed.Message != "out of stock" {
		t.Errorf("the error is %v", err)
	}
	if again := w.do(task{}).PID; again != first {
		t.Error("the error has cost the process")
	}
}

func TestTenMegabytesOfOutputAreLoggedInBoundedLinesOfTheirEvent(t *testing.T) {
	w := run(t, function.Config{}, program("function", t.TempDir()))
	id := "00000000-0000-0000-0000-000000000001"
	const line = "a line of output of which there are many, many, many and then some more"
	event, _ := json.Marshal(task{Do: "print", Text: line, N: 10 << 20 / len(line)})
	if _, err := w.Invoke(t.Context(), function.Invocation{ARN: ordersARN, Event: event, RequestID: id}); err != nil {
		t.Fatal(err)
	}
	// All of it is there as soon as the event has been answered.
	if n := strings.Count(w.log.String(), `msg="`+line+`" function=orders requestId=`+id+"\n"); n != 10<<20/len(line) {
		t.Errorf("%d lines are logged, of %d", n, 10<<20/len(line))
	}
	before := len(w.log.String())
	w.do(task{Do: "write", N: 10 << 20})
	logged := w.log.String()[before:]
	if n := strings.Count(logged, "x"); n < 10<<20 {
		t.Errorf("%d bytes are logged", n)
	}
	for line := range strings.SplitSeq(logged, "\n") {
		if len(line) > 9<<10 {
			t.Fatalf("a line has %d bytes", len(line))
		}
	}
}

func TestOutputBelongsToTheEventThatWroteIt(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Concurrency = 1
	w := run(t, function.Config{}, declared)
	for i := range 50 {
		id := fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
		event, _ := json.Marshal(task{Do: "print", Text: fmt.Sprintf("line-%d-", i), N: 3})
		if _, err := w.Invoke(t.Context(), function.Invocation{ARN: ordersARN, Event: event, RequestID: id}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(w.log.String(), fmt.Sprintf("msg=line-%d- function=orders requestId=%s\n", i, id)); n != 3 {
			t.Fatalf("%d lines of the event %d are logged", n, i)
		}
	}
}

func TestStreamedResponseIsTakenWhole(t *testing.T) {
	w := run(t, function.Config{}, program("function", t.TempDir()))
	event, _ := json.Marshal(task{Do: "stream", Text: strings.Repeat("piece by piece ", 50000)})
	response, err := w.Invoke(t.Context(), function.Invocation{ARN: ordersARN, Event: event})
	if err != nil || !strings.HasPrefix(string(response.Payload), "piece by piece ") || len(response.Payload) != 750000 {
		t.Errorf("the response has %d bytes, error %v", len(response.Payload), err)
	}
}

func TestResponseThatIsTooLargeFailsItsEvent(t *testing.T) {
	w := run(t, function.Config{}, program("function", t.TempDir()))
	_, err := w.try(task{Do: "large", N: function.MaxPayload})
	if large, ok := errors.AsType[*function.TooLargeError](err); !ok || large.What != "response" {
		t.Errorf("the error is %v", err)
	}
	w.do(task{Do: "large", N: function.MaxPayload - 1000})
}

func TestEventFinishesAlthoughItsClientHasGone(t *testing.T) {
	declared := program("function", t.TempDir())
	declared.Concurrency = 1
	w := run(t, function.Config{}, declared)
	first := w.do(task{}).PID
	over := filepath.Join(t.TempDir(), "over")
	ctx, leave := context.WithCancel(t.Context())
	event, _ := json.Marshal(task{Do: "wait", Text: over})
	gone := make(chan error)
	go func() {
		_, err := w.Invoke(ctx, function.Invocation{ARN: ordersARN, Event: event})
		gone <- err
	}()
	trellistest.Await(t, w.isBusy, "the process is busy")
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if !w.isBusy() {
		t.Error("the process has lost its event")
	}
	write(t, over, "")
	if again := w.do(task{}).PID; again != first {
		t.Error("the event has cost the process")
	}
}

func TestRetiringLetsEventsFinishAndEndsAllProcesses(t *testing.T) {
	w := run(t, function.Config{}, program("function", t.TempDir()))
	over := filepath.Join(t.TempDir(), "over")
	under := make(chan error)
	go func() {
		_, err := w.try(task{Do: "wait", Text: over})
		under <- err
	}()
	trellistest.Await(t, w.isBusy, "the process is busy")
	w.Retire()
	late := w.do(task{}).PID // On a connection that is still open.
	trellistest.Await(t, func() bool { return !isRunning(late) }, "the second process has ended")
	write(t, over, "")
	if err := <-under; err != nil {
		t.Error(err)
	}
	trellistest.Await(t, func() bool { report, _ := w.Report(ordersARN); return len(report.Processes) == 0 }, "there is no process")
}

func TestUnknownFunctionIsNotInvoked(t *testing.T) {
	w := run(t, function.Config{}, program("function", t.TempDir()))
	arn := "arn:aws:lambda:us-west-2:123456789012:function:carts"
	_, err := w.Invoke(t.Context(), function.Invocation{ARN: arn, Event: []byte("{}")})
	if unknown, ok := errors.AsType[*function.UnknownError](err); !ok || unknown.ARN != arn {
		t.Errorf("the error is %v", err)
	}
	if _, ok := errors.AsType[*function.UnknownError](w.Problem(arn)); !ok {
		t.Errorf("the problem is %v", w.Problem(arn))
	}
}
