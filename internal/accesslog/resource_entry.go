package accesslog

// AppendResourceEntry appends the entry of a connection to a resource as VPC Lattice writes it, like Entry.Append. The order of
// its fields is that of the documentation; the protocol is always TCP. Connections are few beside exchanges, so their entries
// are written as text at once.
func AppendResourceEntry(dst []byte, r *ResourceRecord) []byte {
	o := object{dst}
	o.time(`{"eventTimestamp":"`, r.Start, true)
	o.known(`,"serviceNetworkArn":"`, r.NetworkARN)
	o.known(`,"serviceNetworkResourceAssociationId":"`, r.AssociationID)
	o.known(`,"vpcEndpointId":"`, r.EndpointID)
	o.known(`,"sourceVpcArn":"`, r.SourceVpcARN)
	o.known(`,"resourceConfigurationArn":"`, r.ConfigurationARN)
	o.address(`,"protocol":"tcp","sourceIpPort":"`, r.Source)
	o.address(`,"destinationIpPort":"`, r.Destination)
	o.address(`,"gatewayIpPort":"`, r.Gateway)
	o.address(`,"resourceIpPort":"`, r.Resource)
	o.raw("}")
	return o.b
}
