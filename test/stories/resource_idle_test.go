package stories_test

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"trellis/test/trellistest"
)

func TestFiveThousandIdleConnectionsToAResourceLeaveNothing(t *testing.T) {
	const count = 5000
	dir, addresses := t.TempDir(), trellistest.ResourceRange()
	p := trellistest.Start(t, trellistest.BuildFast(t), "serve", "--data-dir", dir, "--resource-range", addresses.String())
	files := func() int { return trellistest.OpenFiles(t, p.PID()) }
	port := echoServer(t)
	resourceBehind(t, client(t, p.API, filepath.Join(dir, "credentials")), fmt.Sprint(port))
	before := files()
	address := firstOf(addresses, port)
	conns := make([]net.Conn, count)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", address); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conns[i].Close()
	}
	for i, conn := range conns {
		if err := says(conn); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	if open := files() - before; open < 2*count {
		t.Errorf("the process has only %d more files open", open)
	}
	for i, conn := range conns { // They were idle meanwhile.
		if err := says(conn); err != nil {
			t.Fatalf("connection %d, later: %v", i, err)
		}
		conn.Close()
	}
	trellistest.Await(t, func() bool { return files() <= before+16 }, "their files are closed")
}
