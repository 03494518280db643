package main

import "context"

// keepAwake keeps the core of the load busy whenever the load leaves it idle, at a priority that takes nothing from the load. The
// caller stops the process; it ends by itself when the bench is gone.
//
// A proxy that writes to a connection wakes the client or the backend behind it. If their core sleeps, waking it takes the proxy's
// time: on a virtual machine the hypervisor has to do it. How often the core sleeps depends on how far the load is ahead of the
// proxy, so what a slower proxy takes longer for would count more than once.
func keepAwake(ctx context.Context) (*process, error) {
	if err := ensureInstalled(ctx, "taskset", "chrt"); err != nil {
		return nil, err
	}
	return start(coreOfLoad, nil, find("chrt"), "--idle", "0", "sh", "-c", "while kill -0 $PPID; do :; done")
}
