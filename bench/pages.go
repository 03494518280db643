package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"
)

// pageItems is how many target groups a page shows, and the small store holds.
const pageItems = 100

// reader is a store whose reads are measured.
type reader struct {
	name   string
	groups int
	api    *apiClient
	ids    []string
	token  string // of the next page
	gets   []time.Duration
	lists  []time.Duration
}

// benchPages measures GetTargetGroup and pages of ListTargetGroups on a store with many target groups, beside one with
// so few that they are one page. The two take turns, call by call.
func benchPages(ctx context.Context, o options, dir string) error {
	readers := []*reader{{name: "small", groups: pageItems}, {name: "full", groups: fullGroups}}
	for _, r := range readers {
		data, err := filepath.Join(dir, "small"), error(nil)
		if r.groups == fullGroups {
			data, err = fillOnce(ctx, dir)
		} else {
			err = fill(ctx, data, filling{targetGroups: r.groups, targetsPerGroup: targetsPerGroup})
		}
		if err != nil {
			return err
		}
		ports, err := freePorts(2)
		if err != nil {
			return err
		}
		p, api, err := startTrellis(ctx, "", nil, o.trellis, data, ports[0], ports[1])
		if err != nil {
			return err
		}
		defer p.stop()
		defer api.close()
		r.api = api
		if err := r.learn(ctx); err != nil {
			return err
		}
	}
	progress("reading")
	// Every call is made this often, so that a p99 rests on dozens of calls.
	for range 3000 {
		for _, r := range readers {
			if err := r.get(ctx); err != nil {
				return err
			}
			if err := r.list(ctx); err != nil {
				return err
			}
		}
	}

	fmt.Printf("\nReads from the durable store, one client, %d of each\n\n", len(readers[0].gets))
	fmt.Printf("| %-14s | %13s | %10s | %8s | %8s | %9s |\n", "operation", "target groups", "p50", "p99", "p99.9", "p99 ratio")
	fmt.Printf("|----------------|---------------|------------|----------|----------|-----------|\n")
	for _, operation := range []struct {
		name string
		of   func(*reader) []time.Duration
	}{
		{"Get", func(r *reader) []time.Duration { return r.gets }},
		{fmt.Sprintf("List, %d a page", pageItems), func(r *reader) []time.Duration { return r.lists }},
	} {
		base := time.Duration(0)
		for _, r := range readers {
			times := slices.Sorted(slices.Values(operation.of(r)))
			p99 := times[len(times)*99/100]
			if base == 0 {
				base = p99
			}
			fmt.Printf("| %-14s | %13d | %7.2f ms | %5.2f ms | %5.2f ms | %9.2f |\n", operation.name, r.groups,
				milliseconds(times[len(times)/2]), milliseconds(p99), milliseconds(times[len(times)*999/1000]), float64(p99)/float64(base))
		}
	}
	fmt.Print("\ngoal: a p99 within twice that of the small store\n\n")
	return nil
}

// listing is the response to ListTargetGroups.
type listing struct {
	Items []struct {
		ID string `json:"id"`
	} `json:"items"`
	NextToken string `json:"nextToken"`
}

// learn reads the ids of all target groups.
func (r *reader) learn(ctx context.Context) error {
	for {
		page, err := r.page(ctx)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			r.ids = append(r.ids, item.ID)
		}
		if r.token == "" {
			break
		}
	}
	if len(r.ids) != r.groups {
		return fmt.Errorf("%d target groups are listed; %d were stored", len(r.ids), r.groups)
	}
	return nil
}

// page reads the next page, or the first one after the last.
func (r *reader) page(ctx context.Context) (listing, error) {
	query := fmt.Sprintf("maxResults=%d", pageItems)
	if r.token != "" {
		query += "&nextToken=" + url.QueryEscape(r.token)
	}
	answer, err := r.api.send(ctx, http.MethodGet, "/targetgroups", query, nil)
	if err != nil {
		return listing{}, err
	}
	var page listing
	err = json.Unmarshal(answer, &page)
	r.token = page.NextToken
	return page, err
}

func (r *reader) get(ctx context.Context) error {
	path := "/targetgroups/" + r.ids[rand.IntN(len(r.ids))]
	began := time.Now()
	_, err := r.api.send(ctx, http.MethodGet, path, "", nil)
	r.gets = append(r.gets, time.Since(began))
	return err
}

func (r *reader) list(ctx context.Context) error {
	began := time.Now()
	page, err := r.page(ctx)
	r.lists = append(r.lists, time.Since(began))
	if err == nil && len(page.Items) != pageItems {
		err = fmt.Errorf("a page has %d items", len(page.Items))
	}
	return err
}
