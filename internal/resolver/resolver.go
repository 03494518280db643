// Package resolver holds the commands below `trellis dns`: they help the resolvers of this machine find the names of a
// running node.
//
// The node lists its names at /names on its admin port. The package trusts neither that list nor the hosts file: a name
// or address that could damage the file is left out, and a file whose marks do not fit together is left alone.
package resolver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

const (
	// askTimeout bounds how long a node, a DNS server or a tool may take to answer.
	askTimeout = 5 * time.Second
	// maxListBytes bounds the list of names: some hundred thousand.
	maxListBytes = 64 << 20
)

// list is a node's list of names: the response of /names.
type list struct {
	DNS     string // where the node answers DNS queries, or ""
	Zones   []string
	Entries []entry `json:"names"`
}

// entry is a name and its addresses.
type entry struct {
	Name      string
	Canonical string
	Addresses []netip.Addr
}

// checkAdmin returns an error unless admin is the URL of an admin port.
func checkAdmin(admin string) error {
	base, err := url.Parse(admin)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return fmt.Errorf("--admin %q: must be the URL of a node's admin port, as in http://127.0.0.1:7601", admin)
	}
	return nil
}

// readList asks a node for its names.
func readList(ctx context.Context, admin string) (list, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(admin, "/")+"/names", nil)
	if err != nil {
		return list{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return list{}, fmt.Errorf("no node answers at %s (--admin): %w", admin, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return list{}, fmt.Errorf("%s/names answers %s; is it the admin port of Trellis (--admin)?", admin, response.Status)
	}
	var l list
	if err := json.NewDecoder(io.LimitReader(response.Body, maxListBytes)).Decode(&l); err != nil {
		return list{}, fmt.Errorf("reading the names of %s: %w", admin, err)
	}
	return l, nil
}
