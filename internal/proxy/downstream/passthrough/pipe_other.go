//go:build !linux

package passthrough

import "errors"

const splices = false

// pipe is where bytes are on their way from one socket to another. Only Linux can do that.
type pipe struct{}

type pipes struct{}

func newPipes(int) pipes { return pipes{} }

func (p *pipes) take() *pipe     { return nil }
func (p *pipes) put(*pipe, bool) {}
func (p *pipes) close()          {}

func (p *pipe) fill(uintptr) (n int, wait bool, err error) { return 0, false, errors.ErrUnsupported }

func (p *pipe) drain(uintptr, int) (moved int, wait bool, err error) {
	return 0, false, errors.ErrUnsupported
}
