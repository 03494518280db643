package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// UpgradeSignals are the signals on which a new process replaces a node; see Config.Upgrade.
func UpgradeSignals() []os.Signal { return []os.Signal{syscall.SIGUSR2} }

// maxMessageBytes is well below what Linux takes in one packet.
const maxMessageBytes = 64 << 10

// channel connects the two processes of an upgrade. Each message is a packet.
type channel struct{ conn *net.UnixConn }

// newChannel returns one end of a channel, and the other as a file for the other process.
func newChannel() (*channel, *os.File, error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a channel: %w", err)
	}
	theirs := os.NewFile(uintptr(ends[1]), "channel")
	c, err := openChannel(uintptr(ends[0]))
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return c, theirs, nil
}

// openChannel takes over one end of a channel.
func openChannel(fd uintptr) (*channel, error) {
	file := os.NewFile(fd, "channel")
	if file == nil {
		return nil, errors.New("opening the channel: no file")
	}
	defer file.Close() // FileConn duplicates the descriptor
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("opening the channel: %w", err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("opening the channel: it is not a Unix socket"), conn.Close())
	}
	return &channel{unix}, nil
}

func (c *channel) close() { c.conn.Close() }

// send sends a message, and with it the socket of a listener unless that is nil.
func (c *channel) send(ctx context.Context, m message, socket syscall.Conn) error {
	packet, err := json.Marshal(m)
	if err != nil {
		return err
	}
	defer c.endWith(ctx)()
	if socket == nil {
		_, err = c.conn.Write(packet)
		return err
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) {
		_, _, sendErr = c.conn.WriteMsgUnix(packet, syscall.UnixRights(int(fd)), nil)
	})
	return errors.Join(err, sendErr)
}

// receive waits for a message. The listener is nil unless a socket came with it. The error is io.EOF when the other process
// has ended.
func (c *channel) receive(ctx context.Context) (m message, listener net.Listener, err error) {
	defer c.endWith(ctx)()
	packet, rights := make([]byte, maxMessageBytes), make([]byte, syscall.CmsgSpace(4))
	n, rightsLength, _, _, err := c.conn.ReadMsgUnix(packet, rights)
	switch {
	case ctx.Err() != nil:
		return m, nil, context.Cause(ctx)
	case errors.Is(err, syscall.ECONNRESET) || err == nil && n == 0:
		return m, nil, io.EOF
	case err != nil:
		return m, nil, err
	}
	if rightsLength > 0 {
		if listener, err = receivedListener(rights[:rightsLength]); err != nil {
			return m, nil, err
		}
	}
	if err := json.Unmarshal(packet[:n], &m); err != nil {
		if listener != nil {
			listener.Close()
		}
		return m, nil, fmt.Errorf("reading a message of an upgrade: %w", err)
	}
	return m, listener, nil
}

func receivedListener(rights []byte) (net.Listener, error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, errors.New("no socket came with the message")
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	if len(fds) != 1 {
		return nil, errors.New("the message came with another number of sockets than one")
	}
	file := os.NewFile(uintptr(fds[0]), "listener")
	defer file.Close() // FileListener duplicates the descriptor
	return net.FileListener(file)
}

// endWith makes the end of a context end a wait. The caller must call the returned function.
func (c *channel) endWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
}
