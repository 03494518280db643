package http1

// Violation is a breach of the protocol. Each is a reason to refuse the message and to close the connection, since the start
// of the next message is not known.
type Violation uint8

// The violations.
const (
	_ Violation = iota
	BadRequestLine
	BadMethod
	BadTarget
	BadVersion
	BadStatusLine
	BadFieldName
	BadFieldValue
	BadLineEnd
	BadHost
	MissingHost
	RepeatedHost
	BadContentLength
	RepeatedContentLength
	BadTransferEncoding
	RepeatedTransferEncoding
	TransferEncodingInHTTP10
	ContentLengthAndTransferEncoding
	HeadTooLarge
	TooManyFields
	BadChunk
	ChunkExtensionsTooLong
	TrailersTooLong
	UnexpectedEnd
	UnexpectedStatus
)

var violationTexts = [...]string{
	BadRequestLine:                   "malformed request line",
	BadMethod:                        "malformed method",
	BadTarget:                        "malformed request target",
	BadVersion:                       "unsupported protocol version",
	BadStatusLine:                    "malformed status line",
	BadFieldName:                     "malformed header name",
	BadFieldValue:                    "control character in a header value",
	BadLineEnd:                       "line does not end in CRLF",
	BadHost:                          "malformed host",
	MissingHost:                      "no Host header",
	RepeatedHost:                     "more than one Host header",
	BadContentLength:                 "malformed Content-Length",
	RepeatedContentLength:            "more than one Content-Length header",
	BadTransferEncoding:              "Transfer-Encoding is not exactly chunked",
	RepeatedTransferEncoding:         "more than one Transfer-Encoding header",
	TransferEncodingInHTTP10:         "Transfer-Encoding in HTTP/1.0",
	ContentLengthAndTransferEncoding: "both Content-Length and Transfer-Encoding",
	HeadTooLarge:                     "headers are too large",
	TooManyFields:                    "too many headers",
	BadChunk:                         "malformed chunk",
	ChunkExtensionsTooLong:           "chunk extensions are too long",
	TrailersTooLong:                  "trailers are too long",
	UnexpectedEnd:                    "message ends too early",
	UnexpectedStatus:                 "status that nobody asked for",
}

// Error returns what is wrong, in a few words.
func (v Violation) Error() string { return violationTexts[v] }
