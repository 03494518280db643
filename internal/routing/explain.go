package routing

// Explanation says where a request goes and why.
type Explanation struct{}

// Explain says where a request would go and why. No turn is taken.
func (r *Router) Explain(port int, host string, request *Request) Explanation { return Explanation{} }
