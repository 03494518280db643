package catalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ownOperations are the puts that every transaction has besides those of the batch: the head and the marker.
const ownOperations = 2

// attemptTimeout bounds one request to etcd. What was asked may be done after it.
const attemptTimeout = 10 * time.Second

// result is what became of a transaction.
type result struct {
	stored   bool
	revision int64 // if stored, its own; else one at which the head was another
	refused  error // etcd has refused it, and would again
}

// store stores a batch in one transaction and learns for certain whether it was stored. An error means the end.
//
// A request to etcd can end with an error although it was done, or is still going to be done: the leader changed,
// the connection broke, it took too long. Trying it again would be wrong in the first case: the mutations would be
// evaluated again on top of their own effects. Giving up would be wrong in the second. So:
//
//  1. Each transaction puts, besides the head, the marker: a key of this node that names the batch.
//  2. After an error that leaves the outcome open, a second transaction, the fence, does nothing but bump the head,
//     and only if the head is still what the batch was evaluated at. It is repeated until it has an answer.
//  3. If it did bump the head, the batch was not stored and, since it compares the head, never will be.
//  4. If it did not, the head has moved on, so the batch either was stored or never will be. The marker tells which:
//     only this node writes it, and only for its next batch.
func (m *committer) store(ctx context.Context, b *batch) (result, error) {
	for {
		lease, err := m.leases.current(ctx)
		if err != nil {
			if err := m.pause(ctx, "cannot get a lease from etcd", err); err != nil {
				return result{}, err
			}
			continue
		}
		m.batches++
		name := strconv.FormatUint(m.batches, 10)
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		resp, err := m.kv.Txn(attempt).
			If(clientv3.Compare(clientv3.ModRevision(headKey), "=", b.head)).
			Then(append([]clientv3.Op{
				clientv3.OpPut(headKey, m.node+"/"+name),
				clientv3.OpPut(nodePrefix+m.node, name, clientv3.WithLease(lease)),
			}, b.overlay.ops(lease)...)...).
			Else(clientv3.OpGet(headKey, clientv3.WithKeysOnly())).
			Commit()
		cancel()
		switch {
		case err == nil && resp.Succeeded:
			return result{stored: true, revision: resp.Header.Revision}, nil
		case err == nil:
			return m.lost(b, headRevision(resp))
		case errors.Is(err, rpctypes.ErrLeaseNotFound): // checked before anything is done
			m.leases.forget()
			if err := m.pause(ctx, "etcd has lost a lease", err); err != nil {
				return result{}, err
			}
		case refused(err):
			return result{refused: fmt.Errorf("catalog: etcd refuses the transaction: %w", err)}, nil
		default:
			m.log.Warn("the outcome of a transaction is open", "error", err)
			return m.settle(ctx, b, name, err)
		}
	}
}

// settle finds out what became of a transaction that ended with an error.
func (m *committer) settle(ctx context.Context, b *batch, name string, cause error) (result, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		resp, err := m.kv.Txn(attempt).
			If(clientv3.Compare(clientv3.ModRevision(headKey), "=", b.head)).
			Then(clientv3.OpPut(headKey, m.node+"/fence")).
			Else(clientv3.OpGet(headKey, clientv3.WithKeysOnly()), clientv3.OpGet(nodePrefix+m.node)).
			Commit()
		cancel()
		switch {
		case err == nil && resp.Succeeded:
			return result{revision: resp.Header.Revision}, nil
		case err == nil:
			if marker := resp.Responses[1].GetResponseRange().Kvs; len(marker) == 1 && string(marker[0].Value) == name {
				return result{stored: true, revision: marker[0].ModRevision}, nil
			}
			return m.lost(b, headRevision(resp))
		case refused(err) && refused(cause):
			return result{refused: fmt.Errorf("catalog: etcd refuses the transaction: %w", cause)}, nil
		}
		if err := m.pause(ctx, "etcd does not answer; all writes wait", err); err != nil {
			return result{}, err
		}
	}
}

// lost is the result of a transaction that another node's was faster than.
func (m *committer) lost(b *batch, head int64) (result, error) {
	if head < b.head {
		// A backup was restored, or the head was deleted. Nothing that this node knows can be trusted any more.
		err := fmt.Errorf("etcd went back: the head is at revision %d, and was at %d", head, b.head)
		m.fail(err)
		return result{}, err
	}
	return result{revision: head}, nil
}

// headRevision reads the answer of the branch that is taken when the head has moved.
func headRevision(resp *clientv3.TxnResponse) int64 {
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) == 1 {
		return kvs[0].ModRevision
	}
	return 0
}

// refused says whether etcd has looked at a request and turned it down before doing anything of it.
func refused(err error) bool {
	for _, refusal := range []error{
		rpctypes.ErrTooManyOps, rpctypes.ErrRequestTooLarge, rpctypes.ErrDuplicateKey, rpctypes.ErrEmptyKey,
		rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrAuthFailed, rpctypes.ErrInvalidAuthToken,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// pause waits a moment before another attempt.
func (m *committer) pause(ctx context.Context, message string, cause error) error {
	m.log.Warn(message, "error", cause)
	select {
	case <-time.After(retryDelay):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retryDelay is the time between two attempts at an etcd that does not answer.
const retryDelay = 200 * time.Millisecond

// ops returns the overlay's operations.
func (o *overlay) ops(lease clientv3.LeaseID) []clientv3.Op {
	ops := make([]clientv3.Op, 0, o.operations)
	ranges := make(map[*tree]bool)
	for _, key := range o.order {
		e := o.entries[key]
		switch name := prefix + key.String(); {
		case e.row != nil && e.expiring:
			ops = append(ops, clientv3.OpPut(name, string(e.value), clientv3.WithLease(lease)))
		case e.row != nil:
			ops = append(ops, clientv3.OpPut(name, string(e.value)))
		case e.tree != nil:
			if !ranges[e.tree] {
				ranges[e.tree] = true
				ops = append(ops, clientv3.OpDelete(prefix+e.tree.from, clientv3.WithRange(prefix+e.tree.to)))
			}
		case e.base != nil:
			ops = append(ops, clientv3.OpDelete(name))
		}
	}
	return ops
}
