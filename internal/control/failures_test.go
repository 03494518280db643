package control

import (
	"testing"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// fail makes the current phase of a resource a failed one.
func (c client) fail(key lattice.Key, phase lattice.Phase) {
	c.t.Helper()
	err := c.c.Catalog.Commit(c.t.Context(), func(tx *catalog.Tx) error {
		rec, _ := catalog.Get[lattice.Resource](tx, key)
		failed := rec.Clone()
		failed.Meta().Lifecycle = lattice.Lifecycle{Phase: phase, FailureCode: "Broken", FailureMessage: "It broke."}
		tx.Put(failed)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func TestServiceThatCouldNotBeCreatedSaysWhyAndCanOnlyBeDeleted(t *testing.T) {
	c := newClient(t)
	service, network := c.service("orders"), c.serviceNetwork("network")
	c.fail(lattice.ServiceKey(c.caller.Scope(), *service), lattice.PhaseCreate)

	out := call(c, c.c.GetService, &shape.GetServiceRequest{ServiceIdentifier: service})
	if out.Status != shape.ServiceStatusCreateFailed || value(out.FailureCode) != "Broken" || value(out.FailureMessage) != "It broke." {
		t.Errorf("the service is shown as %s, %s, %s", out.Status, value(out.FailureCode), value(out.FailureMessage))
	}
	if _, err := c.c.CreateListener(t.Context(), c.caller, listenerRequest(service, "http", 80)); !refused(t, err) {
		t.Error("it got a listener")
	}
	_, err := c.c.CreateServiceNetworkServiceAssociation(t.Context(), c.caller, &shape.CreateServiceNetworkServiceAssociationRequest{
		ServiceIdentifier: service, ServiceNetworkIdentifier: network,
	})
	if !refused(t, err) {
		t.Error("it was associated")
	}
	call(c, c.c.DeleteService, &shape.DeleteServiceRequest{ServiceIdentifier: service})
}

func TestDeletionThatFailedCanBeRetried(t *testing.T) {
	c := newClient(t)
	service, network := c.service("orders"), c.serviceNetwork("network")
	association := call(c, c.c.CreateServiceNetworkServiceAssociation, &shape.CreateServiceNetworkServiceAssociationRequest{
		ServiceIdentifier: service, ServiceNetworkIdentifier: network,
	}).Id
	c.fail(lattice.ServiceNetworkServiceAssociationKey(c.caller.Scope(), *association), lattice.PhaseDelete)

	out := call(c, c.c.GetServiceNetworkServiceAssociation, &shape.GetServiceNetworkServiceAssociationRequest{
		ServiceNetworkServiceAssociationIdentifier: association,
	})
	if out.Status != shape.ServiceNetworkServiceAssociationStatusDeleteFailed || value(out.FailureCode) != "Broken" {
		t.Errorf("the association is shown as %s, %s", out.Status, value(out.FailureCode))
	}
	call(c, c.c.DeleteServiceNetworkServiceAssociation, &shape.DeleteServiceNetworkServiceAssociationRequest{
		ServiceNetworkServiceAssociationIdentifier: association,
	})
	call(c, c.c.DeleteServiceNetwork, &shape.DeleteServiceNetworkRequest{ServiceNetworkIdentifier: network})
}

func TestVpcAssociationWhoseUpdateFailedCanBeUpdatedAgain(t *testing.T) {
	c := newClient(t)
	association := call(c, c.c.CreateServiceNetworkVpcAssociation, &shape.CreateServiceNetworkVpcAssociationRequest{
		ServiceNetworkIdentifier: c.serviceNetwork("network"), VpcIdentifier: ptr("vpc-01234567"),
	}).Id
	get := &shape.GetServiceNetworkVpcAssociationRequest{ServiceNetworkVpcAssociationIdentifier: association}
	c.fail(lattice.ServiceNetworkVpcAssociationKey(c.caller.Scope(), *association), lattice.PhaseUpdate)
	if out := call(c, c.c.GetServiceNetworkVpcAssociation, get); out.Status != shape.ServiceNetworkVpcAssociationStatusUpdateFailed || value(out.FailureCode) != "Broken" {
		t.Errorf("the association is shown as %s, %s", out.Status, value(out.FailureCode))
	}

	call(c, c.c.UpdateServiceNetworkVpcAssociation, &shape.UpdateServiceNetworkVpcAssociationRequest{
		ServiceNetworkVpcAssociationIdentifier: association, SecurityGroupIds: []string{"sg-01234567"},
	})
	if out := call(c, c.c.GetServiceNetworkVpcAssociation, get); out.Status != shape.ServiceNetworkVpcAssociationStatusActive || out.FailureCode != nil {
		t.Errorf("after the update, the association is shown as %s, %s", out.Status, value(out.FailureCode))
	}
}
