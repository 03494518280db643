package catalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// ownOperations are the puts that every transaction has besides those of the batch: the head and the marker.
const ownOperations = 2

// result is the outcome of a transaction.
type result struct {
	stored   bool
	revision int64 // if stored, its own revision; otherwise one at which the head is another
	refused  error // etcd refuses the transaction, and would do so again
}

// store stores a batch in one transaction and learns for certain whether it was stored. After an error the catalog has failed.
//
// A request to etcd can end with an error although it was done, or is still going to be done: the leader changed,
// the connection broke, it took too long. Trying it again would be wrong in the first case: the mutations would be
// evaluated again on top of their own effects. Giving up would be wrong in the second. So:
//
//  1. Each transaction puts, besides the head, the marker: a key of this node that names the batch.
//  2. After an error that leaves the outcome open, a second transaction, the fence, does nothing but bump the head,
//     and only if the head is still what the batch was evaluated at. It is repeated until it has an answer.
//  3. If it did bump the head, the batch was not stored and, since it compares the head, never will be.
//  4. If it did not, the head has moved on, so the batch either was stored or never will be. The marker shows which:
//     only this node writes it, and not again before it knows.
func (m *committer) store(ctx context.Context, b *batch) (result, error) {
	var retry retry
	for {
		lease, err := m.leases.current(ctx, max(b.overlay.retention(), lattice.TokenRetention))
		if refused(err) || errors.Is(err, rpctypes.ErrNoSpace) {
			return result{refused: fmt.Errorf("catalog: etcd refuses a lease: %w", err)}, nil
		}
		if err != nil {
			m.log.Log(ctx, retry.level(), "etcd grants no lease; all writes wait", "error", err)
			if err := retry.pause(ctx); err != nil {
				return result{}, err
			}
			continue
		}
		m.batches++
		name := strconv.FormatUint(m.batches, 10)
		resp, err := m.try(ctx, retry.limit(), b,
			append([]clientv3.Op{
				clientv3.OpPut(headKey, m.node+"/"+name),
				clientv3.OpPut(nodePrefix+m.node, name, clientv3.WithLease(lease)),
			}, b.overlay.ops(lease)...),
			clientv3.OpGet(headKey, clientv3.WithKeysOnly()))
		switch {
		case err == nil && resp.Succeeded:
			return result{stored: true, revision: resp.Header.Revision}, nil
		case err == nil:
			return m.lost(b, resp)
		case errors.Is(err, rpctypes.ErrLeaseNotFound): // etcd checks leases before it does anything.
			m.log.Warn("etcd has lost a lease; records that were to expire are gone", "error", err)
			m.leases.forget()
			if err := retry.pause(ctx); err != nil {
				return result{}, err
			}
		case refused(err):
			return result{refused: fmt.Errorf("catalog: etcd refuses the transaction: %w", err)}, nil
		default:
			m.log.Warn("etcd did not say whether it stored a transaction", "error", err)
			return m.settle(ctx, b, name, err)
		}
	}
}

// settle finds out whether a transaction that ended with an error was stored.
func (m *committer) settle(ctx context.Context, b *batch, name string, cause error) (result, error) {
	state := []clientv3.Op{clientv3.OpGet(headKey, clientv3.WithKeysOnly()), clientv3.OpGet(nodePrefix + m.node)}
	var retry retry
	for {
		resp, err := m.try(ctx, retry.limit(), b, []clientv3.Op{clientv3.OpPut(headKey, m.node+"/fence")}, state...)
		fenced := err == nil && resp.Succeeded
		if errors.Is(err, rpctypes.ErrNoSpace) {
			// A full etcd takes no fence. It sends this error only after it is done with a request, so reading the marker is
			// enough if this error left the outcome open.
			resp, err = m.try(ctx, retry.limit(), b, state, state...)
			if err == nil && resp.Succeeded {
				err = rpctypes.ErrNoSpace
				if errors.Is(cause, rpctypes.ErrNoSpace) {
					return result{refused: fmt.Errorf("catalog: %w", cause)}, nil
				}
			}
		}
		switch {
		case fenced:
			return result{revision: resp.Header.Revision}, nil
		case err == nil:
			if marker := kvOf(resp, 1); string(marker.Value) == name {
				return result{stored: true, revision: marker.ModRevision}, nil
			}
			return m.lost(b, resp)
		case refused(err):
			return result{refused: fmt.Errorf("catalog: whether the transaction was stored is not known: %w", errors.Join(cause, err))}, nil
		}
		m.log.Log(ctx, retry.level(), "etcd does not answer; all writes wait", "error", err)
		if err := retry.pause(ctx); err != nil {
			return result{}, err
		}
	}
}

// try makes one attempt at a transaction, within a limit, on condition that the head is the batch's.
func (m *committer) try(ctx context.Context, limit time.Duration, b *batch, then []clientv3.Op, otherwise ...clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return m.kv.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(headKey), "=", b.head)).
		Then(then...).
		Else(otherwise...).
		Commit()
}

// lost is the result of a transaction that came after another node's, whose head the response has.
func (m *committer) lost(b *batch, resp *clientv3.TxnResponse) (result, error) {
	if resp.Header.Revision < b.revision {
		err := &wentBackError{from: b.revision, to: resp.Header.Revision}
		m.fail(err)
		return result{}, err
	}
	// There is no head: only a person can have deleted it, and the replica has not seen that.
	return result{revision: max(kvOf(resp, 0).ModRevision, b.revision+1)}, nil
}

// refused reports whether etcd has refused a request before doing any of it, and would do so again.
func refused(err error) bool {
	for _, refusal := range []error{
		rpctypes.ErrTooManyOps, rpctypes.ErrRequestTooLarge, rpctypes.ErrDuplicateKey, rpctypes.ErrEmptyKey,
		rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrAuthFailed,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
