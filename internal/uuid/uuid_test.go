package uuid

import (
	"math"
	"regexp"
	"testing"
)

func TestUUIDsAreOfVersion4AndDiffer(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := New()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("%q is not a UUID of version 4, or not a new one", id)
		}
		seen[id] = true
	}
}

func TestUUIDHasTheGivenBitsInOrder(t *testing.T) {
	for _, test := range []struct {
		high, low uint64
		want      string
	}{
		{0, 0, "00000000-0000-4000-8000-000000000000"},
		{math.MaxUint64, math.MaxUint64, "ffffffff-ffff-4fff-bfff-ffffffffffff"},
		{0x0123456789abcdef, 0x0123456789abcdef, "01234567-89ab-4def-8123-456789abcdef"},
	} {
		var id [Length]byte
		if Put(&id, test.high, test.low); string(id[:]) != test.want {
			t.Errorf("%x %x became %s, want %s", test.high, test.low, id, test.want)
		}
	}
}
