package console

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// maxStreams is how many pages are kept up to date at once. Others stay as they were loaded.
	maxStreams = 16
	// updates is the least time between two events for a page.
	updates = 500 * time.Millisecond
	// quiet is the longest time in which nothing is sent, so that browsers and proxies know that the stream is alive.
	quiet        = 15 * time.Second
	writeTimeout = 10 * time.Second
)

// state identifies what a page may show: it differs when something has changed.
type state struct {
	revision, failures int64
	readings           uint64
}

func (c *Console) state() state {
	return state{c.cfg.Catalog.Revision(), c.cfg.Failed.Failures(), c.samples.reading()}
}

// live tells a page, by server-sent events, that something has changed; the page then loads itself again. Changes are merged into
// at most two events a second.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		http.Error(w, fmt.Sprintf("%d pages are kept up to date already; this one is not", maxStreams), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	send := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // Only tests have writers without deadlines.
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	if !send(": listening\n\n") {
		return
	}
	ticker := time.NewTicker(updates)
	defer ticker.Stop()
	shown, told := c.state(), time.Now()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-c.ended:
			return
		case now := <-ticker.C:
			switch current := c.state(); {
			case current != shown:
				shown, told = current, now
				if !send("event: change\ndata: \n\n") {
					return
				}
			case now.Sub(told) > quiet:
				told = now
				if !send(": quiet\n\n") {
					return
				}
			}
		}
	}
}
