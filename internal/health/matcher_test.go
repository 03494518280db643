package health

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestMatcherHoldsCodesAndRanges(t *testing.T) {
	for _, test := range []struct {
		name, httpCode string
		match, differ  []int
	}{
		{"one code", "200", []int{200}, []int{0, 199, 201, 500}},
		{"list", "200,202", []int{200, 202}, []int{201, 203}},
		{"range", "200-299", []int{200, 250, 299}, []int{199, 300}},
		{"mix", "200,300-302,404", []int{200, 300, 301, 302, 404}, []int{201, 299, 303, 403}},
		{"range of one", "204-204", []int{204}, []int{203, 205}},
		{"overlap", "200-210,205-220", []int{200, 205, 215, 220}, []int{221}},
		{"ends of the word", "191-192,255-256", []int{191, 192, 255, 256}, []int{190, 193, 254, 257}},
		{"everything", "100-599", []int{100, 599}, []int{-1, 99, 600, 1000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := parseMatcher(test.httpCode)
			if err != nil {
				t.Fatal(err)
			}
			for _, code := range test.match {
				if !m.Match(code) {
					t.Errorf("%d does not match", code)
				}
			}
			for _, code := range test.differ {
				if m.Match(code) {
					t.Errorf("%d matches", code)
				}
			}
		})
	}
}

func TestMalformedMatcherIsRefused(t *testing.T) {
	for _, httpCode := range []string{
		"", ",", "200,", ",200", "-", "200-", "-200", "200--299", "200-250-299", "299-200", "20", "2000", "099", "600",
		"200-600", "200 ", "200, 202", "+20", "2xx", "２00",
	} {
		if m, err := parseMatcher(httpCode); err == nil {
			t.Errorf("parseMatcher(%q) = %v, want an error", httpCode, m)
		} else if m != (Matcher{}) {
			t.Errorf("parseMatcher(%q) returns codes with its error", httpCode)
		}
	}
}

// FuzzParseMatcher compares the parser with a reading of the grammar that shares nothing with it.
func FuzzParseMatcher(f *testing.F) {
	for _, seed := range []string{"200", "200,202", "200-299", "200,300-399,404", "299-200", "200,", "-", "2-1,,--", "100-599", "200-250-299"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, httpCode string) {
		m, err := parseMatcher(httpCode)
		want, ok := listStatusCodes(httpCode)
		if ok != (err == nil) {
			t.Fatalf("parseMatcher(%q): error %v, but well-formed is %v", httpCode, err, ok)
		}
		for code := -1; code <= 1000; code++ {
			if got := m.Match(code); got != slices.Contains(want, code) {
				t.Fatalf("parseMatcher(%q).Match(%d) = %v", httpCode, code, got)
			}
		}
	})
}

func listStatusCodes(httpCode string) (codes []int, ok bool) {
	for _, item := range strings.Split(httpCode, ",") {
		ends := strings.Split(item, "-")
		if len(ends) > 2 {
			return nil, false
		}
		numbers := make([]int, len(ends))
		for i, end := range ends {
			n, err := strconv.ParseUint(end, 10, 16)
			if err != nil || n < 100 || n > 599 || strconv.Itoa(int(n)) != end {
				return nil, false
			}
			numbers[i] = int(n)
		}
		if numbers[0] > numbers[len(numbers)-1] {
			return nil, false
		}
		for code := numbers[0]; code <= numbers[len(numbers)-1]; code++ {
			codes = append(codes, code)
		}
	}
	return codes, true
}
