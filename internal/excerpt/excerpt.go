// Package excerpt cuts texts that somebody else wrote, so that they can stand in an error or in the log without filling it.
package excerpt

// Shown is how many characters of a client's text an error shows.
const Shown = 64

// Of returns a text, cut after the given number of characters.
func Of(text string, most int) string {
	characters := 0
	for i := range text {
		if characters == most {
			return text[:i] + "..."
		}
		characters++
	}
	return text
}
