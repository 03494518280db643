package lattice

import "regexp"

// maxRegionLength is far above AWS's longest, us-isof-south-1.
const maxRegionLength = 32

// regionPattern covers the patterns of all of AWS's partitions (botocore, partitions.json), us-gov-west-1 and
// eusc-de-east-1 among them, except for the digits and underscores that they admit and no Region has.
var regionPattern = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}$`)

// ValidRegion reports whether a text has the form of a Region's name. A Region becomes part of keys, ARNs, host names and
// headers.
func ValidRegion(s string) bool {
	return len(s) <= maxRegionLength && regionPattern.MatchString(s)
}

// ValidAccount reports whether a text has the form of an account's id: 12 digits.
func ValidAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
