package exchange

// Explanation returns what Config.Explain adds to responses, as lines of HTTP/1.1.
func (x *HTTP) Explanation() []byte { return x.explanation }

// explain appends where the request went.
func (x *HTTP) explain() {
	x.explanation = x.explanation[:0]
	if !x.shared.Explain {
		return
	}
	add := func(name, value string) { x.explanation = AppendLine(x.explanation, name, []byte(value)) }
	if x.Service != nil {
		add("x-trellis-service: ", x.Service.ID)
	}
	if x.Rule != nil {
		add("x-trellis-rule: ", x.Rule.ID)
	}
	if x.Forward != nil {
		add("x-trellis-target-group: ", x.Forward.TargetGroup.ID)
	}
	if x.Target != nil {
		add("x-trellis-target: ", x.Target.Place.String())
	}
	if x.Record.Failure != "" {
		add("x-trellis-failure: ", string(x.Record.Failure))
	}
	if x.Record.Problem != nil {
		add("x-trellis-problem: ", x.Record.Problem.Error())
		explainSignature(x.Record.Problem, add)
	}
}
