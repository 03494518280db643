//go:build invariants

package buffer

// Mangle overwrites memory that goes back to its pool.
func Mangle(b []byte) {
	for i := range b {
		b[i] = 0xcc
	}
}
