package console

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// functions are what templates use.
func functions() template.FuncMap {
	return template.FuncMap{
		"ago":   ago,
		"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		// Templates take one value; these join the page with what a part is about.
		"pair":      func(page *layout, t *table) map[string]any { return map[string]any{"page": page, "table": t} },
		"join":      func(page *layout, a *act) map[string]any { return map[string]any{"page": page, "act": a} },
		"about":     func(page *layout, o any) map[string]any { return map[string]any{"page": page, "object": o} },
		"within":    func(page *layout, l listenerPart) map[string]any { return map[string]any{"page": page, "listener": l} },
		"isStamped": func(t time.Time) bool { return !t.IsZero() },
		"grouped":   func(n int) string { return grouped(int64(n)) },
	}
}

// grouped writes a number with a space between thousands.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	first := len(digits) % 3
	if n < 0 || first == 0 && len(digits) <= 3 {
		return digits
	}
	var b strings.Builder
	b.WriteString(digits[:first])
	for at := first; at < len(digits); at += 3 {
		if b.Len() > 0 {
			b.WriteString("\u202f") // a narrow space
		}
		b.WriteString(digits[at : at+3])
	}
	return b.String()
}

// ago writes how long ago something was.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := time.Since(t)
	switch {
	case d < -time.Second:
		return "in " + span(-d)
	case d < time.Second:
		return "just now"
	}
	return span(d) + " ago"
}

// span writes a duration, rounded for people.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// latency writes a duration of requests, in seconds.
func latency(seconds float64) string {
	switch {
	case seconds <= 0:
		return "–"
	case seconds < 0.001:
		return fmt.Sprintf("%d µs", int(math.Round(seconds*1e6)))
	case seconds < 0.01:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	case seconds < 1:
		return fmt.Sprintf("%d ms", int(math.Round(seconds*1e3)))
	case seconds < 10:
		return fmt.Sprintf("%.1f s", seconds)
	default:
		return fmt.Sprintf("%d s", int(math.Round(seconds)))
	}
}

// rate writes how often something happens in a second.
func rate(perSecond float64) string {
	switch {
	case perSecond <= 0:
		return "0"
	case perSecond < 10:
		return fmt.Sprintf("%.1f", perSecond)
	default:
		return grouped(int64(math.Round(perSecond)))
	}
}

// percent writes a share, which is from 0 to 1.
func percent(share float64) string {
	switch {
	case share <= 0:
		return "0 %"
	case share < 0.1:
		return fmt.Sprintf("%.1f %%", share*100)
	default:
		return fmt.Sprintf("%d %%", int(math.Round(share*100)))
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(int64(n)) + " " + many
}

// status is a resource's status as a cell.
func (v *visit) status(r lattice.Resource) cell {
	status := r.Meta().Lifecycle.Status(v.now)
	c := cell{Text: words(status), Mark: "good"}
	if status != lattice.StatusActive {
		c.Mark = "warn"
	}
	if _, message := r.Meta().Lifecycle.Failure(v.now); message != "" {
		c.Mark, c.Sub = "bad", message
	}
	return c
}

// words writes a constant of the API in plain letters: ACTIVE as Active, CREATE_IN_PROGRESS as Create in progress.
func words(constant string) string {
	if constant == "" {
		return ""
	}
	return constant[:1] + strings.ToLower(strings.ReplaceAll(constant[1:], "_", " "))
}

// capital writes a text with a capital letter, to begin a sentence.
func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// targetMark returns the mark for the status of a target.
func targetMark(status shape.TargetStatus) string {
	switch status {
	case shape.TargetStatusHealthy:
		return "good"
	case shape.TargetStatusUnhealthy:
		return "bad"
	case shape.TargetStatusInitial, shape.TargetStatusDraining:
		return "warn"
	}
	return "idle"
}

// health returns a cell that says how many targets have which status.
func healthCell(counts map[shape.TargetStatus]int) cell {
	total := 0
	for _, n := range counts {
		total += n
	}
	healthy, unhealthy := counts[shape.TargetStatusHealthy], counts[shape.TargetStatusUnhealthy]
	switch {
	case total == 0:
		return cell{Text: "No targets", Mark: "idle"}
	case unhealthy > 0 && healthy == 0:
		return cell{Text: fmt.Sprintf("%d of %d unhealthy", unhealthy, total), Mark: "bad"}
	case unhealthy > 0:
		return cell{Text: fmt.Sprintf("%d of %d unhealthy", unhealthy, total), Mark: "warn"}
	case healthy == total:
		return cell{Text: fmt.Sprintf("%d healthy", healthy), Mark: "good"}
	case healthy > 0:
		return cell{Text: fmt.Sprintf("%d of %d healthy", healthy, total), Mark: "good"}
	}
	for _, status := range []shape.TargetStatus{shape.TargetStatusInitial, shape.TargetStatusDraining, shape.TargetStatusUnavailable, shape.TargetStatusUnused} {
		if counts[status] > 0 {
			return cell{Text: fmt.Sprintf("%d %s", counts[status], strings.ToLower(words(string(status)))), Mark: targetMark(status)}
		}
	}
	return cell{Text: fmt.Sprintf("%d targets", total), Mark: "idle"}
}

// value returns what a pointer points to, or the zero value.
func value[T any](p *T) (zero T) {
	if p == nil {
		return zero
	}
	return *p
}

// compact writes a value as JSON in one line.
func compact(v any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(v) != nil { // This cannot fail: the value was made from JSON.
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}
