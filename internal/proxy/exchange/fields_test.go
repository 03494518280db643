package exchange

import "testing"

func TestHeaderValuesCannotSplit(t *testing.T) {
	got := string(AppendLine(nil, "x-amzn-lattice-target: ", []byte("a\r\nevil: 1\x00\nb")))
	if want := "x-amzn-lattice-target: a  evil: 1  b\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
