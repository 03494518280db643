package configuration

// DNS are the commands below `dns`, with their flags.
type DNS struct {
	Install   DNSInstall   `cmd:"" help:"Write the names of a running node into the hosts file, and follow changes until interrupted."`
	Uninstall DNSUninstall `cmd:"" help:"Remove from the hosts file what install has written."`
	Check     DNSCheck     `cmd:"" help:"Show what each resolver of this machine answers for a name, and what to do."`
	Setup     DNSSetup     `cmd:"" help:"Print how to point this machine's resolvers at a running node, and how to undo that."`
}

// DNSInstall are the flags of `dns install`.
type DNSInstall struct {
	Admin string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	Hosts string `name:"hosts" env:"-" placeholder:"FILE" help:"Hosts file (default: the system's)."`
	Once  bool   `name:"once" env:"-" help:"Write the names once instead of following changes."`
	Yes   bool   `name:"yes" short:"y" env:"-" help:"Do not ask first."`
}

// DNSUninstall are the flags of `dns uninstall`.
type DNSUninstall struct {
	Hosts string `name:"hosts" env:"-" placeholder:"FILE" help:"Hosts file (default: the system's)."`
	Yes   bool   `name:"yes" short:"y" env:"-" help:"Do not ask first."`
}

// DNSCheck are the flags and arguments of `dns check`.
type DNSCheck struct {
	Admin string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	Hosts string `name:"hosts" env:"-" placeholder:"FILE" help:"Hosts file (default: the system's)."`
	Name  string `arg:"" help:"The name to look up."`
}

// DNSSetup are the flags of `dns setup`.
type DNSSetup struct {
	Admin string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
}
