package policy

import "time"

// instant is a time in nanoseconds since 1970, of which it holds 292 years either way.
type instant int64

func instantOf(t time.Time) instant { return instant(t.UnixNano()) }

// parseInstant reads a date in one of the W3C's forms of ISO 8601, from the month up, or in seconds since 1970 (IAM,
// Date condition operators). time.Parse would allocate an error for each text that is not a date.
func parseInstant(s string) (instant, bool) {
	if epoch, ok := parseEpoch(s); ok {
		return epoch, true
	}
	p := dateParser{rest: s, ok: true}
	year, month, day := p.number(4), 0, 1
	p.expect('-')
	month = p.number(2)
	var hour, minute, second, nanosecond, offset int
	if p.rest != "" {
		p.expect('-')
		day = p.number(2)
	}
	if p.rest != "" {
		p.expect('T')
		hour = p.number(2)
		p.expect(':')
		minute = p.number(2)
		if p.ok && p.rest != "" && p.rest[0] == ':' {
			p.expect(':')
			second = p.number(2)
			nanosecond = p.fraction()
		}
		offset = p.zone()
	}
	if !p.ok || p.rest != "" || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 || year < 1678 || year > 2261 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanosecond, time.UTC)
	if t.Day() != day { // The month has fewer days.
		return 0, false
	}
	return instantOf(t.Add(-time.Duration(offset) * time.Minute)), true
}

// maxEpoch is the last second that an instant holds.
const maxEpoch = 9_223_372_036

func parseEpoch(s string) (instant, bool) {
	negative := s != "" && s[0] == '-'
	if negative {
		s = s[1:]
	}
	if !digits(s) {
		return 0, false
	}
	var seconds int64
	for i := range len(s) {
		if seconds = seconds*10 + int64(s[i]-'0'); seconds > maxEpoch {
			return 0, false
		}
	}
	if negative {
		seconds = -seconds
	}
	return instant(seconds * int64(time.Second)), true
}

// dateParser reads a date from the front. Once something is wrong, ok is false and stays so.
type dateParser struct {
	rest string
	ok   bool
}

func (p *dateParser) expect(c byte) {
	if p.ok = p.ok && p.rest != "" && p.rest[0] == c; p.ok {
		p.rest = p.rest[1:]
	}
}

// number reads a number of count digits.
func (p *dateParser) number(count int) int {
	if p.ok = p.ok && len(p.rest) >= count && digits(p.rest[:count]); !p.ok {
		return 0
	}
	n := 0
	for i := range count {
		n = n*10 + int(p.rest[i]-'0')
	}
	p.rest = p.rest[count:]
	return n
}

// fraction reads the decimals of a second, if there are any, as nanoseconds. Those beyond the ninth are dropped.
func (p *dateParser) fraction() int {
	if !p.ok || p.rest == "" || p.rest[0] != '.' {
		return 0
	}
	p.rest = p.rest[1:]
	n, scale, count := 0, int(time.Second), 0
	for ; count < len(p.rest) && '0' <= p.rest[count] && p.rest[count] <= '9'; count++ {
		if scale /= 10; scale > 0 {
			n += int(p.rest[count]-'0') * scale
		}
	}
	p.ok = count > 0
	p.rest = p.rest[count:]
	return n
}

// zone reads Z or an offset from UTC such as +01:00, in minutes.
func (p *dateParser) zone() int {
	if !p.ok || p.rest == "" {
		p.ok = false
		return 0
	}
	sign := 0
	switch p.rest[0] {
	case '+':
		sign = 1
	case '-':
		sign = -1
	}
	if sign == 0 {
		p.expect('Z')
		return 0
	}
	p.rest = p.rest[1:]
	hours := p.number(2)
	p.expect(':')
	minutes := p.number(2)
	p.ok = p.ok && hours <= 23 && minutes <= 59
	return sign * (hours*60 + minutes)
}
