package steering

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"trellis/internal/lattice"
)

// gatePort is below the ports that the kernel gives to connections, and hardly any program uses it.
const gatePort = 7659

// Gates returns the addresses of the sockets to which connections are steered: the first address of each network, which no
// resource has. The process that has bound them owns the networks, so that none steers connections away from another. Processes
// that steer nothing bind them too.
func Gates(addresses lattice.ResourceRange) []netip.AddrPort {
	var gates []netip.AddrPort
	for _, network := range []netip.Prefix{addresses.IPv4, addresses.IPv6} {
		if network.IsValid() {
			gates = append(gates, netip.AddrPortFrom(network.Addr(), gatePort))
		}
	}
	return gates
}

// Table holds the ports and addresses whose connections are steered. It is not for concurrent use.
type Table struct {
	addresses lattice.ResourceRange
	ports     *ebpf.Map // maps keys to verdicts, by the longest prefix
	sockets   *ebpf.Map
	program   *ebpf.Program
	link      *link.NetNsLink // nil until Attach

	prefixes map[uint32][]prefix // the prefixes of each address, by its number
}

// key is the number of an address, and a port, as an LPM trie takes them: the number of bits that count, in the machine's byte
// order, and the bits.
type key [4 + 6]byte

func keyOf(number uint32, p prefix) (k key) {
	binary.NativeEndian.PutUint32(k[:], uint32(32+p.bits))
	binary.BigEndian.PutUint32(k[4:], number)
	binary.BigEndian.PutUint16(k[8:], p.port)
	return k
}

// The values of the table.
const (
	refuse uint32 = iota
	take
)

// whole is the prefix with all ports of an address.
var whole = prefix{0, 0}

// New loads the program, which does nothing until Attach. It fails if the kernel is too old, or does not permit it.
func New(addresses lattice.ResourceRange) (*Table, error) {
	t := &Table{addresses: addresses, prefixes: map[uint32][]prefix{}}
	if err := t.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("steering connections takes Linux 5.11 or later, and the capabilities CAP_BPF and CAP_NET_ADMIN: %w", err), t.Close())
	}
	return t, nil
}

func (t *Table) load() (err error) {
	if t.ports, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "trellis_ports", Type: ebpf.LPMTrie, KeySize: uint32(len(key{})), ValueSize: 4, MaxEntries: maxEntries, Flags: unix.BPF_F_NO_PREALLOC,
	}); err != nil {
		return err
	}
	if t.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Name: "trellis_gates", Type: ebpf.SockMap, KeySize: 4, ValueSize: 4, MaxEntries: 2}); err != nil {
		return err
	}
	t.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "trellis_steer", Type: ebpf.SkLookup, AttachType: ebpf.AttachSkLookup, License: "Apache-2.0", Instructions: t.instructions(),
	})
	return err
}

// The offsets of the fields of struct bpf_sk_lookup (linux/bpf.h).
const (
	familyAt    = 8
	protocolAt  = 12
	localIPv4At = 40
	localIPv6At = 44
	localPortAt = 60
)

// The offsets on the program's stack.
const (
	keyAt   = -16
	indexAt = -4
)

