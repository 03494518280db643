package command

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressIsShownAfterASecondAndRemovedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen strings.Builder
		p := &Progress{w: &screen, began: time.Now()}
		show := p.Records("importing")
		for done := range 30 { // Each takes 50 ms.
			show(done, 30)
			time.Sleep(50 * time.Millisecond) // Sleeps: the time of the bubble, which passes at once.
		}
		texts := strings.Split(screen.String(), "\r\x1b[K")[1:]
		if len(texts) != 5 || texts[0] != "importing: 20 of 30 records" || texts[4] != "importing: 28 of 30 records" {
			t.Errorf("within 1.5 s it shows %q, want the first after one second and no more than ten a second", texts)
		}
		p.End()
		if !strings.HasSuffix(screen.String(), " records\r\x1b[K") {
			t.Errorf("in the end the terminal has %q", screen.String())
		}
		if NewProgress(&screen).w != nil {
			t.Error("progress is shown where there is no terminal")
		}
	})
}
