package server

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"trellis/internal/configuration"
	"trellis/test/trellistest"
)

func TestAStartThatFailsClosesWhatItHasOpened(t *testing.T) {
	api, admin := trellistest.FreePort(t), trellistest.FreePort(t)
	command, err := configuration.Parse([]string{"dev", "--demo", "--port-map", "80=0,443=0", "--ca-dir", t.TempDir(),
		"--api-addr", fmt.Sprintf("127.0.0.1:%d", api), "--admin-addr", fmt.Sprintf("127.0.0.1:%d", admin),
		"--inventory", filepath.Join(t.TempDir(), "missing.yaml")}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), Config{Configuration: command.Configuration, Out: &trellistest.Text{}, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Fatal("it starts without its inventory")
	}
	for _, port := range []int{api, admin} {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Errorf("after the start has failed: %v", err)
			continue
		}
		listener.Close()
	}
}

func TestWhatIsOpenedLastIsClosedFirstAndOnce(t *testing.T) {
	var closed []int
	failure := errors.New("failure")
	s := &Server{}
	for i := range 3 {
		s.atClose(func() error {
			closed = append(closed, i)
			if i == 1 {
				return failure
			}
			return nil
		})
	}
	if err := s.close(); !errors.Is(err, failure) {
		t.Errorf("the error of the second is lost: %v", err)
	}
	if err := s.close(); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if want := []int{2, 1, 0}; !slices.Equal(closed, want) {
		t.Errorf("closed %v, want %v", closed, want)
	}
}