// instructions returns the program. R6 is the context, R7 the index of the family's socket, R8 the socket.
func (t *Table) instructions() asm.Instructions {
	const refused, passed, lookup, ipv6 = "refused", "passed", "lookup", "ipv6"
	v4 := t.addresses.IPv4.Addr().As4()
	program := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, protocolAt, asm.Word),
		asm.JNE.Imm(asm.R2, unix.IPPROTO_TCP, passed),
		asm.LoadMem(asm.R2, asm.R6, familyAt, asm.Word),
		asm.JEq.Imm(asm.R2, unix.AF_INET6, ipv6),
		asm.JNE.Imm(asm.R2, unix.AF_INET, passed),
		// An address outside the network has a number that no resource has.
		asm.LoadMem(asm.R3, asm.R6, localIPv4At, asm.Word),
		asm.HostTo(asm.BE, asm.R3, asm.Word),
		asm.Sub.Imm32(asm.R3, int32(binary.BigEndian.Uint32(v4[:]))),
		asm.Mov.Imm(asm.R7, 0),
		asm.Ja.Label(lookup),
	}
	if t.addresses.IPv6.IsValid() {
		v6 := t.addresses.IPv6.Addr().As16()
		program = append(program, asm.LoadMem(asm.R3, asm.R6, localIPv6At, asm.Word).WithSymbol(ipv6))
		for word := range 3 {
			if word > 0 {
				program = append(program, asm.LoadMem(asm.R3, asm.R6, int16(localIPv6At+4*word), asm.Word))
			}
			program = append(program, asm.JNE.Imm32(asm.R3, int32(binary.NativeEndian.Uint32(v6[4*word:])), passed))
		}
		program = append(program,
			asm.LoadMem(asm.R3, asm.R6, localIPv6At+12, asm.Word),
			asm.HostTo(asm.BE, asm.R3, asm.Word),
			asm.Sub.Imm32(asm.R3, int32(binary.BigEndian.Uint32(v6[12:]))),
			asm.Mov.Imm(asm.R7, 1),
		)
	} else {
		program = append(program, asm.Ja.Label(passed).WithSymbol(ipv6))
	}
	return append(program,
		// The key: 48 bits that count, the number, the port.
		asm.HostTo(asm.BE, asm.R3, asm.Word).WithSymbol(lookup),
		asm.StoreMem(asm.R10, keyAt+4, asm.R3, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, localPortAt, asm.Word), // This one is in the machine's byte order, unlike all others.
		asm.HostTo(asm.BE, asm.R3, asm.Half),
		asm.StoreMem(asm.R10, keyAt+8, asm.R3, asm.Half),
		asm.StoreImm(asm.R10, keyAt, 48, asm.Word),
		asm.LoadMapPtr(asm.R1, t.ports.FD()),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, keyAt),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, passed),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.JNE.Imm(asm.R1, int32(take), refused),

		asm.StoreMem(asm.R10, indexAt, asm.R7, asm.Word),
		asm.LoadMapPtr(asm.R1, t.sockets.FD()),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, indexAt),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, refused),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R8),
		// Without flags this fails if another program has chosen a socket already: the program of the process to take over
		// from. Its choice holds as long as it is attached, whatever this program returns.
		asm.Mov.Imm(asm.R3, 0),
		asm.FnSkAssign.Call(),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R8),
		asm.FnSkRelease.Call(),
		asm.JNE.Imm(asm.R7, 0, refused),

		asm.Mov.Imm(asm.R0, 1).WithSymbol(passed), // SK_PASS
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol(refused), // SK_DROP
		asm.Return(),
	)
}

// Attach steers connections to the sockets, which are those of Gates, from now on.
func (t *Table) Attach(sockets []syscall.Conn) error {
	for i, socket := range sockets {
		if err := t.put(uint32(i), socket); err != nil {
			return fmt.Errorf("steering connections to a socket: %w", err)
		}
	}
	namespace, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return fmt.Errorf("steering connections: %w", err)
	}
	defer namespace.Close()
	if t.link, err = link.AttachNetNs(int(namespace.Fd()), t.program); err != nil {
		return fmt.Errorf("steering connections: %w", err)
	}
	return nil
}

func (t *Table) put(index uint32, socket syscall.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = t.sockets.Put(index, uint32(fd)) }); err != nil {
		return err
	}
	return failed
}

// Set steers connections to the ports of an address, and refuses those to its other ports. After an error, it may refuse too many.
func (t *Table) Set(address netip.Addr, ranges []lattice.PortRange) error {
	number, ok := t.addresses.Number(address)
	if !ok {
		return fmt.Errorf("%s is not an address of %s", address, t.addresses.IPv4)
	}
	wanted := prefixesOf(ranges)
	tooMany := len(wanted) > maxPrefixes
	if tooMany {
		wanted = nil
	}
	// The entry for all ports comes last, so that ports which are open before and after the change are never refused.
	before := t.prefixes[number]
	for _, p := range slices.Backward(wanted) {
		if err := t.ports.Put(keyOf(number, p), take); err != nil {
			t.prefixes[number] = append(slices.Clone(before), wanted...)
			return err
		}
	}
	if !slices.Contains(wanted, whole) {
		if err := t.ports.Put(keyOf(number, whole), refuse); err != nil {
			return err
		}
	}
	t.prefixes[number] = wanted
	for _, p := range before {
		if p != whole && !slices.Contains(wanted, p) {
			t.drop(number, p)
		}
	}
	if tooMany {
		return errTooMany
	}
	return nil
}

// Remove ends the steering of connections to an address.
func (t *Table) Remove(address netip.Addr) {
	number, _ := t.addresses.Number(address)
	for _, p := range slices.Backward(t.prefixes[number]) {
		t.drop(number, p)
	}
	t.drop(number, whole)
	delete(t.prefixes, number)
}

func (t *Table) drop(number uint32, p prefix) {
	// The only possible error is that the entry is not there.
	_ = t.ports.Delete(keyOf(number, p))
}

// Close ends the steering.
func (t *Table) Close() error {
	var problems []error
	if t.link != nil {
		problems = append(problems, t.link.Close())
	}
	return errors.Join(append(problems, t.program.Close(), t.sockets.Close(), t.ports.Close())...)
}
