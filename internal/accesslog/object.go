package accesslog

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// object is a JSON object that is being written, without what encoding/json allocates. Its methods append a member. The name
// that they get includes everything before the value. A value that is not known is "-".
type object struct{ b []byte }

func (o *object) raw(text string) { o.b = append(o.b, text...) }

// known appends one of our own texts, such as an id, in which nothing has to be escaped.
func (o *object) known(name, value string) {
	if value == "" {
		value = "-"
	}
	o.b = append(append(append(o.b, name...), value...), '"')
}

// text appends a text that somebody else has chosen, and escapes it.
func (o *object) text(name, value string) {
	if value == "" {
		value = "-"
	}
	o.b = append(appendText(append(o.b, name...), value), '"')
}

func (o *object) bytes(name string, value []byte) {
	if len(value) == 0 {
		o.known(name, "")
		return
	}
	o.b = append(appendText(append(o.b, name...), value), '"')
}

func (o *object) number(name string, value int64) {
	o.b = strconv.AppendInt(append(o.b, name...), value, 10)
}

// numberIf appends a number, or "-" if it is not known.
func (o *object) numberIf(known bool, name string, value int64) {
	if known {
		o.number(name, value)
		return
	}
	o.b = append(append(o.b, name...), `"-"`...)
}

// time appends a time to the second, or to the millisecond. time.AppendFormat takes ten times as long.
func (o *object) time(name string, at time.Time, milliseconds bool) {
	at = at.UTC()
	year, month, day := at.Date()
	hour, minute, second := at.Clock()
	b := append(o.b, name...)
	b = appendDigits(appendDigits(b, year/100), year%100)
	b = appendDigits(append(b, '-'), int(month))
	b = appendDigits(append(b, '-'), day)
	b = appendDigits(append(b, 'T'), hour)
	b = appendDigits(append(b, ':'), minute)
	b = appendDigits(append(b, ':'), second)
	if milliseconds {
		thousandths := at.Nanosecond() / 1e6
		b = appendDigits(append(b, '.', byte('0'+thousandths/100)), thousandths%100)
	}
	o.b = append(b, 'Z', '"')
}

// appendDigits appends a number of two digits.
func appendDigits(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

func (o *object) address(name string, address netip.AddrPort) {
	o.host(name, address)
	o.port(address)
}

// host appends an address without its port, and port the rest.
func (o *object) host(name string, address netip.AddrPort) {
	o.raw(name)
	switch ip := address.Addr().Unmap(); {
	case !address.IsValid():
		o.raw("-")
	case ip.Is4():
		o.b = ip.AppendTo(o.b)
	default:
		o.b = append(ip.AppendTo(append(o.b, '[')), ']')
	}
}

func (o *object) port(address netip.AddrPort) {
	if address.IsValid() {
		o.b = strconv.AppendUint(append(o.b, ':'), uint64(address.Port()), 10)
	}
	o.raw(`"`)
}

func (o *object) tags(name string, tags map[string]string) {
	o.raw(name)
	if len(tags) == 0 {
		o.raw(`"-"`)
		return
	}
	before := byte('{')
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		o.b = append(appendText(append(o.b, before, '"'), key), `":"`...)
		o.b = append(appendText(o.b, tags[key]), '"')
		before = ','
	}
	o.raw("}")
}

// appendText appends the inside of a JSON string. Clients choose the text: bytes that are not UTF-8 become U+FFFD.
func appendText[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	from := 0 // where the text begins that needs no escaping and has not been appended
	for i := 0; i < len(s); {
		if i += plain(s[i:]); i == len(s) {
			break
		}
		c := s[i]
		dst = append(dst, s[from:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < utf8.RuneSelf:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			r, size := decodeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size - 1
		}
		i++
		from = i
	}
	return append(dst, s[from:]...)
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var head [utf8.UTFMax]byte
	n := copy(head[:], s)
	return utf8.DecodeRune(head[:n])
}

// plain returns how many bytes at the start of a text need no escaping. It looks at eight of them at a time.
func plain[T string | []byte](s T) (n int) {
	for n+8 <= len(s) && arePlain(word(s[n:])) {
		if n += 8; n < len(s) && n+8 > len(s) && arePlain(word(s[len(s)-8:])) { // Fewer than eight are left.
			return len(s)
		}
	}
	for n < len(s) && s[n] >= ' ' && s[n] < 0x7f && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}

// word returns the first eight bytes of a text.
func word[T string | []byte](s T) uint64 {
	b := s[:8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// arePlain reports whether none of eight bytes needs escaping.
func arePlain(word uint64) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := word^each*'"', word^each*'\\'
	// The high bit of a byte is set in what follows if the byte is less than a space, more than a tilde, or one of the two. It may
	// also be set in bytes that follow such a byte.
	return (word|(word-each*' ')|(word+each)|(quote-each)&^quote|(backslash-each)&^backslash)&high == 0
}
