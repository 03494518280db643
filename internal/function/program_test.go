package function_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"trellis/internal/function"
)

// programVariable tells the test's own program to be a function.
const programVariable = "TEST_FUNCTION"

func TestMain(m *testing.M) {
	if function.Keep() {
		return
	}
	switch os.Getenv(programVariable) {
	case "":
		os.Exit(m.Run())
	case "host":
		host()
	case "function":
		lambda.Start(handle)
	case "init":
		fmt.Println("looking for the module")
		body := strings.NewReader(`{"errorType":"Runtime.ImportModuleError","errorMessage":"no module named app"}`)
		r, err := http.Post("http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/init/error", "application/json", body)
		if err != nil || r.StatusCode != http.StatusAccepted {
			panic(fmt.Sprint(r, err))
		}
		os.Exit(1)
	case "now and then": // It starts when the file says so.
		if b, _ := os.ReadFile("works"); strings.TrimSpace(string(b)) != "yes" {
			fmt.Println("works does not say yes")
			os.Exit(1)
		}
		lambda.Start(handle)
	case "stuck":
		select {}
	}
}

// task is the event of the test's function.
type task struct {
	Do   string
	Text string
	N    int
}

// result is what it answers.
type result struct {
	PID         int
	Text        string
	Overlap     bool
	Environment map[string]string
	RequestID   string
	ARN         string
	Left        time.Duration
	Children    []int
}

var running atomic.Int32

func handle(ctx context.Context, t task) (any, error) {
	r := result{PID: os.Getpid(), Overlap: running.Add(1) > 1}
	defer running.Add(-1)
	switch t.Do {
	case "describe":
		r.Environment = map[string]string{}
		for _, variable := range os.Environ() {
			name, value, _ := strings.Cut(variable, "=")
			r.Environment[name] = value
		}
		if called, ok := lambdacontext.FromContext(ctx); ok {
			r.RequestID, r.ARN = called.AwsRequestID, called.InvokedFunctionArn
		}
		if deadline, ok := ctx.Deadline(); ok {
			r.Left = time.Until(deadline)
		}
	case "read":
		b, err := os.ReadFile(t.Text)
		r.Text = string(b)
		return r, err
	case "wait": // until there is a file
		for range 6000 {
			if _, err := os.Stat(t.Text); err == nil {
				return r, nil
			}
			time.Sleep(10 * time.Millisecond) // Sleeps: a program cannot be told otherwise than by a file.
		}
	case "pause":
		time.Sleep(time.Duration(t.N) * time.Millisecond) // Sleeps: the function takes its time.
	case "print":
		for range t.N {
			fmt.Println(t.Text)
		}
	case "write":
		_, _ = io.WriteString(os.Stderr, strings.Repeat("x", t.N))
	case "fail":
		return nil, errors.New(t.Text)
	case "end":
		fmt.Println("giving up")
		os.Exit(7)
	case "large":
		r.Text = strings.Repeat("x", t.N)
	case "stream":
		return strings.NewReader(t.Text), nil
	case "fork", "hang":
		r.Children = []int{child(false), child(true)}
		if t.Do == "hang" {
			b, _ := json.Marshal(r)
			fmt.Println(string(b))
			select {}
		}
	}
	return r, nil
}

// child starts a process that goes on for long, in a session of its own if it is to leave the process group.
func child(leaves bool) int {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: leaves}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd.Process.Pid
}

// host runs functions until it is killed. It prints the processes that an event left.
func host() {
	f, _ := newFunctions(io.Discard, function.Config{}, program("function", os.TempDir()))
	response, err := f.Invoke(context.Background(), function.Invocation{ARN: ordersARN, Event: []byte(`{"Do":"fork"}`)})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(response.Payload))
	select {}
}

// readResult reads the line that a host prints.
func readResult(t *testing.T, from io.Reader) (r result) {
	t.Helper()
	line, err := bufio.NewReader(from).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// isRunning reports whether a process exists and is not a zombie.
func isRunning(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
