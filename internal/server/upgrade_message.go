package server

import (
	"trellis/internal/console"
	"trellis/internal/health"
)

// messageKind says what a message between the two processes of an upgrade is about, in the order in which they come.
type messageKind string

const (
	messageSocket   messageKind = "socket"   // from the old process: a socket
	messageBegin    messageKind = "begin"    // from the old process: these were the sockets needed to prepare
	messagePrepared messageKind = "prepared" // from the new process: all is done that needs no catalog
	messageKnown    messageKind = "known"    // from the old process: health of targets, or who has signed in to the console
	messageReleased messageKind = "released" // from the old process: the catalog is free, and these were the sockets
	messageReady    messageKind = "ready"    // from the new process: it serves
	messageRetired  messageKind = "retired"  // from the old process: it accepts no more connections
)

// message is what the two processes of an upgrade tell each other. Other versions must be able to read it: members may be
// added, and unknown kinds are ignored.
type message struct {
	Kind messageKind `json:"kind"`
	// Socket is the purpose of the socket that comes with the message, and the address as it was configured.
	Socket string `json:"socket,omitempty"`
	// Pass is a secret by which the new process knows requests that the old one passes on.
	Pass  string         `json:"pass,omitempty"`
	Known []health.Known `json:"known,omitempty"`
	// Session belongs to a person who has signed in to the console.
	Session *console.Session `json:"session,omitempty"`
	// API and Admin are where the new process serves.
	API   string `json:"api,omitempty"`
	Admin string `json:"admin,omitempty"`
}
