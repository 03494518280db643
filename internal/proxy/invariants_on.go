//go:build invariants

package proxy

// mangle overwrites a buffer that goes back to its pool, so that whoever still uses it shows in the tests.
func mangle(b []byte) {
	for i := range b {
		b[i] = 0xcc
	}
}
