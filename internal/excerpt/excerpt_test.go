package excerpt

import "testing"

func TestOnlyLongTextsAreCutAndBetweenCharacters(t *testing.T) {
	for _, test := range []struct {
		text string
		most int
		want string
	}{
		{"", 3, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "abc..."},
		{"äöü", 3, "äöü"},
		{"äöüß", 3, "äöü..."},
		{"\xff\xfe\xfd\xfc", 3, "\xff\xfe\xfd..."},
	} {
		if got := Of(test.text, test.most); got != test.want {
			t.Errorf("%q cut after %d is %q, want %q", test.text, test.most, got, test.want)
		}
	}
}
