package policy

// Refusal returns AWS's words for a request that policies do not allow, as the API has them in its errors and as data
// planes send them behind the exception's name (captured at AWS).
func Refusal(r *Request, v Verdict) string {
	article := "a "
	if v.Layer == Identity {
		article = "an "
	}
	head := "User: " + r.Caller.name() + " is not authorized to perform: " + r.Action + " on resource: " + r.Resource + r.Path
	if v.Outcome == ExplicitDeny {
		return head + " with an explicit deny in " + article + v.Layer.String() + "-based policy"
	}
	return head + " because no " + v.Layer.String() + "-based policy allows the " + r.Action + " action"
}

// RefusalBody is the body of the response with status 403 to a request through the network.
func RefusalBody(r *Request, v Verdict) string { return "AccessDeniedException: " + Refusal(r, v) }
