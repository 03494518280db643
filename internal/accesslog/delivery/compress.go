package delivery

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"

	"trellis/internal/accesslog"
)

// compressor writes lines as one stream of gzip (RFC 1952), each as its difference to the line before: all entries have the same
// members in the same order, and most of their values are those of the entry before. The entry knows which values differ, so
// the compressor does not even look at the rest. A general compressor takes far longer: with one, compression was most of the
// cost of an access log.
//
// The stream can be read as far as it has been written once flush has been called. It ends with what checksum.end returns.
type compressor struct {
	out     []byte // the complete bytes; the bits after them are in hold
	hold    uint64
	held    uint            // bits in hold
	inBlock bool            // a block of fixed Huffman codes is open
	last    *accesslog.Line // the last line; nil if no line can be referred to
	sum     checksum
	// distance is that of the last match, and back its code: most lines have one length.
	distance int
	back     code
}

// checksum is the checksum and the length of the lines in a stream. The end of the stream holds both.
type checksum struct {
	crc  uint32
	size uint32 // modulo 2^32
}

// add adds a line, with its line end.
func (s *checksum) add(line []byte) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, line)
	s.size += uint32(len(line))
}

const (
	// streamHead begins a stream: deflate, no flags, no time, compressed in the fastest way, an unknown system.
	streamHead = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
	// emptyBlock is the rest of a stored block of no bytes, after its three bits of a header.
	emptyBlock = "\x00\x00\xff\xff"
	// endBytes is the length of the end of a stream: its last block, the checksum and the length.
	endBytes = 1 + len(emptyBlock) + 4 + 4
	// minMatch is the shortest match that is worth its fixed codes.
	minMatch = 4
	// maxMatch and maxDistance bound a match.
	maxMatch    = 258
	maxDistance = 32 << 10
	// maxKept is the length of a line that is worth its memory. There may be thousands of streams.
	maxKept = 8 << 10
	// endOfBlock is the symbol that ends a block.
	endOfBlock = 256
)

// entry adds the line of an entry, and its line end. The entry must stay as it is until the next call of a method, or of keep.
func (c *compressor) entry(e *accesslog.Entry) {
	c.begin()
	back, at, shift := len(c.last.Text()), 0, 0
	var room [8]accesslog.Change
	changes := c.last.Become(e, room[:0])
	text := c.last.Text()
	for _, change := range changes {
		c.repeat(text[at:change.Start], back+shift)
		c.literals(text[change.Start:change.End])
		at, shift = change.End, change.Shift
	}
	c.repeat(text[at:], back+shift)
	c.end()
}

// keep copies the last entry.
func (c *compressor) keep() {
	if c.last != nil {
		c.last.Keep()
	}
}

// line adds any line, and its line end.
func (c *compressor) line(line []byte) {
	c.begin()
	from, at := line, bytes.TrimSuffix(c.last.Text(), []byte(accesslog.LineEnd))
	for len(from) > 0 {
		if n := accesslog.CommonPrefix(from, at); n >= minMatch {
			// The distance covers this line as far as it has come, and the line before it from that place on, with its line
			// end.
			c.repeat(from[:n], len(line)-len(from)+len(accesslog.LineEnd)+len(at))
			from, at = from[n:], at[n:]
			continue
		}
		n, skipped := memberEnd(from), memberEnd(at)
		if n == 0 && skipped == 0 { // From here on, the names of the members differ.
			n, skipped = 1+memberEnd(from[1:]), min(1, len(at))
			skipped += memberEnd(at[skipped:])
		}
		c.literals(from[:n])
		from, at = from[n:], at[skipped:]
	}
	c.literals([]byte(accesslog.LineEnd))
	c.last.Set(line)
	c.end()
}

// begin begins a line.
func (c *compressor) begin() {
	if !c.inBlock {
		if c.sum.size == 0 {
			c.out = append(c.out, streamHead...)
		}
		c.put(0b010, 3) // Not the last block; fixed codes.
		c.inBlock = true
	}
	if c.last == nil {
		c.last = new(accesslog.Line)
	}
}

