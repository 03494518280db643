package health

// fifo is a queue. What is at its front is taken first.
type fifo[T any] struct {
	items []T
	taken int // of items
}

func (q *fifo[T]) len() int { return len(q.items) - q.taken }

func (q *fifo[T]) push(item T) {
	if q.taken > len(q.items)/2 { // reuses its memory before it takes more
		n := copy(q.items, q.items[q.taken:])
		clear(q.items[n:])
		q.items, q.taken = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// pop takes an item. There must be one.
func (q *fifo[T]) pop() T {
	item := q.items[q.taken]
	q.items[q.taken] = *new(T)
	q.taken++
	return item
}
