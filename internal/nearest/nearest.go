// Package nearest finds the name that somebody probably meant.
package nearest

import "strings"

// Name returns the known name that is most similar to a name, or "" if none is similar.
func Name(name string, known []string) string {
	name = plain(name)
	best, distance := "", len(name)/3+1 // Names that differ in more have nothing to do with each other.
	for _, candidate := range known {
		candidatePlain := plain(candidate)
		if max(len(name)-len(candidatePlain), len(candidatePlain)-len(name)) >= distance {
			continue // A long text, which a client may have made up, must not be compared letter by letter.
		}
		if d := editDistance(name, candidatePlain); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// plain returns the same text for names that differ only in how words are joined, such as apiAddr and api_addr.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
}

// editDistance returns how many letters must be inserted, removed or replaced to turn one text into the other (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
