package stories_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Faults is a process of its own in which targets and clients misbehave.
type Faults struct {
	target *faultyTarget
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex // mu guards the field below.
	report FaultReport
}

// elsewhere connects as from another machine.
var elsewhere = net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
	return asElsewhere(raw, syscall.SO_RCVBUF)
}}

// listenElsewhere listens as on another machine.
var listenElsewhere = net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
	return asElsewhere(raw, syscall.SO_SNDBUF)
}}

// asElsewhere makes a socket behave as if its peer were on another machine. On the loopback a segment can have 64 KB, and
// so the kernel takes 2.6 MB of a response for a client that reads nothing, at once; over a network it is a twentieth of
// that. And what it keeps of it would be the other machine's memory: here all sockets share a limit, at which the kernel
// drops what anybody receives.
func asElsewhere(raw syscall.RawConn, buffer int) error {
	const ofEthernet, bufferBytes = 1460, 32 << 10
	var segments, buffers error
	err := raw.Control(func(fd uintptr) {
		segments = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, ofEthernet)
		buffers = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, buffer, bufferBytes)
	})
	return errors.Join(err, segments, buffers)
}

// FaultArgs says who misbehaves, and how.
type FaultArgs struct {
	TargetFault, ClientFault string // one of the names, or neither
	Refused                  bool   // the target is the one that nobody listens for
	Clients                  int
	Host                     string
	Port                     int
	Duration                 time.Duration
}

// FaultReport is the result: how many clients or requests met the fault, and what was not as it should be.
type FaultReport struct {
	Began    int
	Problems []string
}

// Open starts the target and reports its port.
func (f *Faults) Open(_ struct{}, port *int32) (err error) {
	if f.target, err = startFaultyTarget(); err == nil {
		*port = f.target.port
	}
	return err
}

// Begin starts a fault, which lasts until End.
func (f *Faults) Begin(args FaultArgs, _ *struct{}) error {
	f.report = FaultReport{}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	for _, fault := range targetFaults() {
		if fault.name == args.TargetFault {
			if fault.behave != nil {
				f.target.behave(fault.behave)
			}
			for range 16 {
				f.done.Go(func() { f.hit(ctx, args, fault) })
			}
		}
	}
	for _, fault := range clientFaults() {
		if fault.name == args.ClientFault {
			f.target.behave(answer)
			if fault.target != nil {
				f.target.behave(fault.target)
			}
			for range args.Clients {
				f.done.Go(func() { f.misbehave(ctx, args, fault) })
			}
		}
	}
	return nil
}

// End ends the fault.
func (f *Faults) End(_ struct{}, report *FaultReport) error {
	f.stop()
	f.done.Wait()
	f.target.behave(answer)
	*report = f.report
	return nil
}

func (f *Faults) note(began int, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.report.Began += began
	if problem != "" && len(f.report.Problems) < 10 {
		f.report.Problems = append(f.report.Problems, problem)
	}
}

// hit sends requests to the target, and compares the results with the expected ones.
func (f *Faults) hit(ctx context.Context, args FaultArgs, fault targetFault) {
	for first := true; first || ctx.Err() == nil; first = false {
		if seen := see(args, fault.expected); seen != fault.expected && seen != fault.or {
			f.note(0, fmt.Sprintf("the client sees %s; expected is %s", seen, fault.expected))
			return
		}
		f.note(1, "")
		time.Sleep(20 * time.Millisecond) // Sleeps: a client's pace. The fault is to be seen in the times, not the load.
	}
}

// The results of see, besides a status.
const (
	nothing    = "nothing"
	partOfBody = "200 and a part of the body"
	brokenBody = "200 and a broken body"
)

// giveUpAfter is when a client gives up that should not see more.
const giveUpAfter = 300 * time.Millisecond

// see makes a request on a new connection and returns one word for its result.
func see(args FaultArgs, expected string) string {
	conn, err := elsewhere.Dial("tcp", local(args.Port))
	if err != nil {
		return "no connection: " + err.Error()
	}
	defer conn.Close()
	waits := func(word string) {
		limit := exchangeLimit
		if word == expected {
			limit = giveUpAfter
		}
		conn.SetDeadline(time.Now().Add(limit))
	}
	waits(nothing)
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", args.Host)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nothing
	}
	if err != nil {
		return "a broken head: " + err.Error()
	}
	defer response.Body.Close()
	waits(partOfBody)
	_, err = io.Copy(io.Discard, response.Body)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return strconv.Itoa(response.StatusCode) + " and a part of the body"
	case err != nil:
		return strconv.Itoa(response.StatusCode) + " and a broken body"
	default:
		return strconv.Itoa(response.StatusCode)
	}
}

