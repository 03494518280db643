package configuration

// maxAPIRate only excludes what cannot be counted.
const maxAPIRate = 1e9

// checkAPI checks the settings that limit and record the API's calls.
func (c Configuration) checkAPI(wrong func(flag string, value any, want string)) {
	if c.APIConcurrency < 0 {
		wrong("api-concurrency", c.APIConcurrency, "must not be negative")
	}
	if c.APIBurst < 0 {
		wrong("api-burst", c.APIBurst, "must not be negative")
	}
	if !(c.APIRate >= 0 && c.APIRate <= maxAPIRate) { // NaN is neither.
		wrong("api-rate", c.APIRate, "must be how many calls there may be in a second")
	}
	if c.AuditLog == "" {
		wrong("audit-log", c.AuditLog, `must be a file, "-" or "none"`)
	}
}
