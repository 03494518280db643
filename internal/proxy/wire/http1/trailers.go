package http1

// Trailers calls yield with each trailer of a block of lines that ends in an empty line, except for those that say
// something about framing, routing or the connection, or that only the proxy may set (RFC 9110 6.5.1).
func Trailers(block []byte, yield func(name, value []byte)) error {
	var head Head
	head.reset(maxTrailerFields)
	n, err := head.parseFields(block)
	if err != nil {
		return err
	}
	if n != len(block) {
		return BadFieldName
	}
	for i := range head.Fields {
		if f := &head.Fields[i]; f.Name == Other {
			yield(block[f.Start:f.NameEnd], block[f.ValueStart:f.ValueEnd])
		}
	}
	return nil
}
