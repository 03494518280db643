package api

import (
	"log/slog"
	"net/http"
	"time"

	"trellis/internal/uuid"
)

// Refuse answers a request that does not reach the handler, in the form of the API's errors.
func Refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	c := &apiCall{handler: &handler{cfg: Config{Log: log}}, w: w, r: r, started: time.Now()}
	c.caller.RequestID = uuid.New()
	w.Header().Set("X-Amzn-Requestid", c.caller.RequestID)
	c.writeError(err)
}
