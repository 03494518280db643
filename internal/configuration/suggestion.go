package configuration

import (
	"fmt"

	"trellis/internal/nearest"
)

// suggestion names the known name that was probably meant, or gives general advice.
func suggestion(name string, known []string, otherwise string) string {
	if best := nearest.Name(name, known); best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return otherwise
}
