package health

// fifo is a queue: first in, first out.
type fifo[T any] struct {
	items []T
	taken int // the index of the first item
}

func (q *fifo[T]) len() int { return len(q.items) - q.taken }

func (q *fifo[T]) push(item T) {
	if q.taken > len(q.items)/2 { // Reuse the memory before taking more.
		n := copy(q.items, q.items[q.taken:])
		clear(q.items[n:])
		q.items, q.taken = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// pop removes and returns the first item. There must be one.
func (q *fifo[T]) pop() T {
	item := q.items[q.taken]
	q.items[q.taken] = *new(T)
	q.taken++
	return item
}
