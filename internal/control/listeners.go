package control

import (
	"cmp"
	"context"
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// CreateListener creates a listener and, with it, its default rule.
func (c *Control) CreateListener(ctx context.Context, caller api.Caller, in *shape.CreateListenerRequest) (*shape.CreateListenerResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateListener", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateListenerResponse, error) {
		s, err := find[*lattice.Service](tx, caller, lattice.KindService, in.ServiceIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireActive(s, c.now()); err != nil {
			return nil, err
		}
		if lattice.PassesThrough(in.Protocol) && s.CustomDomainName == "" {
			return nil, api.Rejected(fmt.Sprintf("A %s listener needs a service with a custom domain name, by which it knows the connections that are for it.", in.Protocol))
		}
		l := &lattice.Listener{
			Base:      c.newActiveBase(caller, lattice.KindListener, in.Name, in.Tags),
			ServiceID: s.ID,
			Protocol:  in.Protocol,
			Port:      cmp.Or(value(in.Port), lattice.DefaultListenerPort(in.Protocol)),
		}
		r := &lattice.Rule{
			Base:       c.newActiveBase(caller, lattice.KindRule, ptr(lattice.DefaultRuleName), nil),
			ServiceID:  s.ID,
			ListenerID: l.ID,
			IsDefault:  true,
			Priority:   lattice.DefaultRulePriority,
		}
		l.DefaultRuleID = r.ID
		if err := c.setAction(tx, caller, l, r, in.DefaultAction, "defaultAction"); err != nil {
			return nil, err
		}
		existing := tx.Count(lattice.By(lattice.KindListener, s.Scope, "service", s.ID))
		if err := c.checkQuota(lattice.QuotaListenersPerService, existing+1, lattice.KindService, s.ID); err != nil {
			return nil, err
		}
		tx.Put(l)
		tx.Put(r)
		return changedListener(tx, l), nil
	})
}

// GetListener returns a listener.
func (c *Control) GetListener(_ context.Context, caller api.Caller, in *shape.GetListenerRequest) (*shape.GetListenerResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetListenerResponse, error) {
		l, err := findListener(v, caller, in.ServiceIdentifier, in.ListenerIdentifier)
		if err != nil {
			return nil, err
		}
		return listener(v, l), nil
	})
}

// ListListeners lists the listeners of a service.
func (c *Control) ListListeners(_ context.Context, caller api.Caller, in *shape.ListListenersRequest) (*shape.ListListenersResponse, error) {
	return read(c, func(v catalog.View) (*shape.ListListenersResponse, error) {
		s, err := find[*lattice.Service](v, caller, lattice.KindService, in.ServiceIdentifier)
		if err != nil {
			return nil, err
		}
		q := newQuery("ListListeners", lattice.By(lattice.KindListener, s.Scope, "service", s.ID), in.MaxResults, in.NextToken)
		items, next, err := page(v, q, func(l *lattice.Listener) (shape.ListenerSummary, bool) {
			full := listener(v, l)
			return shape.ListenerSummary{
				Arn:           full.Arn,
				CreatedAt:     full.CreatedAt,
				Id:            full.Id,
				LastUpdatedAt: full.LastUpdatedAt,
				Name:          full.Name,
				Port:          full.Port,
				Protocol:      full.Protocol,
			}, true
		})
		return &shape.ListListenersResponse{Items: items, NextToken: next}, err
	})
}

// UpdateListener replaces the action of the default rule.
func (c *Control) UpdateListener(ctx context.Context, caller api.Caller, in *shape.UpdateListenerRequest) (*shape.UpdateListenerResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateListenerResponse, error) {
		l, err := c.findListenerToChange(tx, caller, in.ServiceIdentifier, in.ListenerIdentifier)
		if err != nil {
			return nil, err
		}
		l, r := updated(l, c.now()), updated(defaultRule(tx, l), c.now())
		if err := c.setAction(tx, caller, l, r, in.DefaultAction, "defaultAction"); err != nil {
			return nil, err
		}
		tx.Put(l)
		tx.Put(r)
		return (*shape.UpdateListenerResponse)(changedListener(tx, l)), nil
	})
}

// DeleteListener deletes a listener with its rules, in whatever state the service is.
func (c *Control) DeleteListener(ctx context.Context, caller api.Caller, in *shape.DeleteListenerRequest) (*shape.DeleteListenerResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteListenerResponse, error) {
		l, err := findListener(tx, caller, in.ServiceIdentifier, in.ListenerIdentifier)
		if err != nil {
			return nil, err
		}
		c.end(tx, l)
		return &shape.DeleteListenerResponse{}, nil
	})
}

// findListener finds a listener after its service, so that the error names the one of them that does not exist.
func findListener(v catalog.View, caller api.Caller, service, identifier *string) (*lattice.Listener, error) {
	if _, err := find[*lattice.Service](v, caller, lattice.KindService, service); err != nil {
		return nil, err
	}
	return find[*lattice.Listener](v, caller, lattice.KindListener, identifier, service)
}

// findListenerToChange finds a listener whose service is not being changed.
func (c *Control) findListenerToChange(v catalog.View, caller api.Caller, service, identifier *string) (*lattice.Listener, error) {
	l, err := findListener(v, caller, service, identifier)
	if err != nil {
		return nil, err
	}
	s, _ := catalog.Get[*lattice.Service](v, lattice.ServiceKey(l.Scope, l.ServiceID))
	return l, requireActive(s, c.now())
}

// defaultRule returns the default rule of a listener, which exists as long as the listener does.
func defaultRule(v catalog.View, l *lattice.Listener) *lattice.Rule {
	r, _ := catalog.Get[*lattice.Rule](v, lattice.RuleKey(l.Scope, l.ServiceID, l.ID, l.DefaultRuleID))
	return r
}

// listener returns all that the API shows of a listener.
func listener(v catalog.View, l *lattice.Listener) *shape.GetListenerResponse {
	return &shape.GetListenerResponse{
		Arn:           ptr(l.ARN()),
		CreatedAt:     shape.NewTime(l.CreatedAt),
		DefaultAction: defaultRule(v, l).Action,
		Id:            ptr(l.ID),
		LastUpdatedAt: shape.NewTime(l.UpdatedAt),
		Name:          ptr(l.Name),
		Port:          ptr(l.Port),
		Protocol:      l.Protocol,
		ServiceArn:    ptr((&lattice.Service{Base: lattice.Base{Scope: l.Scope, ID: l.ServiceID}}).ARN()),
		ServiceId:     ptr(l.ServiceID),
	}
}

// changedListener is what the responses to a creation and an update show of a listener.
func changedListener(v catalog.View, l *lattice.Listener) *shape.CreateListenerResponse {
	full := listener(v, l)
	return &shape.CreateListenerResponse{
		Arn:           full.Arn,
		DefaultAction: full.DefaultAction,
		Id:            full.Id,
		Name:          full.Name,
		Port:          full.Port,
		Protocol:      full.Protocol,
		ServiceArn:    full.ServiceArn,
		ServiceId:     full.ServiceId,
	}
}
