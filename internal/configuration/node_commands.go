package configuration

import "trellis/internal/command"

// NodeCommands are the commands that ask a running node, or work on the store of one. Each has its flags and its code in a
// file of its own in package command, except restore, which opens a store as the server does.
type NodeCommands struct {
	Status  command.Status  `cmd:"" help:"Show what runs where, and what is wrong."`
	Explain command.Explain `cmd:"" help:"Show what would happen to a request, and why."`
	Export  command.Export  `cmd:"" help:"Write the network of an account in a Region as YAML."`
	Import  command.Import  `cmd:"" help:"Store a network from a file, or from an AWS account."`
	Backup  command.Backup  `cmd:"" help:"Write all that a running node has stored to a file."`
	Trust   command.Trust   `cmd:"" help:"Make this machine's programs trust the authority of a node."`
	Restore Restore         `cmd:"" help:"Fill an empty store with a backup."`
}

// Restore are the flags and arguments of `restore`.
type Restore struct {
	DataDir string `name:"data-dir" default:"./trellis-data" help:"Directory of the embedded etcd. The store must be empty, and no node may be using it."`
	Etcd    Etcd   `embed:"" prefix:"etcd-"`
	File    string `arg:"" name:"file" help:"What trellis backup has written."`
}
