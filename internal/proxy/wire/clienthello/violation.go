package clienthello

// Violation is why the first bytes of a connection are not a ClientHello that can be served.
type Violation uint8

// The violations.
const (
	_ Violation = iota
	NoHandshake
	BadVersion
	BadRecord
	NoClientHello
	TooLarge
	MessageAfterHello
	Malformed
	RepeatedExtension
	BadName
)

var violationTexts = [...]string{
	NoHandshake:       "record is not of a handshake",
	BadVersion:        "record is not of TLS",
	BadRecord:         "record is empty or too long",
	NoClientHello:     "first message is not a ClientHello",
	TooLarge:          "ClientHello is too large",
	MessageAfterHello: "another message follows the ClientHello in its record",
	Malformed:         "malformed ClientHello",
	RepeatedExtension: "extension is repeated",
	BadName:           "malformed server name",
}

// Error returns what is wrong, in a few words.
func (v Violation) Error() string { return violationTexts[v] }

// Alert returns the alert for the client (RFC 8446 6.2).
func (v Violation) Alert() byte {
	const (
		unexpectedMessage = 10
		recordOverflow    = 22
		illegalParameter  = 47
		decodeError       = 50
		protocolVersion   = 70
	)
	switch v {
	case NoHandshake, NoClientHello, MessageAfterHello:
		return unexpectedMessage
	case BadVersion:
		return protocolVersion
	case BadRecord:
		return recordOverflow
	case RepeatedExtension, BadName:
		return illegalParameter
	default:
		return decodeError
	}
}
