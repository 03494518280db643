package routing

// listener is a listener in the model.
type listener struct{}