// misbehave is a client that misbehaves, until ctx ends.
func (f *Faults) misbehave(ctx context.Context, args FaultArgs, fault clientFault) {
	if !fault.atOnce {
		time.Sleep(rand.N(args.Duration / 2)) // Sleeps: when the client begins.
	}
	conn, err := elsewhere.Dial("tcp", local(args.Port))
	if err != nil {
		f.note(0, "connecting: "+err.Error())
		return
	}
	defer conn.Close()
	f.note(1, "")
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	fault.misbehave(ctx, args, conn)
}

// clientFault is a way in which clients misbehave.
type clientFault struct {
	name string
	// target is what the target does meanwhile; nil: answer.
	target    func(conn net.Conn, reader *bufio.Reader) bool
	misbehave func(ctx context.Context, args FaultArgs, conn net.Conn)
	// atOnce says that all begin together, and not one after the other during half of the fault.
	atOnce bool
}

const startOfBody = "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n"

func clientFaults() []clientFault {
	readNothing := func(ctx context.Context, args FaultArgs, conn net.Conn) {
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", args.Host)
		<-ctx.Done()
	}
	return []clientFault{
		{name: "send nothing", misbehave: func(_ context.Context, _ FaultArgs, conn net.Conn) { waitForEnd(conn) }},
		{name: "stall in the head", misbehave: func(_ context.Context, args FaultArgs, conn net.Conn) {
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nX-Part", args.Host)
			waitForEnd(conn)
		}},
		{name: "send the head, a byte a second", misbehave: func(ctx context.Context, args FaultArgs, conn net.Conn) {
			drip(ctx, args, conn, fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", args.Host))
		}},
		{name: "stall in the body", misbehave: func(_ context.Context, args FaultArgs, conn net.Conn) {
			fmt.Fprintf(conn, startOfBody+"only this", args.Host)
			waitForEnd(conn)
		}},
		{name: "send the body, a byte a second", misbehave: func(ctx context.Context, args FaultArgs, conn net.Conn) {
			fmt.Fprintf(conn, startOfBody, args.Host)
			drip(ctx, args, conn, "a body of a million bytes")
		}},
		{name: "read nothing of a large response", target: answerMuch, misbehave: readNothing},
		{name: "read nothing of it, all at once", target: answerMuch, misbehave: readNothing, atOnce: true},
		{name: "read a large response, a byte a second", target: answerMuch, misbehave: func(ctx context.Context, args FaultArgs, conn net.Conn) {
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", args.Host)
			for ctx.Err() == nil {
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					return
				}
				pause(ctx, args)
			}
		}},
		{name: "reset in the middle", misbehave: func(ctx context.Context, args FaultArgs, conn net.Conn) {
			for ctx.Err() == nil {
				fmt.Fprintf(conn, startOfBody+"only this", args.Host)
				conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
				// With all of them, as many connections a second as arrive for the other faults.
				wait(ctx, args.Duration/2)
				var err error
				if conn, err = elsewhere.Dial("tcp", local(args.Port)); err != nil {
					return
				}
			}
			conn.Close()
		}},
		{name: "send garbage", misbehave: func(_ context.Context, _ FaultArgs, conn net.Conn) {
			io.WriteString(conn, "\x16\x03\x01 this is no HTTP\r\n\r\n")
			waitForEnd(conn)
		}},
	}
}

// drip writes a text byte by byte, so slowly that it does not come to an end.
func drip(ctx context.Context, args FaultArgs, conn net.Conn, text string) {
	for i := range len(text) {
		if _, err := conn.Write([]byte{text[i]}); err != nil || ctx.Err() != nil {
			return
		}
		pause(ctx, args)
	}
}

// pause waits for a second, or, if the fault does not last that long, for a part of it.
func pause(ctx context.Context, args FaultArgs) { wait(ctx, min(time.Second, args.Duration/8)) }

func wait(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}

// waitForEnd waits until the server has ended the connection, or the test ends.
func waitForEnd(conn net.Conn) {
	// Any end is right here: other tests check what a misbehaving client sees.
	_, _ = io.Copy(io.Discard, conn)
}
