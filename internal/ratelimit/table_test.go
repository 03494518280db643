package ratelimit

import (
	"testing"
	"time"
)

func TestBucketsFillUpWithTimeAndAreApart(t *testing.T) {
	table := NewTable[string](2, 3, 10)
	now := time.Unix(1e9, 0)
	for n := range 3 {
		if ok, _ := table.Take("a", now); !ok {
			t.Fatalf("there is no token number %d", n)
		}
	}
	if ok, wait := table.Take("a", now); ok || wait != time.Second/2 {
		t.Errorf("a token of an empty bucket: %t, to be had after %s", ok, wait)
	}
	if ok, wait := table.Look("a", now); ok || wait != time.Second/2 {
		t.Errorf("an empty bucket looks full: %t, after %s", ok, wait)
	}
	if ok, _ := table.Look("b", now); !ok || table.Len() != 1 {
		t.Errorf("looking at an unknown key: %t, and there are %d buckets", ok, table.Len())
	}
	if ok, _ := table.Take("a", now.Add(time.Second/2)); !ok {
		t.Error("there is no token after the wait")
	}
	table.Refill("a")
	if ok, _ := table.Look("a", now.Add(time.Second/2)); !ok {
		t.Error("a bucket that was filled is empty")
	}
}

func TestTableDropsFullBucketsFirst(t *testing.T) {
	table := NewTable[int](1, 2, 4)
	now := time.Unix(1e9, 0)
	for key := range 3 {
		table.Take(key, now)
	}
	now = now.Add(time.Second)
	table.Take(3, now)
	table.Take(4, now)
	if ok, _ := table.Take(3, now); !ok || table.Len() != 2 {
		t.Errorf("the bucket in use has a token: %t, and there are %d buckets, want 2", ok, table.Len())
	}
	if ok, _ := table.Take(3, now); ok {
		t.Error("the bucket in use was filled by making room")
	}
	for key := range 100 {
		table.Take(key, now)
	}
	if table.Len() > 4 {
		t.Errorf("there are %d buckets, more than 4", table.Len())
	}
}
