package http2

import (
	"errors"
	"fmt"

	wire "golang.org/x/net/http2"
)

// ResetError says that a stream was reset.
type ResetError struct {
	Code wire.ErrCode
	// ByPeer says that the peer did it; else it has broken the protocol, and the text says how.
	ByPeer bool
	Text   string
}

func (e *ResetError) Error() string {
	if e.ByPeer {
		return fmt.Sprintf("the peer reset the stream: %v", e.Code)
	}
	return fmt.Sprintf("the stream was reset: %v: %s", e.Code, e.Text)
}

// UnprocessedError says that the peer has not looked at the request, which can be sent again (RFC 9113 8.7).
type UnprocessedError struct{ Err error }

func (e *UnprocessedError) Error() string {
	return "the peer did not take the request: " + e.Err.Error()
}
func (e *UnprocessedError) Unwrap() error { return e.Err }

// connError is a breach of the protocol that ends the connection.
type connError struct {
	code wire.ErrCode
	text string
}

func (e *connError) Error() string { return fmt.Sprintf("%v: %s", e.code, e.text) }

// streamError is a breach of the protocol that ends one stream.
type streamError struct {
	id   uint32
	code wire.ErrCode
	text string
}

func (e *streamError) Error() string { return fmt.Sprintf("stream %d: %v: %s", e.id, e.code, e.text) }

var (
	// ErrClosed says that the stream has been closed on this side.
	ErrClosed = errors.New("the stream is closed")
	// ErrAborted says that the connection was broken off.
	ErrAborted = errors.New("the connection was broken off")

	errNoHead = errors.New("there is no other head")
	errGone   = errors.New("the peer closed the connection")
	errEnded  = errors.New("the connection has ended")
)

func protocolError(text string) error { return &connError{wire.ErrCodeProtocol, text} }

func tooMuch(text string) error { return &connError{wire.ErrCodeEnhanceYourCalm, text} }