// end ends the last line.
func (c *compressor) end() {
	c.sum.add(c.last.Text())
	if len(c.last.Text()) > maxKept {
		c.last = nil
	}
}

// memberEnd returns the end of the member of an entry in which a position is, or else the end of the line. Quotes in a value are
// escaped, so what it looks for stands only between members.
func memberEnd(at []byte) int {
	if n := bytes.Index(at, []byte(`,"`)); n >= 0 {
		return n
	}
	return len(at)
}

// put appends bits, the lowest first. There are never more than 57 of them.
func (c *compressor) put(value uint64, n uint) {
	if c.held+n > 64 {
		c.spill()
	}
	c.hold |= value << c.held
	c.held += n
}

// spill moves whole bytes out of hold.
func (c *compressor) spill() {
	c.out = binary.LittleEndian.AppendUint64(c.out, c.hold)[:len(c.out)+int(c.held/8)]
	c.hold >>= c.held / 8 * 8
	c.held %= 8
}

// literals appends bytes as literals (RFC 1951 3.2.6), eight at a time.
func (c *compressor) literals(text []byte) {
	for ; len(text) >= 8; text = text[8:] {
		codes, ok := shortCodes(binary.LittleEndian.Uint64(text))
		if !ok {
			c.eachLiteral(text[:8])
			continue
		}
		if c.held >= 8 {
			c.spill()
		}
		c.out = binary.LittleEndian.AppendUint64(c.out, c.hold|codes<<c.held)
		c.hold = codes >> (64 - c.held)
	}
	if len(text) == 0 {
		return
	}
	if codes, ok := shortCodes(firstBytes(text)); ok {
		n := uint(8 * len(text))
		c.put(codes&(1<<n-1), n)
		return
	}
	c.eachLiteral(text)
}

func (c *compressor) eachLiteral(text []byte) {
	for _, b := range text {
		c.put(literalCode(b))
	}
}

// shortCodes returns the codes of eight bytes, if each has one of eight bits, as all of ASCII do.
func shortCodes(text uint64) (codes uint64, ok bool) {
	const each = 0x0101010101010101
	return bits.ReverseBytes64(bits.Reverse64(text + 0b00110000*each)), text&(0x80*each) == 0 // Each is reversed.
}

// literalCode returns the code of a byte, and how many bits it has.
func literalCode(b byte) (code uint64, width uint) {
	if b < 144 {
		return uint64(bits.Reverse8(0b00110000 + b)), 8
	}
	return uint64(bits.Reverse8(0b11001000+(b-144)/2)) | uint64(b&1)<<8, 9
}

// firstBytes returns a text of one to seven bytes. The rest is 0.
func firstBytes(text []byte) uint64 {
	switch n := len(text); {
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(text)) | uint64(binary.LittleEndian.Uint32(text[n-4:]))<<(8*(n-4))
	case n >= 2:
		return uint64(binary.LittleEndian.Uint16(text)) | uint64(binary.LittleEndian.Uint16(text[n-2:]))<<(8*(n-2))
	default:
		return uint64(text[0])
	}
}

// repeat appends text that also stands distance bytes earlier, as matches.
func (c *compressor) repeat(text []byte, distance int) {
	if len(text) < minMatch || distance > maxDistance {
		c.literals(text)
		return
	}
	if distance != c.distance {
		c.distance, c.back = distance, codeOf(distanceCode(distance))
	}
	for n := len(text); n > 0; {
		length := min(n, maxMatch)
		if rest := n - length; rest > 0 && rest < minMatch {
			length -= minMatch
		}
		match := lengthCodes[length]
		c.put(uint64(match.bits)|uint64(c.back.bits)<<match.width, uint(match.width+c.back.width))
		n -= length
	}
}

// code is the code of a length or of a distance.
type code struct{ bits, width uint32 }

