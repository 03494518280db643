package nearest

import (
	"strings"
	"testing"
)

func TestNameIsTheOneThatWasProbablyMeant(t *testing.T) {
	known := []string{"apiAddr", "dataAddr", "aws:SourceIp", "StringEquals"}
	for name, want := range map[string]string{
		"api-addr": "apiAddr", "apiadr": "apiAddr", "data_adr": "dataAddr", "aws:SourceIP": "aws:SourceIp", "aws:SourceIpp": "aws:SourceIp",
		"StringEqual": "StringEquals", "Number": "", "": "", strings.Repeat("StringEquals", 1000): "",
	} {
		if got := Name(name, known); got != want {
			t.Errorf("%.40q is taken for %q, want %q", name, got, want)
		}
	}
}
