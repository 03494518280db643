package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"codeberg.org/miekg/dns"
)

const (
	// maxForwarded bounds the queries that wait for other servers: unknown names must not delay known ones.
	maxForwarded = 256
	// forwardTimeout is how long one server may take. Clients wait for five seconds and ask again (resolv.conf(5)).
	forwardTimeout = 2 * time.Second
)

var errBusy = errors.New("too many queries wait for other servers")

// forwarder asks other servers.
type forwarder struct {
	servers []netip.AddrPort
	places  chan struct{}
	shares  *shares
}

func newForwarder(servers []netip.AddrPort) forwarder {
	return forwarder{servers: servers, places: make(chan struct{}, maxForwarded), shares: newShares()}
}

// take takes a place for a query of a client, if there is one and its source has not got its share. give gives it back.
func (f *forwarder) take(client netip.Addr) bool {
	if !f.shares.enter(client) {
		return false
	}
	select {
	case f.places <- struct{}{}:
		return true
	default:
		f.shares.leave(client)
		return false
	}
}

func (f *forwarder) give(client netip.Addr) {
	f.shares.leave(client)
	<-f.places
}

// wait returns once nothing is being forwarded.
func (f *forwarder) wait() {
	for range maxForwarded {
		f.places <- struct{}{}
	}
}

// start calls forward on a goroutine, unless too many queries are being forwarded, in all or for the client.
func (f *forwarder) start(client netip.Addr, forward func()) bool {
	if !f.take(client) {
		return false
	}
	go func() { // Server.Serve waits for it.
		defer f.give(client)
		forward()
	}()
	return true
}

// forward asks the servers in turn until one responds, and returns the response with the query's id.
func (f *forwarder) forward(ctx context.Context, network string, query []byte) ([]byte, error) {
	var problems []error
	for _, server := range f.servers {
		response, err := exchange(ctx, network, server, query)
		if err == nil {
			return response, nil
		}
		problems = append(problems, fmt.Errorf("%s: %w", server, err))
	}
	return nil, errors.Join(problems...)
}

// exchange asks one server, with a new id and from a new port: anybody who guesses both could answer in its place (RFC 5452
// 4).
func exchange(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	asked := append([]byte(nil), query...)
	id := dns.ID()
	binary.BigEndian.PutUint16(asked, id)
	if network == "tcp" {
		err = writeMessage(conn, asked)
	} else {
		_, err = conn.Write(asked)
	}
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, 64<<10)
	for {
		var response []byte
		if network == "tcp" {
			response, err = readMessage(conn)
		} else {
			var n int
			n, err = conn.Read(buffer)
			response = buffer[:n]
		}
		if err != nil {
			return nil, err
		}
		if answers(response, asked) {
			copy(response, query[:2])
			return response, nil
		}
		if network == "tcp" {
			return nil, errors.New("the response is not to the query")
		}
	}
}

// answers reports whether a response has the id and the question of a query (RFC 5452 9.1).
func answers(response, query []byte) bool {
	r := &dns.Msg{Data: response, Options: dns.MsgOptionUnpackQuestion}
	q := &dns.Msg{Data: query, Options: dns.MsgOptionUnpackQuestion}
	if r.Unpack() != nil || q.Unpack() != nil || !r.Response || r.ID != q.ID || len(r.Question) != 1 {
		return false
	}
	a, b := r.Question[0], q.Question[0]
	return dns.EqualName(a.Header().Name, b.Header().Name) && a.Header().Class == b.Header().Class && dns.RRToType(a) == dns.RRToType(b)
}