func codeOf(bits uint64, width uint) code { return code{uint32(bits), uint32(width)} }

// lengthCodes are the codes of all lengths: to make one again takes as long as the rest of a match.
var lengthCodes = func() (codes [maxMatch + 1]code) {
	for length := minMatch; length <= maxMatch; length++ {
		codes[length] = codeOf(lengthCode(length))
	}
	return codes
}()

// lengthCode returns the code of the length of a match, and how many bits it has (RFC 1951 3.2.5).
func lengthCode(length int) (code uint64, width uint) {
	symbol, extra, more := uint(285), uint(0), uint(0)
	if length < maxMatch {
		n := uint(length - 3)
		if n >= 4 {
			extra = uint(bits.Len(n)) - 3
		}
		symbol, more = 257+4*extra+n>>extra, n&(1<<extra-1)
	}
	code, width = symbolCode(symbol)
	return code | uint64(more)<<width, width + extra
}

// symbolCode returns the code of a symbol that stands for a length, or that of the end of a block.
func symbolCode(symbol uint) (code uint64, width uint) {
	if symbol < 280 {
		return uint64(bits.Reverse8(uint8(symbol-endOfBlock)) >> 1), 7
	}
	return uint64(bits.Reverse8(uint8(0b11000000 + symbol - 280))), 8
}

// distanceCode is lengthCode for a distance.
func distanceCode(distance int) (code uint64, width uint) {
	n, extra := uint(distance-1), uint(0)
	if n >= 4 {
		extra = uint(bits.Len(n)) - 2
	}
	symbol := 2*extra + n>>extra
	return uint64(bits.Reverse8(uint8(symbol))>>3) | uint64(n&(1<<extra-1))<<5, 5 + extra
}

// flush makes out end with a whole byte, so that all lines so far can be read.
func (c *compressor) flush() {
	if !c.inBlock {
		return
	}
	c.put(symbolCode(endOfBlock))
	c.put(0b000, 3) // Not the last block; stored.
	for n := (c.held + 7) / 8; n > 0; n-- {
		c.out = append(c.out, byte(c.hold))
		c.hold >>= 8
	}
	c.out = append(c.out, emptyBlock...)
	c.held, c.inBlock = 0, false
}

// rewind forgets the lines since the stream had a checksum. None of them has been written to the file.
func (c *compressor) rewind(to checksum) {
	c.out, c.hold, c.held, c.inBlock = c.out[:0], 0, 0, false
	c.last, c.sum = nil, to
}

// end returns the end of a stream whose lines have this checksum.
func (s checksum) end() []byte {
	end := append([]byte{1}, emptyBlock...) // The last block is stored, too.
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(end, s.crc), s.size)
}

// compress returns lines as a stream without its end.
func compress(lines []byte) ([]byte, checksum) {
	var c compressor
	for line := range bytes.Lines(lines) {
		c.line(bytes.TrimSuffix(line, []byte(accesslog.LineEnd)))
	}
	c.flush()
	return c.out, c.sum
}

// Compress returns lines as a complete stream.
func Compress(lines []byte) []byte {
	stream, sum := compress(lines)
	return append(stream, sum.end()...)
}

// decompress returns the lines of a stream, which may lack its end. With an error it returns what can be read.
func decompress(stream []byte) ([]byte, error) {
	if !bytes.HasPrefix(stream, []byte(streamHead)) {
		return nil, errors.New("decompressing: the data does not begin as a stream of gzip")
	}
	lines, err := io.ReadAll(flate.NewReader(bytes.NewReader(stream[len(streamHead):])))
	if errors.Is(err, io.ErrUnexpectedEOF) && bytes.HasSuffix(stream, []byte(emptyBlock)) {
		return lines, nil // The stream ends with a flush, without its last block.
	}
	if err != nil {
		return lines, fmt.Errorf("decompressing: %w", err)
	}
	return lines, nil
}
