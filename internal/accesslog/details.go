package accesslog

import "time"

// AppendDetails appends what readers of entries at AWS do not get, for those who watch a node: names beside ids, the time to the
// millisecond, and what exactly was wrong. It replaces the brace that closes the entry.
func AppendDetails(dst []byte, r *Record) []byte {
	o := object{dst}
	o.time(`,"time":"`, r.Start, true)
	if s := r.Service; s != nil {
		o.text(`,"service":"`, s.Name)
		o.known(`,"serviceId":"`, s.ID)
		o.known(`,"listener":"`, s.ListenerID)
	}
	if r.Rule != nil {
		o.known(`,"rule":"`, r.Rule.ID)
	}
	if r.Forward != nil {
		o.text(`,"targetGroup":"`, r.Forward.TargetGroup.Name)
	}
	if at := r.Place(); at.Function != "" {
		o.known(`,"function":"`, at.FunctionName())
	}
	o.bytes(`,"query":"`, r.Query)
	o.number(`,"microseconds":`, r.Duration.Microseconds())
	if r.Problem != nil {
		o.text(`,"problem":"`, r.Problem.Error())
	}
	o.raw("}")
	return o.b
}

// AppendResourceDetails is AppendDetails for a connection to a resource.
func AppendResourceDetails(dst []byte, r *ResourceRecord) []byte {
	o := object{dst}
	o.time(`,"time":"`, r.Start, true)
	o.text(`,"resource":"`, r.Name)
	if r.Problem != nil {
		o.text(`,"problem":"`, r.Problem.Error())
	}
	o.raw("}")
	return o.b
}

// AppendOutput appends a line that a function has written during an event, in the form for those who watch a node.
func AppendOutput(dst []byte, at time.Time, function, requestID, line string) []byte {
	o := object{dst}
	o.time(`{"time":"`, at, true)
	o.known(`,"function":"`, function)
	o.text(`,"requestId":"`, requestID)
	o.text(`,"output":"`, line)
	o.raw("}")
	return o.b
}
